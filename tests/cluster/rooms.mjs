// An application of rooms on official Socket.IO, as there are many: clients join, leave, and talk to their rooms. What it does
// with its events is what roomcast's vocabulary does with them.
//
//     node rooms.mjs PORT REDIS

import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { Server } from "socket.io";
import { connect } from "./redis.mjs";

const [port, redis] = process.argv.slice(2);
const http = createServer();
const io = new Server(http, { adapter: createAdapter(await connect(redis), await connect(redis)) });

io.on("connection", (socket) => {
  socket.on("join", async ({ room }, ack) => {
    await socket.join(room);
    ack?.({ room, members: io.sockets.adapter.rooms.get(room).size });
  });
  socket.on("leave", async ({ room }, ack) => {
    await socket.leave(room);
    ack?.({ room });
  });
  socket.on("message", (said, ack) => {
    io.to(said.room).emit("message", said);
    ack?.({ room: said.room });
  });
});

/** How many sessions there are, on all nodes: what monitoring asks. */
http.on("request", async (request, answer) => {
  if (request.url.startsWith("/socket.io/")) return; // answered by Socket.IO
  answer.end(String((await io.fetchSockets()).length));
});

http.listen(Number(port), "127.0.0.1", () => console.log(`listens on ${port}`));
process.on("SIGTERM", () => process.exit(0));
