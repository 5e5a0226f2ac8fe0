// Goal: an application written for Socket.IO works unchanged. Method: the stock client over WebSocket.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { io } from "socket.io-client";
import { Forwarder, Server, eventually, next } from "./server.mjs";

const CLIENTS = 100;

let server;
const open = [];

before(async () => {
  server = await Server.start("--namespace", "/custom", "--packets-per-second", "0");
});

after(async () => {
  open.forEach((socket) => socket.disconnect());
  await server?.kill();
});

/** A connected client. */
async function client(url = server.url, options = {}) {
  const socket = io(url, { transports: ["websocket"], forceNew: true, ...options });
  open.push(socket);
  await next(socket, "connect");
  return socket;
}

/** A connected client in a room. */
async function member(room, url, options) {
  const socket = await client(url, options);
  await socket.emitWithAck("join", { room });
  return socket;
}

test("clients of a room hear each other's messages, and acks come back", async () => {
  const [ada, bob] = [await member("lobby"), await member("lobby")];
  const heard = Promise.all([next(ada, "message"), next(bob, "message")]);
  assert.deepEqual(await ada.emitWithAck("message", { room: "lobby", text: "hi" }), { room: "lobby" });
  assert.deepEqual(await heard, [[{ room: "lobby", text: "hi" }], [{ room: "lobby", text: "hi" }]]);
});

test("an event of any name reaches its handler with its arguments", async () => {
  const [ada, bob] = [await member("board"), await member("board")];
  const heard = next(bob, "cursor");
  await ada.emitWithAck("publish", { room: "board", event: "cursor", data: { x: 1, y: [2, null] } });
  assert.deepEqual(await heard, [{ x: 1, y: [2, null] }]);
});

test("binary arrives as binary", async () => {
  const [ada, bob] = [await member("files"), await member("files")];
  const heard = next(bob, "file");
  const bytes = Buffer.from([0, 1, 254, 255]);
  await ada.emitWithAck("publish", { room: "files", event: "file", data: { name: "a", parts: [bytes, Buffer.alloc(0)] } });
  const [{ name, parts }] = await heard;
  assert.equal(name, "a");
  assert.deepEqual(parts.map((part) => Buffer.from(part)), [bytes, Buffer.alloc(0)]);
});

test("presence lists both, leaving takes one away", async () => {
  const [ada, bob] = [await member("here"), await member("here")];
  const present = async () => (await ada.emitWithAck("presence", { room: "here" })).members.map(({ sid }) => sid).sort();
  assert.deepEqual(await present(), [ada.id, bob.id].sort());
  bob.disconnect();
  await eventually("the other to be gone", async () => (await present()).length === 1);
});

test("a refusal is an ack with an error, or an error event", async () => {
  const ada = await client();
  const { error } = await ada.emitWithAck("join", { room: "" });
  assert.equal(error.code, "name-invalid");
  const heard = next(ada, "error");
  ada.emit("join", { room: "" });
  assert.deepEqual(await heard, [error]);
});

test("a configured namespace is entered, an unknown one is a connect_error", async () => {
  const custom = await client(`${server.url}/custom`, { auth: { any: "thing" } });
  assert.equal((await custom.emitWithAck("join", { room: "lobby" })).members, 1);
  const unknown = io(`${server.url}/random`, { transports: ["websocket"], forceNew: true });
  open.push(unknown);
  const [error] = await next(unknown, "connect_error");
  assert.equal(error.message, "Invalid namespace");
});

test("a thousand messages of one sender arrive in order", async () => {
  const [ada, bob] = [await member("line"), await member("line")];
  const heard = [];
  bob.on("message", ({ n }) => heard.push(n));
  for (let n = 0; n < 1_000; n += 1) ada.emit("message", { room: "line", n });
  await eventually("all messages", () => heard.length === 1_000);
  assert.deepEqual(heard, Array.from({ length: 1_000 }, (_, n) => n));
});

