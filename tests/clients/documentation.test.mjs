// Goal: the examples of README.md and docs/ work as they stand. Method: run each marked one against a server.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { findExamples, runExample } from "./examples.mjs";
import { Server } from "./server.mjs";

let server;

before(async () => {
  server = await Server.start();
});

after(async () => {
  await server?.kill();
});

const SELF = `
<!-- example: plain client -->
\`\`\`js
const socket = new WebSocket("ws://localhost:3000/ws?room=lobby");
socket.onmessage = ({ data }) => console.log(data);
socket.onopen = () => socket.send(JSON.stringify({ publish: "lobby", data: "hello" }));
\`\`\`
<!-- expect: "event":"message","data":"hello" -->

<!-- example: readiness -->
\`\`\`sh
curl -fsS http://localhost:3000/readyz && curl -fsS http://localhost:3001/metrics | grep -c roomcast_
\`\`\`
<!-- expect: [1-9] -->

<!-- example: expectation in the code -->
\`\`\`js
import { io } from "socket.io-client"; // EXPECT in a sentence is none
// EXPECT: ^1$
console.log(typeof io === "function" ? 1 : 0);
\`\`\`
`;

test("examples are found and run as a reader would", async () => {
  const examples = findExamples(SELF);
  assert.deepEqual(examples.map(({ name, kind }) => [name, kind]), [
    ["plain client", "js"],
    ["readiness", "sh"],
    ["expectation in the code", "js"],
  ]);
  for (const example of examples) {
    if (example.name === "expectation in the code") example.expect = /^1\s*$/;
    await runExample(example, server);
  }
  const wrong = { name: "wrong", kind: "sh", code: "echo no", expect: /yes/ };
  await assert.rejects(runExample(wrong, server), /does not match/);
  await assert.rejects(runExample({ name: "fails", kind: "sh", code: "exit 3" }, server), /ended with 3/);
  assert.throws(() => findExamples("<!-- example: lost -->\ntext"), /1 examples are marked, but 0/);
});

const ROOT = new URL("../../", import.meta.url);
const found = (await readdir(new URL("docs/", ROOT))).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`);
const pages = ["README.md", ...found.sort()];
const texts = await Promise.all(pages.map((page) => readFile(new URL(page, ROOT), "utf8")));
const examplesOf = texts.map(findExamples);
pages.forEach((page, at) => {
  for (const example of examplesOf[at]) test(`${page}: ${example.name}`, () => runExample(example, server));
});

test("README.md: the first examples meet in one room", async () => {
  const named = (wanted) => examplesOf[0].find(({ name }) => name === wanted);
  const speakers = ["browser", "socket.io-client", "curl"].map(named);
  const everybody = /(?=.*hello from a browser)(?=.*hello from Socket\.IO)(?=.*hello from curl)/s;
  const hears = (name, expect) => runExample({ ...named(name), expect }, server);
  let met = false;
  const listeners = [hears("wscat", everybody), hears("browser", /from curl/), hears("socket.io-client", /from curl/)];
  const meeting = Promise.all(listeners).finally(() => { met = true; });
  meeting.catch(() => {}); // it is awaited below
  while (!met) for (const speaker of speakers) await runExample(speaker, server);
  await meeting;
});
