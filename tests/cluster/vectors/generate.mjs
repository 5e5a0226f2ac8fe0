// Writes vectors.json: what Socket.IO's adapters and emitter for Node publish, and what each of it means. Two nodes share a
// Redis (redis.mjs); the first one is told to do things through the interface that applications use, the second one has
// sessions, and answers. The same in every run, as identifiers come from a counter.
//
//   name      of the scenario
//   format    classic or sharded
//   channel   where it was published
//   payload   its bytes, in Base64
//   exact     whether there is nothing in it that a roomcast node would write in another way
//   means     what a roomcast node has to understand; a binary value is {"$binary":"<base64>"}
import { createRequire } from "node:module";
import { Redis } from "./redis.mjs";

const require = createRequire(import.meta.url);
let counter = 0;
// The packages take their identifiers from here.
require("crypto").randomBytes = (size) => {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntBE(++counter * 7919, size - 3, 3);
  return bytes;
};
const { Server } = require("socket.io");
const { createAdapter, createShardedAdapter } = require("@socket.io/redis-adapter");
const { Emitter } = require("@socket.io/redis-emitter");
const notepack = require("notepack.io");
const notepack2 = require("notepack.io-2");

const vectors = [];
const binary = (...bytes) => ({ $binary: Buffer.from(bytes).toString("base64") });
const to = (rooms = [], except = []) => ({ rooms, except });

/** A session as the adapter sees it. It gives `answer` to whatever it is asked. */
function session(namespace, id, rooms, { data = {}, answer } = {}) {
  const acks = new Map();
  const socket = {
    id,
    rooms: new Set([id, ...rooms]),
    handshake: { headers: { host: "example" }, time: "now", xdomain: false, issued: 1763692491007, query: {}, auth: { token: "é" } },
    data,
    acks,
    join() {},
    leave() {},
    disconnect() {},
    client: {
      writeToEngine() {
        if (acks.size > 0) setImmediate(() => acks.forEach((said) => said(...answer)) ?? acks.clear());
      },
    },
  };
  namespace.sockets.set(id, socket);
  namespace.adapter.addAll(id, socket.rooms);
}

/** Runs `act` and files everything that is published meanwhile under `name`; `meanings` has one entry for each. */
async function record(format, redis, name, sender, act, meanings) {
  redis.published.length = 0;
  await act();
  for (let turn = 0; turn < 6; turn++) await new Promise((resolve) => setImmediate(resolve));
  if (redis.published.length !== meanings.length) {
    throw new Error(`${format}, ${name}: ${redis.published.length} published, ${meanings.length} expected`);
  }
  redis.published.forEach(({ channel, payload }, i) => {
    const { exact = true, uid, namespace = "/", ...said } = meanings[i];
    const sent = payload[0] === 0x7b ? JSON.parse(payload) : notepack.decode(payload);
    const request = sent.requestId ?? sent.data?.requestId;
    const who = uid ?? (typeof sender === "function" ? sender(i) : sender);
    const means = { uid: who, namespace, ...said, ...(request === undefined ? {} : { request }) };
    vectors.push({ name, format, channel, payload: payload.toString("base64"), exact, means });
  });
}

const event = (name, args, targets = to(), more = {}) => ({
  says: "broadcast", targets, volatile: false, name, arguments: args, ...more,
});

