// Goal: the stock client works with every transport and with both parsers, in the same rooms as everybody else. Method:
// what applications do with it, once for each combination.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { KINDS } from "./kinds.mjs";
import { plainClient } from "./plain.mjs";
import { Forwarder, Server, eventually, next, token } from "./server.mjs";

const BYTES = Buffer.from([0, 1, 0x1e, 254, 255]);

let server;
const open = [];

before(async () => {
  server = await Server.start("--namespace", "/custom", "--packets-per-second", "0");
});

after(async () => {
  open.forEach((socket) => socket.disconnect());
  await server?.kill();
});

/** A client that has not connected yet. */
function socketOf(options, url = server.url) {
  const socket = io(url, { forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 500, ...options });
  open.push(socket);
  return socket;
}

async function client(options, url) {
  const socket = socketOf(options, url);
  await next(socket, "connect");
  return socket;
}

async function member(options, room, url) {
  const socket = await client(options, url);
  await socket.emitWithAck("join", { room });
  return socket;
}

const transportOf = (socket) => socket.io.engine.transport.name;

for (const [n, { name, options, ends }] of KINDS.entries()) {
  describe(name, () => {
    test("clients of a room hear each other, plain clients and services", async () => {
      const room = `meeting-${n}`;
      const plain = await plainClient(server, `?room=${room}`);
      await plain.hears("its join", ({ joined }) => joined);
      const [ada, bob] = [await member(options, room), await member(options, room)];
      const heard = { ada: [], bob: [] };
      ada.on("note", (note) => heard.ada.push(note));
      bob.on("note", (note) => heard.bob.push(note));
      const said = [{ text: "grüße, てすと, 😀\u2028" }, { text: "from a plain client" }, ["from", { a: "service" }, null]];
      assert.deepEqual(await ada.emitWithAck("publish", { room, event: "note", data: said[0] }), { room });
      plain.say({ id: 1, publish: room, event: "note", data: said[1] });
      await plain.hears("the ack", ({ id }) => id === 1);
      assert.equal((await server.post(`/api/v1/rooms/${room}/events`, { event: "note", data: said[2] })).status, 202);
      await eventually("all of it", () => heard.ada.length === 3 && heard.bob.length === 3);
      assert.deepEqual(heard, { ada: said, bob: said });
      const notes = plain.heard.filter(({ event }) => event === "note").map(({ data }) => data);
      assert.deepEqual(notes, said);
      await eventually(`the transport to be ${ends}`, () => transportOf(ada) === ends && transportOf(bob) === ends);
      plain.close();
    });

    test("binary arrives as binary, whoever sent it", async () => {
      const room = `files-${n}`;
      const plain = await plainClient(server, `?room=${room}`);
      await plain.hears("its join", ({ joined }) => joined);
      const ada = await member(options, room);
      const bob = await member({ transports: ["websocket"] }, room);
      for (const [from, to] of [[ada, bob], [bob, ada]]) {
        const heard = next(to, "file");
        await from.emitWithAck("publish", { room, event: "file", data: { name: "a", parts: [BYTES, Buffer.alloc(0)] } });
        const [{ name, parts }] = await heard;
        assert.equal(name, "a");
        assert.ok(parts.every((part) => part instanceof Uint8Array || part instanceof ArrayBuffer), "no binary");
        assert.deepEqual(parts.map((part) => Buffer.from(part)), [BYTES, Buffer.alloc(0)]);
      }
      await eventually("the plain client's files", () => plain.heard.filter(({ event }) => event === "file").length === 2);
      const file = plain.heard.find(({ event }) => event === "file");
      assert.deepEqual(file.data.parts, [{ $binary: BYTES.toString("base64") }, { $binary: "" }]);
      plain.close();
    });

    test("acks come in both directions, or their time runs out", async () => {
      const ada = await member(options, `acks-${n}`);
      const { error } = await ada.emitWithAck("join", { room: "" });
      assert.equal(error.code, "name-invalid");
      ada.on("question", (...args) => args.pop()("the answer to", args[0]));
      const path = `/api/v1/sessions/${ada.id}/events`;
      const asked = await server.post(path, { event: "question", data: { n }, ack_timeout_ms: 5_000 });
      assert.deepEqual(asked, { status: 200, answer: { answer: ["the answer to", { n }] } });
      const ignored = await server.post(path, { event: "nobody listens", data: 1, ack_timeout_ms: 100 });
      assert.equal(ignored.status, 504);
      server.process.kill("SIGSTOP");
      try {
        // It takes a moment until the server has stopped.
        const tooLate = () => ada.timeout(100).emitWithAck("join", { room: "late" }).then(() => false, (error) => error);
        assert.match((await eventually("an ack that does not come", tooLate)).message, /timed out/);
      } finally {
        server.process.kill("SIGCONT");
      }
      assert.equal((await ada.timeout(5_000).emitWithAck("join", { room: `acks-${n}` })).room, `acks-${n}`);
    });

    test("a volatile event arrives when the client is connected and is dropped when it is not", async () => {
      const room = `volatile-${n}`;
      const ada = await member(options, room);
      const bob = await member({ transports: ["websocket"] }, room);
      const heard = [];
      bob.on("message", ({ text }) => heard.push(text));
      // A volatile event is also dropped while the client's transport is busy.
      await eventually("a volatile event", () => {
        ada.volatile.emit("message", { room, text: "connected" });
        return heard.includes("connected");
      });
      ada.disconnect();
      ada.volatile.emit("message", { room, text: "dropped" });
      ada.emit("message", { room, text: "kept" });
      ada.connect();
      await eventually("what was kept", () => heard.includes("kept"));
      assert.ok(!heard.includes("dropped"));
    });

    test("namespaces share a connection, have rooms of their own, and are left one by one", async () => {
      const room = `rooms-${n}`;
      const main = await member(options, room);
      const custom = main.io.socket("/custom", {});
      open.push(custom);
      assert.equal((await custom.emitWithAck("join", { room })).members, 1);
      assert.equal(custom.io, main.io);
      const heard = [];
      main.on("message", ({ text }) => heard.push(["/", text]));
      custom.on("message", ({ text }) => heard.push(["/custom", text]));
      await main.emitWithAck("message", { room, text: "one" });
      await custom.emitWithAck("message", { room, text: "two" });
      await eventually("both", () => heard.length === 2);
      assert.deepEqual(heard, [["/", "one"], ["/custom", "two"]]);
      custom.disconnect();
      await main.emitWithAck("message", { room, text: "three" });
      await eventually("the one that stays", () => heard.length === 3);
      assert.deepEqual(heard[2], ["/", "three"]);
      const unknown = main.io.socket("/random", {});
      open.push(unknown);
      assert.equal((await next(unknown, "connect_error"))[0].message, "Invalid namespace");
      assert.equal((await main.emitWithAck("join", { room })).room, room);
    });

    test("what is said around an upgrade arrives in order, once, in both directions", async () => {
      const room = `line-${n}`;
      const speaker = await member({ transports: ["websocket"] }, room);
      const heard = [];
      const echoed = [];
      speaker.on("mine", (i) => echoed.push(i));
      const listener = socketOf(options);
      listener.on("message", ({ i }) => heard.push(i));
      await next(listener, "connect");
      await listener.emitWithAck("join", { room });
      for (let i = 0; i < 300; i += 1) {
        speaker.emit("message", { room, i });
        listener.emit("publish", { room, event: "mine", data: i });
        if (i % 10 === 0) await new Promise(setImmediate);
      }
      const line = Array.from({ length: 300 }, (_, i) => i);
      await eventually("all of it", () => heard.length >= 300 && echoed.length >= 300);
      assert.deepEqual(heard, line);
      assert.deepEqual(echoed, line);
      await eventually(`the transport to be ${ends}`, () => transportOf(listener) === ends);
    });

    test("a large event passes in both directions", async () => {
      const room = `large-${n}`;
      const ada = await member(options, room);
      const text = "grüße ".repeat(5_800);
      const heard = next(ada, "message");
      await ada.emitWithAck("message", { room, text });
      assert.equal((await heard)[0].text, text);
    });

    test("the client's goodbye is heard at once", async () => {
      const room = `bye-${n}`;
      const watcher = await client({ transports: ["websocket"] });
      const ada = await member(options, room);
      const present = async () => (await watcher.emitWithAck("presence", { room })).count;
      assert.equal(await present(), 1);
      ada.disconnect();
      await eventually("it to be gone", async () => (await present()) === 0);
    });
  });
}

