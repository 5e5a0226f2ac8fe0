"""A python-socketio client: joins a room, publishes, and prints what it hears, one JSON line each.

Its limits are those that it comes with: it gives up when a polling answer has more than sixteen packets.
"""

import json
import sys
import threading

import socketio

url, transports, room = sys.argv[1], sys.argv[2].split(","), sys.argv[3]
client = socketio.Client(reconnection=False)
over = threading.Event()
printing = threading.Lock()


def say(what, *args):
    line = json.dumps([what, *args], default=lambda data: {"bytes": list(data)})
    with printing:
        print(line, flush=True)


client.on("note", lambda note: say("heard", note))
client.on("count", lambda n: say("count", n))
client.on("question", lambda question: ("the answer to", question))
client.on("end", lambda _: over.set())
client.on("disconnect", lambda reason: say("disconnected", reason))

client.connect(url, transports=transports)
say("joined", client.call("join", {"room": room}), client.get_sid(), client.transport())
client.call("publish", {"room": room, "event": "note", "data": {"from": "python", "bytes": bytes([0, 30, 255])}})
over.wait(60)
say("over", client.transport())
client.disconnect()
