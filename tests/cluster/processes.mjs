// The servers of a cluster: processes that end with this one.

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

/** How long anything that must happen may take: far more than it needs, so that only a fault reaches it. */
export const PATIENCE_MS = 15_000;

/** Resolves to what `value` returns once that is true; fails when it takes too long. */
export async function eventually(what, value) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const result = await value();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await sleep(10);
  }
}

/**
 * A port where nobody listens, below those that the system gives to clients: whoever connects in vain to one of those, while
 * a server is away, may be given that very port and meet itself.
 */
export async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer();
    const outcome = new Promise((resolve) => server.once("listening", () => resolve(true)).once("error", () => resolve(false)));
    server.listen(port, "127.0.0.1");
    if (!(await outcome)) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

/** Starts a process that ends with this one, however this one ends: a shell that reads from a pipe notices, and kills it. */
export function guarded(program, args, stdio) {
  const child = spawn(program, args, { stdio });
  if (child.pid === undefined) return child;
  const guard = spawn("sh", ["-c", `read -r _; kill -9 ${child.pid}`], { stdio: ["pipe", "ignore", "ignore"] });
  guard.unref();
  guard.stdin.unref();
  child.once("exit", () => guard.kill("SIGKILL"));
  return child;
}

/** A server that runs the contract application. */
export class Node {
  /** Starts `command` on a free port; its line says when it listens. */
  static async start(name, kind, [program, ...first], options) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await new Node().run(name, kind, program, first, options);
      } catch (error) {
        if (attempt === 3) throw error;
      }
    }
  }

  async run(name, kind, program, first, options) {
    const port = await freePort();
    Object.assign(this, { name, kind, url: `http://127.0.0.1:${port}` });
    const args = [...first, ...Object.entries({ ...options, port, node: name }).flatMap(([key, value]) => [`--${key}`, String(value)])];
    this.process = guarded(program, args, ["ignore", "pipe", "inherit"]);
    this.ended = new Promise((resolve) => this.process.once("exit", resolve));
    let [ready, failure] = [false];
    this.process.once("error", (error) => (failure = error));
    this.process.stdout.on("data", (line) => (ready ||= line.includes("listens on")));
    await eventually(`${name} to listen`, () => {
      if (failure) throw failure;
      if (this.process.exitCode !== null) throw new Error(`${name} ended with ${this.process.exitCode}`);
      return ready;
    });
    return this;
  }

  /** Ends it as a fault of the machine would. */
  async kill() {
    this.process.kill("SIGKILL");
    await this.ended;
  }
}

/** How an official Socket.IO server is started. */
export const OFFICIAL = [process.execPath, fileURLToPath(new URL("contract.mjs", import.meta.url))];