/** Scenarios of both formats. */
async function common(format, redis, make) {
  const nodes = [0, 1].map(() => {
    const io = new Server({ adapter: make(redis) });
    return { io, main: io.of("/"), admin: io.of("/admin") };
  });
  const [{ io, main, admin }, other] = nodes;
  const classic = format === "classic";
  const uid = main.adapter.uid;
  const peer = classic ? "" : other.main.adapter.uid;
  const say = (name, act, ...meanings) => record(format, redis, name, (i) => (i === 0 ? uid : peer), act, meanings);

  await say("to all", () => io.emit("hello"), event("hello", []));
  await say("to a room", () => io.to("r1").emit("hello", "x"), event("hello", ["x"], to(["r1"])));
  await say("to two rooms but a third", () => io.to(["a", "b"]).except("c").emit("e", 1, [2], { n: null }),
    event("e", [1, [2], { n: null }], to(["a", "b"], ["c"])));
  await say("to a session", () => io.to("oSO0OpakMV_3jnilAAAA").emit("e"), event("e", [], to(["oSO0OpakMV_3jnilAAAA"])));
  await say("to a room with a hash", () => io.to("a#b##").emit("e"), event("e", [], to(["a#b##"])));
  await say("to many rooms", () => io.to([..."abcdefghijklmnopqrst"]).emit("e"), event("e", [], to([..."abcdefghijklmnopqrst"])));
  await say("to a number", () => io.to(42).emit("e"), event("e", [], to(["42"]), { exact: false }));
  await say("to nobody", () => io.to(null).emit("e"), event("e", [], to([""]), { exact: false }));
  await say("volatile", () => io.volatile.emit("e", "x"), event("e", ["x"], to(), { volatile: true }));
  await say("not compressed", () => io.compress(false).emit("e"), event("e", [], to(), { exact: false }));
  await say("in a namespace", () => admin.to("r").emit("e", 1),
    event("e", [1], to(["r"]), { namespace: "/admin", uid: admin.adapter.uid }));
  const numbers = [0, -1, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296, 9007199254740991, 2 ** 54,
    -32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649, -9007199254740991, 0.1, -1.5, 1e-7, 5e-324];
  await say("numbers", () => io.emit("e", numbers), event("e", [numbers]));
  await say("numbers without a form", () => io.emit("e", [NaN, Infinity, -0]),
    event("e", [[null, null, 0]], to(), { exact: !classic }));
  const texts = ["", "é", "😀", 'a"b\\c\n\u0001\u007f', "x".repeat(31), "x".repeat(32), "x".repeat(255), "ü".repeat(200), "\u2028"];
  await say("texts", () => io.to("räume 😀").emit("größe", texts), event("größe", [texts], to(["räume 😀"])));
  await say("long", () => io.emit("e", "x".repeat(300)), event("e", ["x".repeat(300)]));
  const wide = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`key${n}`, n]));
  const nested = { a: [[], {}, [{ b: [true, false, null] }]], wide, list: Array.from({ length: 300 }, (_, n) => n) };
  await say("nested", () => io.emit("e", nested), event("e", [nested]));
  await say("undefined", () => io.emit("e", undefined, { a: undefined, b: 1 }, [undefined]),
    event("e", [null, { b: 1 }, [null]]));
  const dates = [0, 1763692491007, 1763692491000, -1, 17179869184000, -62198755200000].map((time) => new Date(time));
  await say("dates", () => io.emit("e", dates), event("e", [dates], to(), { exact: !classic }));
  await say("something like a placeholder", () => io.emit("e", { _placeholder: true, num: 0 }),
    event("e", [{ _placeholder: true, num: 0 }]));
  await say("binary", () => io.to("r").emit("file", Buffer.from([1, 2, 3])), event("file", [binary(1, 2, 3)], to(["r"])));
  await say("binary values of all kinds",
    () => io.emit("e", { a: new Uint8Array([1, 2]), b: [new ArrayBuffer(2)] }, Buffer.alloc(0), Buffer.alloc(300)),
    event("e", [{ a: binary(1, 2), b: [binary(0, 0)] }, binary(), binary(...Buffer.alloc(300))]));
  await say("binary and dates", () => io.emit("e", Buffer.from("x"), new Date(0)),
    event("e", [binary(120), new Date(0)], to(), { exact: false }));

  await say("join", () => io.in("a").except("b").socketsJoin(["c", "d"]),
    { says: "join", targets: to(["a"], ["b"]), rooms: ["c", "d"] });
  await say("leave", () => io.socketsLeave("c"), { says: "leave", targets: to(), rooms: ["c"] });
  await say("disconnect", () => io.in("a").disconnectSockets(), { says: "disconnect", targets: to(["a"]), close: false });
  await say("close", () => io.in("a").disconnectSockets(true), { says: "disconnect", targets: to(["a"]), close: true });
  await say("between servers", () => io.serverSideEmit("hello", 1, "é", { a: [null] }),
    { says: "server emit", name: "hello", arguments: [1, "é", { a: [null] }] });
  await say("between servers, nothing", () => io.serverSideEmit("hello"), { says: "server emit", name: "hello", arguments: [] });
  const buffer = classic ? { type: "Buffer", data: [1] } : binary(1);
  await say("between servers, binary", () => io.serverSideEmit("hello", Buffer.from([1])),
    { says: "server emit", name: "hello", arguments: [buffer] });

  other.io.on("ask", (...args) => args.pop()(...args));
  const asked = (args, answers = args, said = args) => [
    { says: "server emit", name: "ask", arguments: said }, { says: "server answer", arguments: answers }];
  const ask = (...args) => () => io.serverSideEmit("ask", ...args, () => {});
  await say("asked between servers", ask(7), ...asked([7]));
  await say("asked between servers, two", ask("a", "b"), ...asked(["a", "b"], ["a"]));
  await say("asked between servers, null", ask(null), ...asked([null]));
  await say("asked between servers, nothing", ask(), ...asked([]));
  await say("asked between servers, binary", ask(Buffer.from([1])), ...asked([buffer]));

  const find = (rooms) => async () => void io.in(rooms).fetchSockets();
  await say("nobody found", find("nowhere"), { says: "fetch", targets: to(["nowhere"]) }, { says: "found", sockets: [] });
  session(other.main, "first_session_______", ["r1", "räume"], { data: { name: "Ada", at: new Date(0) }, answer: ["yes"] });
  const { handshake } = other.main.sockets.get("first_session_______");
  const first = { id: "first_session_______", rooms: ["first_session_______", "r1", "räume"], handshake, data: { name: "Ada", at: new Date(0) } };
  await say("found", find("r1"), { says: "fetch", targets: to(["r1"]) }, { says: "found", sockets: [first] });
  session(other.main, "second_session______", ["r2", 42], { data: { key: Buffer.from([1, 2]) }, answer: [Buffer.from([9])] });
  const data = { key: classic ? { type: "Buffer", data: [1, 2] } : binary(1, 2) };
  const second = { id: "second_session______", rooms: ["second_session______", "r2", "42"], handshake, data };
  await say("found with binary data", find("r2"), { says: "fetch", targets: to(["r2"]) },
    { says: "found", sockets: [second], exact: false });

  const count = (clients, exact) => ({ says: "count", clients, exact });
  const answer = (...args) => ({ says: "answer", arguments: args });
  const want = (room, ...args) => () => io.to(room).timeout(1000).emit("e", ...args, () => {});
  const wanted = (room, args) => event("e", args, to([room]), { exact: false });
  await say("asked", want("r1", 1, "x"), wanted("r1", [1, "x"]), count(1), answer("yes"));
  await say("asked with binary", want("r2", Buffer.from([5])), wanted("r2", [binary(5)]), count(1), answer(binary(9)));
  await say("nobody asked", want("nowhere"), wanted("nowhere", []), count(0));
  session(other.main, "third_session_______", ["r3"], { answer: [] });
  await say("answered with nothing", want("r3"), wanted("r3", []), count(1), answer());
  session(other.main, "fourth_session______", ["r4"], { answer: [null] });
  await say("answered with null", want("r4"), wanted("r4", []), count(1), answer(null));
  return { io, main, other, uid };
}