test("all kinds of clients hear the same in one room", async () => {
  const sockets = await Promise.all(KINDS.map(({ options }) => member(options, "everybody")));
  const heard = sockets.map(() => []);
  sockets.forEach((socket, n) => socket.on("note", (from, part) => heard[n].push([from, Buffer.from(part)])));
  for (const [from, socket] of sockets.entries()) {
    await socket.emitWithAck("publish", { room: "everybody", event: "note", args: [from, BYTES] });
  }
  await eventually("everybody's notes everywhere", () => heard.every(({ length }) => length === KINDS.length));
  for (const notes of heard) assert.deepEqual(notes, KINDS.map((_, from) => [from, BYTES]));
});

test("a token lets every kind of client in, and a wrong one is a connect_error", async () => {
  const guarded = await Server.serve();
  try {
    for (const { name, options } of KINDS) {
      const ada = await member({ ...options, auth: { token: token("ada") } }, "secrets", guarded.url);
      const { members } = await ada.emitWithAck("presence", { room: "secrets" });
      assert.equal(members[0].user, "ada", name);
      ada.disconnect();
      await eventually("it to be gone", async () => (await guarded.metric("roomcast_open_sockets")) === 0);
      for (const auth of [{ token: "nonsense" }, {}]) {
        const refused = socketOf({ ...options, auth }, guarded.url);
        const [error] = await next(refused, "connect_error");
        assert.deepEqual([error.message, error.data.code], ["unauthenticated", "unauthenticated"], name);
        assert.equal(refused.connected, false);
        refused.disconnect();
      }
    }
  } finally {
    await guarded.kill();
  }
});

test("every kind of client comes back by itself when the server was killed and started again", async () => {
  const first = await Server.start();
  const forwarder = await Forwarder.start(first);
  let second;
  try {
    const sockets = await Promise.all(KINDS.map(({ options }) => member(options, "again", forwarder.url)));
    await eventually("the upgrades", () => sockets.every((socket, n) => transportOf(socket) === KINDS[n].ends));
    const before = sockets.map(({ id }) => id);
    const back = sockets.map((socket) => new Promise((resolve) => {
      socket.on("connect", async () => resolve(await socket.emitWithAck("join", { room: "again" })));
    }));
    second = await Server.start();
    forwarder.target = second;
    await first.kill();
    await Promise.all(back);
    const heard = sockets.map((socket) => next(socket, "message"));
    await sockets[0].emitWithAck("message", { room: "again", text: "welcome back" });
    for (const [{ text }] of await Promise.all(heard)) assert.equal(text, "welcome back");
    sockets.forEach((socket, n) => assert.notEqual(socket.id, before[n]));
    sockets.forEach((socket) => socket.disconnect());
  } finally {
    forwarder.stop();
    await Promise.all([first.kill(), second?.kill()]);
  }
});
