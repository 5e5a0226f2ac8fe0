// Clients of Redis, and a server of a test's own.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, createCluster } from "redis";
import { eventually, freePort, guarded } from "./processes.mjs";

/** A client that is connected: of a Cluster, when commas stand between several addresses. */
export async function connect(urls) {
  const rootNodes = urls.split(",").map((url) => ({ url }));
  const client = rootNodes.length > 1 ? createCluster({ rootNodes }) : createClient({ url: urls });
  // It reconnects by itself; without a listener an error would end the process.
  client.on("error", () => {});
  await client.connect();
  return client;
}

/** A Redis server that stores nothing. It ends with this process. */
export class Redis {
  /** Starts it with more arguments. */
  static async start(...more) {
    const redis = new Redis();
    redis.more = more;
    redis.folder = mkdtempSync(join(tmpdir(), "roomcast-redis-"));
    for (let attempt = 1; ; attempt += 1) {
      try {
        redis.port = await freePort();
        await redis.startOnce();
        return redis;
      } catch (error) {
        // A free port may have been given to somebody's client before the server had it.
        if (attempt === 3) throw error;
      }
    }
  }

  async startOnce() {
    this.url = `redis://127.0.0.1:${this.port}`;
    const args = ["--port", this.port, "--bind", "127.0.0.1", "--save", "", "--dir", this.folder, ...this.more];
    const server = guarded("redis-server", args.map(String), "ignore");
    let ended;
    server.once("error", (error) => (ended = error.message));
    server.once("exit", (code) => (ended = `redis-server ended with ${code}`));
    this.process = server;
    this.ended = new Promise((resolve) => server.once("exit", resolve));
    await eventually("Redis to be ready", async () => {
      if (ended) throw new Error(ended);
      const client = createClient({ url: this.url, socket: { reconnectStrategy: false } }).on("error", () => {});
      return client.connect().then(
        () => client.disconnect().then(() => true),
        () => false,
      );
    });
  }

  /** Ends it as a fault of the machine would, and starts it again at the same address. */
  async restart() {
    this.process.kill("SIGKILL");
    await this.ended;
    await this.startOnce();
  }

  async stop() {
    this.process.kill("SIGKILL");
    await this.ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A Redis Cluster of three nodes. */
export class RedisCluster {
  static async start() {
    const cluster = new RedisCluster();
    cluster.nodes = [];
    cluster.ports = [];
    for (let n = 0; n < 3; n += 1) {
      const bus = await freePort();
      cluster.nodes.push(await Redis.start("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", bus));
      cluster.ports.push([cluster.nodes[n].port, bus]);
    }
    await cluster.form();
    return cluster;
  }

  get url() {
    return this.nodes.map(({ url }) => url).join(",");
  }

  async form() {
    const clients = await Promise.all(this.nodes.map(({ url }) => connect(url)));
    const say = (n, ...command) => clients[n].sendCommand(["CLUSTER", ...command.map(String)]);
    const last = (n) => Math.ceil((16_384 * n) / 3) - 1;
    for (let n = 0; n < 3; n += 1) await say(n, "ADDSLOTSRANGE", last(n) + 1, last(n + 1));
    for (const [port, bus] of this.ports.slice(1)) await say(0, "MEET", "127.0.0.1", port, bus);
    for (let n = 0; n < 3; n += 1) {
      await eventually("the Cluster to form", async () => {
        const info = await say(n, "INFO");
        return info.includes("cluster_state:ok") && info.includes("cluster_known_nodes:3");
      });
    }
    await Promise.all(clients.map((client) => client.quit()));
  }

  /** Kills one node, and starts it again at the same address. */
  restart() {
    return this.nodes[0].restart();
  }

  stop() {
    return Promise.all(this.nodes.map((node) => node.stop()));
  }
}
