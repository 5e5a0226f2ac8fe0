// Goal: a cluster moves from Socket.IO on Node to roomcast and back as docs/migration.md says, and its clients notice no more than
// that their connections are made anew. Method: two official servers with an application of rooms, two roomcast nodes beside them,
// and nginx with examples/nginx-migration.conf; stock clients with addresses of their own, of which some only poll, some poll
// first and some begin with a WebSocket. After each step all of a room have to hear all others of it, and the official emitter.
//
//   ROOMCAST_BIN=path/to/roomcast node migration.mjs

import assert from "node:assert/strict";
import { Agent } from "node:http";
import { fileURLToPath } from "node:url";
import { Emitter } from "@socket.io/redis-emitter";
import { io } from "socket.io-client";
import { Nginx } from "./nginx.mjs";
import { eventually, freePort, guarded } from "./processes.mjs";
import { Redis, connect } from "./redis.mjs";

const EXAMPLE = new URL("../../examples/nginx-migration.conf", import.meta.url);
const KINDS = [["polling"], ["polling", "websocket"], ["websocket"]];
const ROOMS = 6;
const CLIENTS = 30;

const redis = await Redis.start();
const asker = await connect(redis.url);
const emitter = new Emitter(asker);

async function listening(node) {
  await eventually(`${node.url} to listen`, () => fetch(`${node.url}/socket.io/?EIO=4&transport=polling`).then(({ ok }) => ok, () => false));
  return node;
}

/** An official server, of the application of rooms. */
async function official() {
  const port = await freePort();
  const program = fileURLToPath(new URL("rooms.mjs", import.meta.url));
  return listening({ process: guarded(process.execPath, [program, port, redis.url].map(String), "ignore"), url: `http://127.0.0.1:${port}` });
}

async function roomcast() {
  const binary = process.env.ROOMCAST_BIN;
  if (!binary) throw new Error("set ROOMCAST_BIN to the roomcast binary");
  const [port, admin] = [await freePort(), await freePort()];
  const addresses = ["--listen", `127.0.0.1:${port}`, "--admin-listen", `127.0.0.1:${admin}`];
  const node = guarded(binary, ["dev", ...addresses, "--redis-url", redis.url, "--trusted-proxy", "127.0.0.1", "--database-url", "none", "--log", "warn"], "ignore");
  return listening({ process: node, url: `http://127.0.0.1:${port}`, admin: `http://127.0.0.1:${admin}` });
}

async function end(node) {
  const ended = new Promise((resolve) => node.process.once("exit", resolve));
  node.process.kill("SIGTERM");
  await ended;
}

/** The value of a metric. */
async function metric({ admin }, name) {
  const text = await (await fetch(`${admin}/metrics`)).text();
  return Number(text.split("\n").find((line) => line.startsWith(`${name} `))?.split(" ")[1]);
}

/** A stock client with an address of its own; whenever it is connected it joins its room. */
class Member {
  constructor(url, n) {
    Object.assign(this, { n, room: `room-${n % ROOMS}`, heard: [] });
    const agent = new Agent({ localAddress: `127.0.2.${n + 1}` });
    this.socket = io(url, { transports: KINDS[Math.floor(n / ROOMS) % KINDS.length], agent, forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 500 });
    this.socket.on("connect", () => this.socket.emit("join", { room: this.room }, () => (this.inRoom = this.socket.id)));
    this.socket.on("message", ({ mark, from }) => this.heard.push(`${mark} ${from}`));
  }

  get isThere() {
    return this.socket.connected && this.inRoom === this.socket.id;
  }
}

let rounds = 0;

/** Publishes to all rooms by the HTTP API of a node. */
async function publish({ url }, data) {
  const rooms = Array.from({ length: ROOMS }, (_, n) => `room-${n}`);
  const answer = await fetch(`${url}/api/v1/events`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify([{ rooms, event: "message", data }]),
  });
  assert.equal(answer.status, 202);
}

/** All of a room hear each other, the emitter, and the HTTP API if there is one, each of them once. */
async function check(what, members, api) {
  const round = async () => {
    await eventually("everybody to be in their rooms", () => members.every((member) => member.isThere));
    const mark = `${what} ${(rounds += 1)}`;
    members.forEach(({ socket, room, n }) => socket.emit("message", { room, from: n, mark }));
    for (let n = 0; n < ROOMS; n += 1) emitter.to(`room-${n}`).emit("message", { from: "emitter", mark });
    if (api) await publish(api, { from: "api", mark });
    const complete = ({ heard, room }) => {
      const expected = [...members.filter((other) => other.room === room).map(({ n }) => `${mark} ${n}`), `${mark} emitter`, ...(api ? [`${mark} api`] : [])];
      const found = heard.filter((line) => line.startsWith(`${mark} `));
      assert.ok(found.length <= expected.length, `${what}: heard twice: ${found}`);
      return expected.every((line) => found.includes(line));
    };
    await eventually(`all to hear all, ${what}`, () => members.every(complete));
  };
  // Whoever's connection was about to end has one more try.
  await round().catch(round);
  console.log(`ok: ${what}`);
}

/** nginx anew, with so many of the clients on roomcast's side: all connections are cut, as a reload would not. */
async function split(nginx, share, nodes) {
  await nginx?.stop();
  return Nginx.start(nodes, { example: EXAMPLE, port: nginx?.port, change: (text) => text.replace(/\d+% +roomcast;/, share === 0 ? "" : `${share} roomcast;`) });
}

const officials = [await official(), await official()];
let nginx = await split(undefined, 0, { node: officials, roomcast: officials });
const members = Array.from({ length: CLIENTS }, (_, n) => new Member(nginx.url, n));
await check("Node servers alone", members);

const nodes = [await roomcast(), await roomcast()];
const both = { node: officials, roomcast: nodes };
const count = async () => [await metric(nodes[0], "roomcast_broker_nodes"), (await asker.pubSubNumSub("socket.io-request#/#"))["socket.io-request#/#"]];
await eventually("all four to listen to the same requests", async () => (await count()).every((listening) => listening === 4));
await check("roomcast nodes beside them, without clients", members, nodes[0]);

for (const share of ["10%", "50%"]) {
  nginx = await split(nginx, share, both);
  await check(`${share} on roomcast`, members, nodes[0]);
}
const sessions = Number(await (await fetch(`${officials[0].url}/sessions`)).text());
assert.ok(sessions >= CLIENTS, `fetchSockets on Node found ${sessions} sessions`);
const { sessions: here } = await (await fetch(`${nodes[0].url}/api/v1/sessions`)).json();
assert.ok(here.length > 0, "nobody is on roomcast");

nginx = await split(nginx, 0, both);
await check("back on Node", members, nodes[0]);

nginx = await split(nginx, "50%", both);
await check("50% on roomcast once more", members, nodes[0]);
nginx = await split(nginx, "100%", both);
await check("all on roomcast", members, nodes[0]);
await Promise.all(officials.map(end));
await check("Node servers taken out", members, nodes[0]);
await nginx.stop();
nginx = await Nginx.start(nodes, { port: nginx.port });
await check("behind a load balancer without sticky sessions", members, nodes[0]);

members.forEach(({ socket }) => socket.disconnect());
await nginx.stop();
await Promise.all(nodes.map(end));
await redis.stop();
process.exit(0);
