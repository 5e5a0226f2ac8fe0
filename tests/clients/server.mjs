// A roomcast server in a process of its own, on free ports: the binary that ROOMCAST_BIN names.

import { execFileSync, spawn } from "node:child_process";
import { createConnection, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const PATIENCE_MS = 15_000;

/** What servers that ask for tokens sign them with. */
const SECRET = "0123456789abcdef0123456789abcdef";

/** A token for `user`. */
export function token(user) {
  return execFileSync(process.env.ROOMCAST_BIN, ["token", "--sub", user, "--auth-secret", SECRET], { encoding: "utf8" }).trim();
}

/** Resolves to what `value` returns once that is true; fails when it takes too long. */
export async function eventually(what, value) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const result = await value();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await sleep(20);
  }
}

/** Resolves with the arguments of the next `event` of an emitter. */
export function next(emitter, event) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited in vain for "${event}"`)), PATIENCE_MS);
    emitter.once(event, (...args) => {
      clearTimeout(timer);
      resolve(args);
    });
  });
}

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await next(server, "listening");
  const { port } = server.address();
  server.close();
  await next(server, "close");
  return port;
}

export class Server {
  /** Starts `roomcast dev` with more arguments, and waits until it is ready. */
  static start(...args) {
    return Server.run("dev", args);
  }

  /** Starts `roomcast serve`, which asks clients for tokens signed with SECRET. */
  static serve(...args) {
    return Server.run("serve", ["--auth-secret", SECRET, ...args]);
  }

  /** Starts it on other ports if need be. */
  static async run(command, args) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await Server.startOnce(command, args);
      } catch (error) {
        // A free port may have been given to somebody's client before the server had it.
        if (attempt === 3) throw error;
      }
    }
  }

  static async startOnce(command, args) {
    const binary = process.env.ROOMCAST_BIN;
    if (!binary) throw new Error("set ROOMCAST_BIN to the roomcast binary");
    const server = new Server();
    server.port = await freePort();
    server.adminPort = await freePort();
    const addresses = ["--listen", `127.0.0.1:${server.port}`, "--admin-listen", `127.0.0.1:${server.adminPort}`];
    server.process = spawn(binary, [command, ...addresses, ...args], { stdio: "ignore" });
    process.once("exit", () => server.process.kill("SIGKILL")); // whatever happens to the test
    server.ended = new Promise((resolve) => server.process.once("exit", (code, signal) => resolve(code ?? signal)));
    await eventually("the server to be ready", async () => {
      if (server.process.exitCode !== null) throw new Error(`the server ended with ${server.process.exitCode}`);
      return fetch(`http://127.0.0.1:${server.port}/readyz`).then((answer) => answer.ok, () => false);
    });
    return server;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The sum of a metric's samples. */
  async metric(name) {
    const text = await (await fetch(`http://127.0.0.1:${this.adminPort}/metrics`)).text();
    const samples = text.split("\n").filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
    return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
  }

  /** Asks the HTTP API; resolves to the status and the answer. */
  async post(path, body) {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(this.url + path, { method: "POST", headers, body: JSON.stringify(body) });
    return { status: answer.status, answer: await answer.json() };
  }

  /** Sends SIGTERM and resolves to the exit code. */
  async stop() {
    this.process.kill("SIGTERM");
    return this.ended;
  }

  /** Ends it in any case. */
  async kill() {
    this.process.kill("SIGKILL");
    await this.ended;
  }
}

/** An address that stays while the server behind it changes: what a load balancer is to clients. */
export class Forwarder {
  static async start(target) {
    const forwarder = new Forwarder();
    forwarder.target = target;
    forwarder.server = createServer((near) => {
      const far = createConnection(forwarder.target.port, "127.0.0.1");
      near.on("error", () => far.destroy()).on("close", () => far.destroy());
      far.on("error", () => near.destroy()).on("close", () => near.destroy());
      near.pipe(far).pipe(near);
    }).listen(0, "127.0.0.1");
    await next(forwarder.server, "listening");
    forwarder.url = `http://127.0.0.1:${forwarder.server.address().port}`;
    return forwarder;
  }

  stop() {
    this.server.close();
  }
}
