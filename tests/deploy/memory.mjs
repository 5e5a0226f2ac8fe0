// What a counter of a rate and a subscription to a room take of Valkey's memory: the numbers of docs/deploy.md.
//
//   VALKEY_SERVER=path/to/valkey-server node tests/deploy/memory.mjs

import { readFileSync, rmSync, writeFileSync, mkdtempSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, guarded } from "../cluster/processes.mjs";

const { createClient } = createRequire(new URL("../cluster/package.json", import.meta.url))("redis");

/** How many of each. */
const MANY = 100_000;

const root = new URL("../../", import.meta.url);
const folder = mkdtempSync(join(tmpdir(), "roomcast-memory-"));
writeFileSync(join(folder, "valkey.conf"), readFileSync(new URL("deploy/valkey.conf", root), "utf8").replace(/^aclfile.*$/m, ""));
const server = guarded(process.env.VALKEY_SERVER ?? "valkey-server", [join(folder, "valkey.conf"), "--port", "0", "--unixsocket", join(folder, "socket")], "ignore");

const connect = async () => {
  const client = createClient({ socket: { path: join(folder, "socket"), reconnectStrategy: false } }).on("error", () => {});
  return client.connect().catch(() => undefined);
};
const client = await eventually("Valkey", connect);
const used = async () => Number((await client.info("memory")).match(/^used_memory:(\d+)/m)[1]);
const numbers = Array.from({ length: MANY }, (_, n) => n);

const script = readFileSync(new URL("src/adapter/ledger.lua", root), "utf8");
const sha = await client.scriptLoad(script);
const before = await used();
// An address that owes an hour, so that none ends meanwhile.
const owe = { arguments: ["3600000000", "7200000000", "7200000000", "0"] };
await Promise.all(numbers.map((n) => client.evalSha(sha, { keys: [`socket.io-limit#handshakes#${n.toString(16).padStart(16, "0")}`], ...owe })));
const counted = await used();
console.log(`a counter of a rate: ${Math.round((counted - before) / MANY)} bytes`);

const nodes = await Promise.all([connect(), connect(), connect()]);
const rooms = numbers.map((n) => `socket.io#/#room-${n}#`);
await nodes[0].subscribe(rooms, () => {});
const first = await used();
await Promise.all([nodes[1].subscribe(rooms, () => {}), nodes[2].subscribe(rooms, () => {})]);
console.log(`a room on one node: ${Math.round((first - counted) / MANY)} bytes, on each node more: ${Math.round(((await used()) - first) / MANY / 2)} bytes`);

server.kill("SIGKILL");
rmSync(folder, { recursive: true, force: true });
process.exit(0);
