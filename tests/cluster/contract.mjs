// The contract application on official Socket.IO: what `examples/contract.rs` is on roomcast, event by event, with the same
// options. It prints one line when it listens.

import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { Server } from "socket.io";
import msgpackParser from "socket.io-msgpack-parser";
import { WebSocketServer } from "ws";
import { connect } from "./redis.mjs";

const ASK_MS = 5_000;
const ECHO_BYTES = 16 * 1024 * 1024;

const text = (value) => ({ type: "string", default: value });
const { values: options } = parseArgs({
  options: {
    port: text("3000"),
    path: text("/socket.io/"),
    "ping-interval": text("25000"),
    "ping-timeout": text("20000"),
    "connect-timeout": text("45000"),
    max: text("1000000"),
    cors: text("*"),
    node: text("A"),
    redis: { type: "string" },
    prefix: text("socket.io"),
    specific: text("0"),
    "requests-timeout": text("5000"),
    sharded: text("0"),
    recovery: text("0"),
    parser: text("default"),
    pg: { type: "string" },
  },
});

if (options.pg !== undefined) {
  console.error("--pg: nothing is stored in a database here; leave it out");
  process.exit(2);
}

/** The adapter that the options ask for; none: that of one node. */
async function adapter() {
  if (options.redis === undefined) return undefined;
  const [publisher, subscriber] = [await connect(options.redis), await connect(options.redis)];
  if (options.sharded === "1") {
    return createShardedAdapter(publisher, subscriber, { channelPrefix: options.prefix, subscriptionMode: "dynamic" });
  }
  return createAdapter(publisher, subscriber, {
    key: options.prefix,
    requestsTimeout: Number(options["requests-timeout"]),
    publishOnSpecificResponseChannel: options.specific === "1",
  });
}

const http = createServer();
const recovery = Number(options.recovery);
const io = new Server(http, {
  path: options.path,
  pingInterval: Number(options["ping-interval"]),
  pingTimeout: Number(options["ping-timeout"]),
  connectTimeout: Number(options["connect-timeout"]),
  maxHttpBufferSize: Number(options.max),
  cors: { origin: options.cors === "*" ? "*" : options.cors.split(",") },
  adapter: await adapter(),
  ...(recovery > 0 && { connectionStateRecovery: { maxDisconnectionDuration: recovery } }),
  ...(options.parser === "msgpack" && { parser: msgpackParser }),
});

// === what a request's arguments mean ===

const listed = (names) => (names === undefined || names === null ? [] : [names].flat());

/** The operator for rooms: of a socket, which leaves itself out, or of a namespace. */
function whom(from, { rooms, except, local, volatile }) {
  let operator = from.broadcast ?? from;
  if (listed(rooms).length > 0) operator = operator.to(listed(rooms));
  if (listed(except).length > 0) operator = operator.except(listed(except));
  if (local) operator = operator.local;
  if (volatile) operator = operator.volatile;
  return operator;
}

const ownRooms = (rooms, id) => [...rooms].filter((room) => room !== id).sort();

/** Resolves to `{err, answers}` of what calls back with an error, or with answers. */
const report = (ask) => new Promise((resolve) => ask((err, answers) => resolve({ err: err?.message ?? null, answers: answers ?? [] })));

/** Each event's answer, given its socket and its arguments. */
const EVENTS = {
  message: (socket, ...args) => void socket.emit("message-back", ...args),
  whoami: (socket) => ({
    id: socket.id,
    node: options.node,
    nsp: socket.nsp.name,
    transport: socket.conn.transport.name,
    recovered: socket.recovered,
    query: socket.handshake.query,
  }),
  join: async (socket, rooms) => {
    await socket.join(listed(rooms));
    return { ok: true };
  },
  leave: async (socket, rooms) => {
    for (const room of listed(rooms)) await socket.leave(room);
    return { ok: true };
  },
  rooms: (socket) => ownRooms(socket.rooms, socket.id),
  bye: (socket, close) => void socket.disconnect(close === true),
  cast: (socket, request) => {
    const operator = whom(request.self ? socket.nsp : socket, request);
    operator.emit(request.event, ...(request.args ?? []));
    return { ok: true };
  },
  "cast-ack": (socket, request) =>
    report((done) => whom(socket.nsp, request).timeout(request.timeout ?? ASK_MS).emit(request.event, ...(request.args ?? []), done)),
  "ask-me": (socket, event, args, ms) =>
    report((done) => socket.timeout(ms ?? ASK_MS).emit(event, ...(args ?? []), (err, ...answers) => done(err, answers))),
  fetch: async (socket, request) => {
    const operator = whom(socket.nsp, request ?? {});
    const sockets = await operator.fetchSockets();
    return {
      ids: sockets.map(({ id }) => id),
      rooms: Object.fromEntries(sockets.map(({ id, rooms }) => [id, ownRooms(rooms, id)])),
    };
  },
  "sockets-join": (socket, request) => {
    whom(socket.nsp, { rooms: request.in }).socketsJoin(listed(request.rooms));
    return { ok: true };
  },
  "sockets-leave": (socket, request) => {
    whom(socket.nsp, { rooms: request.in }).socketsLeave(listed(request.rooms));
    return { ok: true };
  },
  "sockets-disconnect": (socket, request) => {
    whom(socket.nsp, { rooms: request.in }).disconnectSockets(request.close === true);
    return { ok: true };
  },
  "server-side-emit": async (socket, args, wantsAck) => {
    if (wantsAck) return report((done) => socket.nsp.serverSideEmit("sse-test", ...(args ?? []), done));
    socket.nsp.serverSideEmit("sse-test", ...(args ?? []));
    return { ok: true };
  },
  "server-count": async (socket) => ({ n: await socket.nsp.adapter.serverCount() }),
};

function serve(namespace) {
  namespace.on("connection", (socket) => {
    socket.emit("auth", socket.handshake.auth ?? {});
    // Its answer is a list of arguments, as nobody else's.
    socket.on("message-with-ack", (...args) => {
      const ack = args.pop();
      if (typeof ack === "function") ack(...args);
    });
    for (const [name, handle] of Object.entries(EVENTS)) {
      socket.on(name, async (...args) => {
        const ack = typeof args.at(-1) === "function" ? args.pop() : () => {};
        try {
          ack(await handle(socket, ...args));
        } catch (error) {
          ack({ err: error.message });
        }
      });
    }
  });
  namespace.on("sse-test", (...args) => {
    const ack = typeof args.at(-1) === "function" ? args.pop() : () => {};
    namespace.local.emit("sse-got", { node: options.node, args });
    ack({ node: options.node });
  });
}

serve(io.of("/"));
serve(io.of("/custom"));
serve(
  io.of("/authed").use((socket, next) => {
    if (socket.handshake.auth?.token === "let-me-in") return next();
    next(Object.assign(new Error("unauthorized"), { data: { code: 401 } }));
  }),
);

const echo = new WebSocketServer({ noServer: true, maxPayload: ECHO_BYTES });
echo.on("connection", (socket) => socket.on("message", (data, binary) => socket.send(data, { binary })));
http.on("upgrade", (request, socket, head) => {
  if (request.url === "/ws-echo") echo.handleUpgrade(request, socket, head, (opened) => echo.emit("connection", opened));
});

http.listen(Number(options.port), () => console.log(`node ${options.node} listens on ${http.address().port}`));
