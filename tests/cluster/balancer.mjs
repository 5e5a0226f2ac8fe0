// Goal: behind a load balancer that gives each request to the next of three nodes, stock clients notice nothing: no session is
// unknown, no event is lost, doubled or out of order, nobody is disconnected. Method: nginx; in each room one client that
// only polls, one that polls and moves to a WebSocket, and one that begins with a WebSocket, all of which talk all the time;
// beside them visitors of each kind who come, talk and go.
//
//   ROOMCAST_BIN=path/to/roomcast node balancer.mjs [--seconds 20] [--rooms 8] [--visitors 6]

import { parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";
import { Nginx } from "./nginx.mjs";
import { PATIENCE_MS, eventually, freePort, guarded } from "./processes.mjs";
import { Redis } from "./redis.mjs";

const KINDS = { polling: ["polling"], upgrade: ["polling", "websocket"], websocket: ["websocket"] };

/** Time between two things that a client says, in milliseconds. */
const PAUSE_MS = 250;

/** What a visitor says before it goes. */
const SAYS = 5;

const { values } = parseArgs({
  options: { seconds: { type: "string", default: "20" }, rooms: { type: "string", default: "8" }, visitors: { type: "string", default: "6" } },
});
const faults = new Map();
const sums = { said: 0, heard: 0, sessions: 0, upgrades: 0 };
let running = true;

function report() {
  for (const [what, count] of faults) console.log(`FAULT ${count} × ${what}`);
}

function fault(what) {
  faults.set(what, (faults.get(what) ?? 0) + 1);
}

/** A roomcast node. */
async function start(redis) {
  const binary = process.env.ROOMCAST_BIN;
  if (!binary) throw new Error("set ROOMCAST_BIN to the roomcast binary");
  const [port, admin] = [await freePort(), await freePort()];
  const addresses = ["--listen", `127.0.0.1:${port}`, "--admin-listen", `127.0.0.1:${admin}`];
  const node = guarded(binary, ["dev", ...addresses, "--redis-url", redis.url, "--trusted-proxy", "127.0.0.1", "--log", "warn"], "ignore");
  return { process: node, url: `http://127.0.0.1:${port}`, admin: `http://127.0.0.1:${admin}` };
}

/** The sum of a metric over all nodes, of the series whose labels match. */
async function sum(nodes, name, labels = /^/) {
  const texts = await Promise.all(nodes.map(async ({ admin }) => (await fetch(`${admin}/metrics`)).text()));
  const lines = texts.flatMap((text) => text.split("\n")).filter((line) => line.startsWith(name) && labels.test(line));
  return lines.reduce((all, line) => all + Number(line.split(" ").at(-1)), 0);
}

/** One session: it talks in a room, and remembers what it hears there of each client. */
class Talker {
  constructor(url, kind, room, name) {
    Object.assign(this, { kind, room, name, said: 0, heard: new Map() });
    this.socket = io(url, { transports: KINDS[kind], forceNew: true, reconnection: false });
    sums.sessions += 1;
    this.socket.on("connect_error", (error) => fault(`${kind}: ${error.message} ${error.description?.message ?? error.context?.responseText ?? ""}`));
    this.socket.on("disconnect", (reason, details) => this.left || fault(`${kind}: ${reason} ${details?.context?.responseText ?? details?.description ?? ""}`));
    this.socket.on("message", ({ from, n }) => this.hear(from, n));
    this.socket.on("error", (error) => fault(`${kind}: error ${JSON.stringify(error)}`));
    this.socket.once("connect", () => this.socket.io.engine.once("upgrade", () => (sums.upgrades += 1)));
  }

  hear(from, n) {
    sums.heard += 1;
    const next = this.heard.get(from) ?? 0;
    if (n > next) fault("lost");
    if (n < next) fault("twice or out of order");
    this.heard.set(from, Math.max(next, n + 1));
  }

  async enter() {
    await this.socket.timeout(PATIENCE_MS).emitWithAck("join", { room: this.room });
    return this;
  }

  say() {
    this.socket.emit("message", { room: this.room, from: this.name, n: this.said });
    this.said += 1;
    sums.said += 1;
  }

  has(other) {
    return (this.heard.get(other.name) ?? 0) === other.said;
  }

  leave() {
    this.left = true;
    this.socket.disconnect();
  }
}

/** Comes, talks, hears itself, and goes, until the end. */
async function visit(url, n) {
  const kind = Object.keys(KINDS)[n % 3];
  while (running) {
    const talker = new Talker(url, kind, `visit-${n}`, "visitor");
    try {
      await talker.enter();
      for (let said = 0; said < SAYS; said += 1) {
        talker.say();
        await sleep(Math.random() * PAUSE_MS);
      }
      await eventually("a visitor to hear itself", () => talker.has(talker));
    } catch (error) {
      fault(`${kind} visitor: ${error.message}`);
    }
    talker.leave();
    await sleep(Math.random() * PAUSE_MS);
  }
}

async function talk(talker) {
  await sleep(Math.random() * PAUSE_MS);
  while (running) {
    talker.say();
    await sleep(PAUSE_MS);
  }
}

const redis = await Redis.start();
const nodes = await Promise.all([start(redis), start(redis), start(redis)]);
for (const { admin } of nodes) {
  const ready = async () => (await (await fetch(`${admin}/metrics`)).text()).includes("\nroomcast_nodes 3\n");
  await eventually("the nodes to know each other", () => ready().catch(() => false));
}
const nginx = await Nginx.start(nodes);
const rooms = await Promise.all(
  Array.from({ length: Number(values.rooms) }, (_, n) =>
    Promise.all(Object.keys(KINDS).map((kind) => new Talker(nginx.url, kind, `room-${n}`, kind).enter())),
  ),
).catch((error) => {
  report();
  throw error;
});
const residents = rooms.flat();
const tasks = [...residents.map(talk), ...Array.from({ length: Number(values.visitors) }, (_, n) => visit(nginx.url, n))];
const began = Date.now();
while (Date.now() - began < Number(values.seconds) * 1_000 && faults.size < 20) await sleep(100);
running = false;
await Promise.all(tasks);
const complete = () => rooms.every((room) => room.every((talker) => room.every((other) => talker.has(other))));
await eventually("everything to be heard", complete).catch((error) => fault(error.message));
for (const talker of residents) {
  const carrier = talker.socket.io.engine.transport.name;
  if (carrier !== (talker.kind === "polling" ? "polling" : "websocket")) fault(`${talker.kind}: carried by ${carrier}`);
}

const relayed = await sum(nodes, "roomcast_relayed_total");
const unknown = await sum(nodes, "roomcast_handshakes_total", /malformed/);
const failures = await sum(nodes, "roomcast_relay_failures_total");
if (unknown > 0) fault(`${unknown} requests of unknown sessions`);
if (failures > 0) fault(`${failures} requests could not be relayed`);
if (relayed === 0) fault("nothing was relayed: the load balancer was not needed");
if (nginx.log()) fault(`nginx: ${nginx.log().slice(0, 500)}`);
residents.forEach((talker) => talker.leave());
console.log(
  `${Math.round((Date.now() - began) / 1_000)} s through nginx over three nodes: ${sums.sessions} sessions, ${sums.upgrades} upgrades, ` +
    `${sums.said} things said, ${sums.heard} heard, ${relayed} requests relayed between nodes, ${unknown} of unknown sessions`,
);
report();
await nginx.stop();
nodes.forEach((node) => node.process.kill("SIGKILL"));
await redis.stop();
process.exit(faults.size > 0 ? 1 : 0);