async function classic() {
  const redis = new Redis();
  const make = (redis) => createAdapter(redis.client(), redis.client());
  const { main, other } = await common("classic", redis, make);
  const uid = main.adapter.uid;
  const say = (name, act, ...meanings) => record("classic", redis, name, (i) => (i === 0 ? uid : ""), act, meanings);
  const rooms = [...other.main.adapter.rooms.keys()].map(String);
  await say("rooms", async () => void main.adapter.allRooms().catch(() => {}), { says: "all rooms" },
    { says: "rooms", rooms, exact: false });

  // What nodes before version 6.0 of the adapter asked, and what today's answer.
  const old = (name, request, ...meanings) =>
    record("classic", redis, name, "", async () => redis.publish("socket.io-request#/#", JSON.stringify(request)), meanings);
  const requestId = "old001";
  await old("sessions, as old nodes ask", { requestId, type: 0, rooms: ["r1"] },
    { says: "sockets", rooms: ["r1"] }, { says: "found", sockets: [] }, { says: "sids", sids: ["first_session_______"] });
  await old("join, as old nodes ask", { requestId, type: 2, sid: "first_session_______", room: "x" },
    { says: "join", targets: to(["first_session_______"]), rooms: ["x"], exact: false }, { says: "done" });
  await old("leave, as old nodes ask", { requestId, type: 3, sid: "first_session_______", room: "x" },
    { says: "leave", targets: to(["first_session_______"]), rooms: ["x"], exact: false }, { says: "done" });
  await old("disconnect, as old nodes ask", { requestId, type: 4, sid: "first_session_______", close: true },
    { says: "disconnect", targets: to(["first_session_______"]), close: true, exact: false }, { says: "done" });
}

