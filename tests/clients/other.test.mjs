// Goal: clients of other languages meet the same rooms. Method: programs with python-socketio (ROOMCAST_PYTHON, an
// interpreter that has it) and with rust_socketio (ROOMCAST_RUST_CLIENT, from tests/clients/rust), with each transport.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";
import { io } from "socket.io-client";
import { plainClient } from "./plain.mjs";
import { Server, eventually, next } from "./server.mjs";

const COUNT = 300;
const TRANSPORTS = ["polling", "websocket", "polling,websocket"];
const PROGRAM = fileURLToPath(new URL("python/client.py", import.meta.url));
const { ROOMCAST_PYTHON, ROOMCAST_RUST_CLIENT } = process.env;

let server;

before(async () => {
  server = await Server.start("--packets-per-second", "0");
});

after(async () => {
  await server?.kill();
});

/** Runs a program that prints what it hears. */
function run(command, args) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  const lines = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(JSON.parse(line)));
  const ended = next(child, "exit");
  ended.catch(() => {}); // it is awaited below
  const heard = (what) => lines.filter(([name]) => name === what).map(([, ...args]) => args);
  return { lines, heard, ended: () => ended, kill: () => child.kill("SIGKILL") };
}

/** Starts a program in a room with two others; all hear each other. `inOrder` puts right what the program mixes up. */
async function meet(start, room, from, inOrder = (counts) => counts) {
  const plain = await plainClient(server, `?room=${room}`);
  const ada = io(server.url, { transports: ["websocket"], forceNew: true });
  await next(ada, "connect");
  await ada.emitWithAck("join", { room });
  const notes = [];
  ada.on("note", (note) => notes.push(note));
  const program = start();
  try {
    await eventually("its note", () => notes.length === 1);
    assert.equal(notes[0].from, from);
    assert.equal((await plain.hears("its note", ({ event }) => event === "note")).data.from, from);
    await ada.emitWithAck("publish", { room, event: "note", data: { from: "ada" } });
    await ada.emitWithAck("publish", { room, event: "note", data: Buffer.from([1, 0, 255]) });
    for (let n = 0; n < COUNT; n += 1) plain.say({ publish: room, event: "count", data: n });
    await eventually("the count", () => program.heard("count").length === COUNT);
    assert.deepEqual(inOrder(program.heard("count").flat()), Array.from({ length: COUNT }, (_, n) => n));
    assert.deepEqual(program.heard("heard").slice(1), [[{ from: "ada" }], [{ bytes: [1, 0, 255] }]]);
    return program;
  } finally {
    await server.post(`/api/v1/rooms/${room}/events`, { event: "end", data: null });
    await program.ended().catch(program.kill);
    ada.disconnect();
    plain.close();
  }
}

for (const transport of TRANSPORTS) {
  const skip = !ROOMCAST_PYTHON && "set ROOMCAST_PYTHON to an interpreter with python-socketio";
  test(`python-socketio over ${transport}`, { skip }, async () => {
    const room = `python-${transport}`;
    // Each event is handled in a thread of its own, so the order in which they are printed says nothing.
    const sorted = (counts) => counts.sort((a, b) => a - b);
    const start = () => run(ROOMCAST_PYTHON, [PROGRAM, server.url, transport, room]);
    const program = await meet(start, room, "python", sorted);
    assert.deepEqual(program.heard("heard")[0], [{ from: "python", bytes: { bytes: [0, 30, 255] } }]);
    assert.deepEqual(program.heard("over"), [[transport === "polling" ? "polling" : "websocket"]]);
    assert.deepEqual(await program.ended(), [0, null]);
  });
}

for (const transport of TRANSPORTS) {
  const skip = !ROOMCAST_RUST_CLIENT && "set ROOMCAST_RUST_CLIENT to the program of tests/clients/rust";
  test(`rust_socketio over ${transport}`, { skip }, async () => {
    const room = `rust-${transport}`;
    const program = await meet(() => run(ROOMCAST_RUST_CLIENT, [server.url, transport, room]), room, "rust");
    assert.deepEqual(program.heard("heard")[0], [{ from: "rust" }]);
    assert.deepEqual(await program.ended(), [0, null]);
  });
}