test("no packet of another client makes a stock client drop its connection", async () => {
  const [ada, bob] = [await member("hostile"), await member("hostile")];
  let disconnected = false;
  bob.on("disconnect", () => { disconnected = true; });
  const raw = ada.io.engine;
  for (const num of ["-1", "1.5", "7", '"length"', "{}", "null"]) {
    const broken = `{"_placeholder":true,"num":${num}}`;
    raw.write(`51-["message",{"room":"hostile","good":{"_placeholder":true,"num":0},"bad":${broken}}]`);
    raw.write(Buffer.from([1]));
  }
  const heard = next(bob, "end");
  await ada.emitWithAck("publish", { room: "hostile", event: "end", data: 1 });
  await heard;
  assert.equal(disconnected, false);
});

test("after a drain every client is back on another server by itself, and hears what is said there", async () => {
  const first = await Server.start("--drain-window", "1s", "--drain-deadline", "10s", "--packets-per-second", "0");
  const second = await Server.start("--packets-per-second", "0");
  const forwarder = await Forwarder.start(first);
  const told = new Set();
  const back = new Set();
  const heard = new Set();
  const reasons = new Set();
  try {
    const sockets = await Promise.all(Array.from({ length: CLIENTS }, () => member("lobby", forwarder.url)));
    for (const [n, socket] of sockets.entries()) {
      socket.on("server.draining", ({ reconnect_after_ms }) => {
        assert.ok(reconnect_after_ms >= 0);
        told.add(n);
      });
      socket.on("disconnect", (reason) => reasons.add(reason));
      socket.on("connect", async () => {
        await socket.emitWithAck("join", { room: "lobby" });
        back.add(n);
      });
      socket.on("message", () => heard.add(n));
    }
    forwarder.target = second;
    const began = Date.now();
    assert.equal(await first.stop(), 0, "the exit code");
    await eventually("everybody to be back", () => back.size === CLIENTS);
    assert.ok(Date.now() - began < 8_000, `everybody was back after ${Date.now() - began} ms`);
    assert.equal(told.size, CLIENTS);
    assert.deepEqual([...reasons], ["transport close"]);
    assert.equal(await second.metric("roomcast_open_sockets"), CLIENTS);
    sockets[0].emit("message", { room: "lobby", text: "welcome back" });
    await eventually("everybody to hear it", () => heard.size === CLIENTS);
    sockets.forEach((socket) => socket.disconnect());
  } finally {
    forwarder.stop();
    await Promise.all([first.kill(), second.kill()]);
  }
});

test("a client whose connection breaks is the same afterwards and has missed nothing, again and again", async () => {
  const own = await Server.start("--recovery-window", "1m", "--packets-per-second", "0");
  try {
    const ada = await client(own.url);
    const bobs = await Promise.all([1, 2, 3].map(() => member("r", own.url, { reconnectionDelay: 200 })));
    const ids = bobs.map((bob) => bob.id);
    const heard = bobs.map(() => []);
    bobs.forEach((bob, i) => bob.on("message", ({ n }) => heard[i].push(n)));
    let n = 0;
    // The first time nobody has heard anything yet.
    for (let round = 1; round <= 3; round += 1) {
      const lost = bobs.map((bob) => next(bob, "disconnect"));
      bobs.forEach((bob) => bob.io.engine.transport.ws.terminate());
      await Promise.all(lost);
      await eventually("them to be away", async () => (await own.metric("roomcast_parked_sessions")) === 3);
      const back = bobs.map((bob) => next(bob, "connect"));
      for (let i = 0; i < round; i += 1) await ada.emitWithAck("message", { room: "r", n: (n += 1) });
      await Promise.all(back);
      await ada.emitWithAck("message", { room: "r", n: (n += 1) });
      await eventually("all to be heard", () => heard.every((list) => list.length >= n));
      assert.deepEqual(heard, bobs.map(() => Array.from({ length: n }, (_, i) => i + 1)));
      assert.deepEqual(bobs.map((bob) => bob.id), ids);
      assert.ok(bobs.every((bob) => bob.recovered));
    }
    bobs[0].disconnect().connect();
    await next(bobs[0], "connect");
    assert.notEqual(bobs[0].id, ids[0], "whoever says goodbye begins anew");
    assert.equal(bobs[0].recovered, false);
  } finally {
    await own.kill();
  }
});
