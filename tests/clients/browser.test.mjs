// Goal: it works in a browser, from a page of another origin too. Method: a headless Chromium (CHROMIUM is its program)
// with the client file that pages load, every transport and both parsers; the README's example; an EventSource.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { io } from "socket.io-client";
import { findExamples, relocate } from "./examples.mjs";
import { Server, eventually, next } from "./server.mjs";

const { CHROMIUM } = process.env;
const skip = !CHROMIUM && "set CHROMIUM to a Chromium's program";
const DIST = join(dirname(createRequire(import.meta.url).resolve("socket.io-client/package.json")), "dist");
const SCRIPTS = ["socket.io.min.js", "socket.io.msgpack.min.js"];
/** Where the page is that loads the script whose name follows. */
const PAGE = "/page/";
const TRANSPORTS = [["polling"], ["websocket"], ["polling", "websocket"]];

let server;
let pages;
let browser;
let node;

before(async () => {
  if (skip) return;
  server = await Server.start("--packets-per-second", "0");
  pages = createServer(async ({ url }, answer) => {
    if (SCRIPTS.includes(url.slice(1))) {
      answer.setHeader("content-type", "text/javascript");
      answer.end(await readFile(join(DIST, url.slice(1))));
    } else {
      answer.setHeader("content-type", "text/html");
      answer.end(`<!doctype html><title>test</title><script src="/${url.slice(PAGE.length)}"></script>`);
    }
  }).listen(0, "127.0.0.1");
  await next(pages, "listening");
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  node = io(server.url, { transports: ["websocket"] });
  await next(node, "connect");
}, { timeout: 60_000 });

after(async () => {
  node?.disconnect();
  await browser?.close();
  pages?.close();
  await server?.kill();
});

/** A page of another origin than the server's that has loaded `script`. */
async function open(script) {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${pages.address().port}${PAGE}${script}`);
  return page;
}

/** Runs in the page: joins a room, publishes text and binary, hears itself and the other. */
async function takePart({ url, transports, room }) {
  const socket = globalThis.io(url, { transports });
  const heard = [];
  socket.on("note", (from, bytes) => heard.push([from, [...new Uint8Array(bytes)]]));
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("connect_error", reject));
  await socket.emitWithAck("join", { room });
  await socket.emitWithAck("publish", { room, event: "note", args: ["page", new Uint8Array([1, 0, 255]).buffer] });
  await new Promise((resolve) => {
    const look = () => (heard.length === 2 ? resolve() : setTimeout(look, 20));
    look();
  });
  const wanted = transports.at(-1);
  while (socket.io.engine.transport.name !== wanted) await new Promise((resolve) => setTimeout(resolve, 20));
  socket.disconnect();
  return heard;
}

for (const script of SCRIPTS) {
  for (const transports of TRANSPORTS) {
    test(`a page with ${script} over ${transports.join(" then ")}`, { skip, timeout: 30_000 }, async () => {
      const room = `${script}-${transports}`;
      await node.emitWithAck("join", { room });
      const hears = next(node, "note");
      const page = await open(script);
      const heard = page.evaluate(takePart, { url: server.url, transports, room });
      const [from, bytes] = await hears;
      assert.deepEqual([from, [...bytes]], ["page", [1, 0, 255]]);
      await node.emitWithAck("publish", { room, event: "note", args: ["node", Buffer.from([7, 8])] });
      assert.deepEqual(await heard, [["page", [1, 0, 255]], ["node", [7, 8]]]);
      await node.emitWithAck("leave", { room });
      await page.close();
    });
  }
}

test("the README's example for a browser's console, in a browser's console", { skip, timeout: 30_000 }, async () => {
  const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const example = findExamples(readme).find(({ name }) => name === "browser");
  const page = await browser.newPage();
  const printed = [];
  page.on("console", (line) => printed.push(line.text()));
  await page.goto(`${server.url}/livez`);
  await page.evaluate(relocate(example.code, server));
  await eventually("its output", () => example.expect.test(printed.join("\n")));
  await page.close();
});

test("an EventSource hears what is said in its rooms", { skip, timeout: 30_000 }, async () => {
  const page = await open(SCRIPTS[0]);
  await page.evaluate((url) => {
    globalThis.heard = [];
    const source = new EventSource(`${url}/sse?room=news&room=weather`);
    source.addEventListener("headline", ({ data }) => globalThis.heard.push(JSON.parse(data)));
    return new Promise((resolve, reject) => {
      source.onopen = resolve;
      source.onerror = () => reject(new Error("the EventSource failed"));
    });
  }, server.url);
  await node.emitWithAck("publish", { room: "news", event: "headline", data: { text: "grüße\n\nzwei" } });
  await server.post("/api/v1/rooms/weather/events", { event: "headline", data: [1, null] });
  await page.waitForFunction(() => globalThis.heard.length === 2);
  assert.deepEqual(await page.evaluate(() => globalThis.heard), [
    { room: "news", data: { text: "grüße\n\nzwei" } },
    { room: "weather", data: [1, null] },
  ]);
  await page.close();
});
