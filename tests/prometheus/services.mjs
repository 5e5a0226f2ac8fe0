// What the test runs: PostgreSQL, Redis, roomcast, Prometheus and Alertmanager, each a process that ends with this one, on ports and in
// folders of its own.

import { execFileSync } from "node:child_process";
import { chownSync, mkdirSync, readdirSync, realpathSync } from "node:fs";
import { createConnection } from "node:net";
import { dirname, join } from "node:path";
import { eventually, freePort, guarded } from "../cluster/processes.mjs";

/** Resolves to whether somebody listens. */
export function listens(port) {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** Resolves to the body of an answer, or to nothing when there is none yet. */
export async function get(url, options = {}) {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(3_000), ...options });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${url}: ${answer.status} ${text}`);
    return text.startsWith("{") ? JSON.parse(text) : text || " ";
  } catch (error) {
    if (error.message.startsWith(url)) throw error;
  }
}

const running = [];

/** Ends all that was started, so that nobody writes any more. */
export function stopAll() {
  for (const child of running) child.kill("SIGKILL");
  return Promise.all(running.map((child) => child.ended));
}

/** Starts a program and waits until `ready` is true. Its complaints are ours. */
export async function start(name, [program, ...args], ready) {
  const child = guarded(program, args, ["ignore", "pipe", "pipe"]);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (text) => (said = (said + text).slice(-4_000)));
  child.ended = new Promise((resolve) => child.once("exit", resolve));
  running.push(child);
  let failure;
  child.once("error", (error) => (failure = error));
  if (child.pid === undefined) running.pop();
  await eventually(`${name} to be ready`, async () => {
    if (failure || child.exitCode !== null) throw new Error(`${name} ended: ${failure?.message ?? said}`);
    return ready();
  });
  return child;
}

/** Where the programs of PostgreSQL are. */
function postgresPrograms() {
  const folder = "/usr/lib/postgresql";
  try {
    return dirname(realpathSync(execFileSync("sh", ["-c", "command -v initdb"], { encoding: "utf8" }).trim()));
  } catch {
    return join(folder, readdirSync(folder).sort((a, b) => a - b).at(-1), "bin");
  }
}

/** Starts PostgreSQL behind a socket in `folder`, and resolves to its address and its process. */
export async function postgres(folder) {
  const bin = postgresPrograms();
  const home = join(folder, "postgres");
  mkdirSync(home);
  // PostgreSQL does not run as root.
  const isRoot = process.getuid() === 0;
  const asOwner = isRoot ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : [];
  if (isRoot) {
    const [uid, gid] = ["-u", "-g"].map((which) => Number(execFileSync("id", [which, "postgres"])));
    chownSync(home, uid, gid);
  }
  const run = ([program, ...args]) => execFileSync(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  run([...asOwner, join(bin, "initdb"), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-N", "-D", join(home, "data")]);
  const server = [...asOwner, join(bin, "postgres"), "-D", join(home, "data"), "-k", home, "-c", "listen_addresses=", "-c", "fsync=off"];
  const child = await start("PostgreSQL", server, () => {
    try {
      return run([join(bin, "createdb"), "-h", home, "-U", "postgres", "roomcast"]);
    } catch {
      return false;
    }
  });
  return { process: child, url: `postgres://postgres@${encodeURIComponent(home)}/roomcast?sslmode=disable` };
}

/** Starts a Redis server that stores nothing. */
export async function redis(folder) {
  const port = await freePort();
  const command = ["redis-server", "--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder];
  return { process: await start("Redis", command, () => listens(port)), url: `redis://127.0.0.1:${port}` };
}

/** A node of roomcast, which can be killed and started again at the same addresses. */
export class RoomcastNode {
  static async start(program) {
    const node = new RoomcastNode();
    Object.assign(node, { program, port: await freePort(), adminPort: await freePort() });
    await node.start();
    return node;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  get admin() {
    return `127.0.0.1:${this.adminPort}`;
  }

  /** The settings come from the environment. */
  async start() {
    const addresses = ["--listen", `127.0.0.1:${this.port}`, "--admin-listen", this.admin];
    const ready = async () => (await get(`http://${this.admin}/readyz`).catch(() => ""))?.startsWith("ready");
    this.process = await start("roomcast", [this.program, "serve", ...addresses, "--log", "warn"], ready);
  }

  /** Ends it as a fault of the machine would. */
  async kill() {
    this.process.kill("SIGKILL");
    await this.process.ended;
  }
}
