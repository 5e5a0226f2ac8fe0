// Goal: the plain protocol needs no SDK. Method: the `ws` package, MessagePack by its own library, and wscat as people
// type it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";
import { plainClient } from "./plain.mjs";
import { Server, next } from "./server.mjs";

let server;

before(async () => {
  server = await Server.start();
});

after(async () => {
  await server?.kill();
});

const client = (query, packed) => plainClient(server, query, packed);

test("JSON and MessagePack clients share a room, binary included", async () => {
  const json = await client("?room=lobby");
  const packed = await client("?room=lobby", true);
  await packed.hears("its join", ({ joined }) => joined?.room === "lobby");
  json.say({ id: 1, publish: "lobby", event: "greeting", data: { text: "grüße" } });
  assert.deepEqual((await json.hears("the ack", ({ id }) => id === 1)).ok, { room: "lobby" });
  for (const one of [json, packed]) {
    const { data } = await one.hears("the greeting", ({ event }) => event === "greeting");
    assert.deepEqual(data, { text: "grüße" });
  }
  packed.say({ publish: "lobby", event: "file", data: new Uint8Array([1, 2, 255]) });
  assert.deepEqual([...(await packed.hears("the file", ({ event }) => event === "file")).data], [1, 2, 255]);
  assert.deepEqual((await json.hears("the file", ({ event }) => event === "file")).data, { $binary: "AQL/" });
  json.close();
  packed.close();
});

test("wscat joins, speaks, and prints what it hears", async () => {
  const wscat = fileURLToPath(new URL("node_modules/wscat/bin/wscat", import.meta.url));
  const address = `ws://127.0.0.1:${server.port}/ws?room=terminal`;
  const say = JSON.stringify({ id: 1, publish: "terminal", event: "message", data: "hello" });
  const child = spawn(process.execPath, [wscat, "-c", address, "-x", say, "-w", "1"], { stdio: ["pipe", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (data) => { output += data; });
  const [code] = await next(child, "exit");
  assert.equal(code, 0);
  for (const line of ['"hello":{"sid"', '"joined":{"room":"terminal"', '{"room":"terminal","event":"message","data":"hello"}', '"ok":{"room":"terminal"}']) {
    assert.ok(output.includes(line), `${line} is not in\n${output}`);
  }
});

test("a second wscat is heard by the first", async () => {
  const listener = await client("?room=two");
  await listener.hears("its join", ({ joined }) => joined);
  const wscat = fileURLToPath(new URL("node_modules/wscat/bin/wscat", import.meta.url));
  const say = JSON.stringify({ publish: "two", data: "from a terminal" });
  const child = spawn(process.execPath, [wscat, "-c", `ws://127.0.0.1:${server.port}/ws`, "-x", say], { stdio: ["pipe", "ignore", "inherit"] });
  assert.equal((await listener.hears("the other", ({ event }) => event === "message")).data, "from a terminal");
  child.kill();
  listener.close();
});
