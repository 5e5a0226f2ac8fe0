// The stock Socket.IO server, configured for throughput, speaking the room vocabulary.
//
//   PORT=4001 PING_INTERVAL_MS=25000 npm start       (or: node server.js 4001)

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
