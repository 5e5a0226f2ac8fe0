// A client of the plain protocol that remembers what it heard.

import { decode, encode } from "@msgpack/msgpack";
import WebSocket from "ws";
import { eventually, next } from "./server.mjs";

/** Connects; `packed` is MessagePack in place of JSON. */
export async function plainClient(server, query, packed = false) {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/ws${query}`, packed ? ["roomcast.v1.msgpack"] : []);
  const heard = [];
  socket.on("message", (data) => heard.push(packed ? decode(data) : JSON.parse(data.toString())));
  await next(socket, "open");
  return {
    heard,
    say: (packet) => socket.send(packed ? encode(packet) : JSON.stringify(packet)),
    hears: (what, matches) => eventually(what, () => heard.find(matches)),
    close: () => socket.close(),
  };
}
