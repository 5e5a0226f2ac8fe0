// The stock Socket.IO server, configured for throughput, speaking the room vocabulary.
//
//   PORT=4001 PING_INTERVAL_MS=25000 npm start       (or: node server.js 4001)
//   PORT=4001 REDIS_URL=redis://127.0.0.1:6379 npm start     one of several nodes, with @socket.io/redis-adapter

import { createServer } from "node:http";
import { Server } from "socket.io";

const port = Number(process.argv[2] ?? process.env.PORT ?? 3000);
const host = process.env.HOST ?? "127.0.0.1";
const pingInterval = Number(process.env.PING_INTERVAL_MS ?? 25000);

const http = createServer();
const io = new Server(http, {
  transports: ["polling", "websocket"],
  serveClient: false,
  perMessageDeflate: false,
  httpCompression: false,
  pingInterval,
  pingTimeout: 20000,
  maxHttpBufferSize: 1e6,
});

// Other nodes: set up as the adapter's documentation says, and both connections made before anybody can come.
if (process.env.REDIS_URL) {
  const { createAdapter } = await import("@socket.io/redis-adapter");
  const { createClient } = await import("redis");
  const publisher = createClient({ url: process.env.REDIS_URL });
  const subscriber = publisher.duplicate();
  for (const client of [publisher, subscriber]) client.on("error", (error) => console.error(`redis: ${error.message}`));
  await Promise.all([publisher.connect(), subscriber.connect()]);
  io.adapter(createAdapter(publisher, subscriber));
}

const { rooms } = io.of("/").adapter;

function answer(ack, value) {
  if (typeof ack === "function") ack(value);
}

io.on("connection", (socket) => {
  // Keeps the handshake request and its headers from living as long as the session.
  socket.conn.request = null;

  const join = ({ room }, ack) => {
    socket.join(room);
    answer(ack, { room, members: rooms.get(room).size });
  };
  const leave = ({ room }, ack) => {
    socket.leave(room);
    answer(ack, { room });
  };

  socket.on("joinRoom", join);
  socket.on("join", join);
  socket.on("leaveRoom", leave);
  socket.on("leave", leave);
  socket.on("message", (data, ack) => {
    io.to(data.room).emit("message", data);
    answer(ack, { room: data.room });
  });
});

http.listen({ port, host, backlog: 4096 }, () => {
  console.log(`socket.io on ${host}:${port}, ping every ${pingInterval} ms`);
});

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => process.exit(0));
}