/** Nodes whose MessagePack is that of notepack.io 2, where dates, buffers and undefined are extensions of its own. */
async function before() {
  const redis = new Redis();
  const io = new Server({ adapter: createAdapter(redis.client(), redis.client(), { parser: notepack2 }) });
  const uid = io.of("/").adapter.uid;
  const say = (name, act, ...meanings) => record("classic", redis, `notepack 2: ${name}`, uid, act, meanings);
  await say("a buffer", () => io.emit("e", Buffer.from([1]), new ArrayBuffer(8)),
    event("e", [binary(1), binary(0, 0, 0, 0, 0, 0, 0, 0)], to(), { exact: false }));
  await say("undefined and a date", () => io.emit("e", undefined, { a: undefined }, new Date(-1)),
    event("e", [null, {}, new Date(-1)], to(), { exact: false }));
}

async function emitter() {
  const redis = new Redis();
  const emitter = new Emitter(redis.client());
  const inexact = { exact: false }; // its keys come in another order
  const say = (name, uid, act, ...meanings) => record("classic", redis, `emitter: ${name}`, uid, act, meanings);
  await say("to all", "emitter", () => emitter.emit("hello", 1), event("hello", [1], to(), inexact));
  await say("to a room", "emitter", () => emitter.to("r").except("x").emit("hello", Buffer.from([1])),
    event("hello", [binary(1)], to(["r"], ["x"]), inexact));
  await say("in a namespace", "emitter", () => emitter.of("admin").volatile.emit("e"),
    event("e", [], to(), { ...inexact, volatile: true, namespace: "/admin" }));
  await say("join", "", () => emitter.in("a").socketsJoin("b"), { says: "join", targets: to(["a"]), rooms: ["b"] });
  await say("leave", "", () => emitter.in("a").except("c").socketsLeave(["b"]),
    { says: "leave", targets: to(["a"], ["c"]), rooms: ["b"] });
  await say("disconnect", "", () => emitter.disconnectSockets(true), { says: "disconnect", targets: to(), close: true });
  await say("between servers", "emitter", () => emitter.serverSideEmit("hello", "x"),
    { says: "server emit", name: "hello", arguments: ["x"] });
}

await classic();
await common("sharded", new Redis(), (redis) => createShardedAdapter(redis.client(), redis.client()));
await before();
await emitter();
const lines = vectors.map((vector) => `  ${JSON.stringify(vector)}`).join(",\n");
process.stdout.write(`[\n${lines}\n]\n`, () => process.exit(0));
