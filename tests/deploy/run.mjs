// Goal: what compose.yaml and deploy/ say works. Method: its services as processes of this machine, with its settings; clients of each
// kind through nginx, HAProxy and Envoy with the files of deploy/: they hear everything once, wherever their
// requests go; a node that drains costs no request, and another takes its place; nobody passes for somebody else by X-Forwarded-For; no token gets into a log; backups can be restored.
//
//   COMPOSE=… ROOMCAST_BIN=… [NGINX=…] [HAPROXY=…] [ENVOY=…] [VALKEY_SERVER=…] [PGBOUNCER=…] node run.mjs [SECONDS]
//
// SECONDS is for how long nobody says anything meanwhile (0; 600 before a release): no proxy may end a connection for that.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../cluster/processes.mjs";
import { Member, agent, ask, overHttp2, storm } from "./clients.mjs";
import { Stack } from "./stack.mjs";

const KINDS = ["polling", "upgrade", "websocket", "plain", "sse"];

/** Events in each room before a node drains. */
const TICKS = 30;

/** Publications by nginx that may be under way in the very moment when a node closes its connections: seen were 0 and, seldom, 1. */
const CUT_MOST = 2;

/** What one address may do at once: few enough to be reached soon, and enough for the members. */
const BURST = 40;

/** Incidents that are backed up. */
const INCIDENTS = 25;

const stack = new Stack();
const step = (text) => console.log(`${(performance.now() / 1000).toFixed(1).padStart(5)} s  ${text}`);
process.once("unhandledRejection", fail);
// Ends by `exit`, so that the stack is stopped.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(1));

function fail(error) {
  console.error(error);
  for (const name of ["valkey", "postgres", "pgbouncer", "roomcast-1", "roomcast-2", "roomcast-3", "haproxy", "envoy"]) {
    try {
      console.error(`--- ${name}\n${stack.log(name).split("\n").slice(-8).join("\n")}`);
    } catch {
      // It was not started yet.
    }
  }
  process.exit(1);
}

const settings = { ROOMCAST_EXEMPT_ADDRESSES: "none", ROOMCAST_HANDSHAKES_PER_SECOND_PER_ADDRESS: "1", ROOMCAST_HANDSHAKES_BURST_PER_ADDRESS: String(BURST), ROOMCAST_DRAIN_WINDOW: "1s", ROOMCAST_PAGE: "true" };

function token(user) {
  const args = ["token", "--sub", user, "--auth-secret-file", stack.path("secrets/auth_secret")];
  return execFileSync(process.env.ROOMCAST_BIN, args, { encoding: "utf8" }).trim();
}

/** What a service publishes, through a proxy. */
function publisher(proxy, room) {
  const from = agent(proxy.url, `${stack.net}.99`, stack.authority);
  const headers = { authorization: `Bearer ${stack.secret("api_keys").split("=")[1]}`, "content-type": "application/json" };
  return (n) => ask(`${proxy.url}/api/v1/rooms/${room}/events`, from, { method: "POST", headers, body: JSON.stringify({ event: "tick", data: { n } }) });
}

/** Members of each kind in a room, each through the proxy; all hear all, once. */
async function meet(proxy, index) {
  const [room, from] = [`room-${index}`, agent(proxy.url, `${stack.net}.${100 + index}`, stack.authority)];
  const members = KINDS.map((kind) => new Member(kind, proxy.url, room, proxy.token, from));
  await Promise.all(members.map((member) => member.enter()));
  const publish = publisher(proxy, room);
  for (let n = 0; n < TICKS; n += 1) assert.equal((await publish(n)).status, 202);
  const all = Array.from({ length: TICKS }, (_, n) => n);
  for (const { kind, heard } of members) {
    await eventually(`${kind} behind ${proxy.name} to hear all of room ${room}`, () => heard.length >= TICKS);
    // What one publisher says by way of several nodes has no order.
    assert.deepEqual(heard.toSorted((a, b) => a - b), all, `${kind} behind ${proxy.name}`);
  }
  return { members, publish };
}

/** Nobody says anything for a while; then all hear, over the connections that they had. */
async function rest(meetings, proxies, seconds) {
  await sleep(1_000 * seconds);
  for (const [index, { members, publish }] of meetings.entries()) {
    await publish(500);
    for (const { kind, heard, connections } of members) {
      await eventually(`${kind} behind ${proxies[index].name} to hear after a rest`, () => heard.includes(500));
      assert.equal(connections, 1, `${kind} behind ${proxies[index].name} had to come back`);
    }
  }
}

/** What does not pass, and what is said aloud. */
async function doors(proxy) {
  const from = agent(proxy.url, `${stack.net}.98`, stack.authority);
  assert.equal((await ask(`${proxy.url}/readyz`, from)).status, 200);
  for (const path of ["/metrics", "/health"]) assert.equal((await ask(proxy.url + path, from)).status, 404, `${path} of ${proxy.name}`);
  const page = await ask(`${proxy.url}/`, from, { headers: { accept: "text/html" } });
  assert.match(`${page.status} ${page.headers["content-type"]}`, /^200 text\/html/);
  const [script] = page.text.match(/[\w/]+\/app\.js/);
  const { headers } = await ask(new URL(script, `${proxy.url}/`).href, from, { headers: { "accept-encoding": "gzip" } });
  assert.equal(headers["cache-control"], "public, max-age=31536000, immutable");
  if (proxy.name.startsWith("nginx")) {
    assert.equal(headers["content-encoding"], "gzip");
    const large = await ask(`${proxy.url}/api/v1/rooms/a/events`, from, { method: "POST", body: "x".repeat((1 << 20) + 1) });
    assert.equal(large.status, 413);
  }
  if (proxy.plain) {
    const { stream, socket } = await overHttp2(proxy.url, proxy.token, `${stack.net}.95`, stack.authority);
    assert.match(stream, /^200 event: server\.hello/, `${proxy.name} over HTTP/2`);
    assert.match(socket ?? `200 {"hello"`, /^200 .*\{"hello"/, `a WebSocket over HTTP/2 and ${proxy.name}`);
    assert.equal(socket !== undefined, proxy.name === "haproxy", `whether ${proxy.name} takes WebSockets over HTTP/2`);
    const answer = await ask(`${proxy.plain}/some?x=1`, new (await import("node:http")).Agent());
    assert.deepEqual([answer.status, new URL(answer.headers.location).pathname], [301, "/some"]);
    assert.match((await ask(`${proxy.url}/readyz`, from)).headers["strict-transport-security"], /max-age/);
  }
}

/** Nobody is refused when all come at once: what may wait to be accepted is as much as the files say, as far as this kernel lets it. */
async function rush(proxies) {
  const most = Number(readFileSync("/proc/sys/net/core/somaxconn", "utf8"));
  const addresses = Array.from({ length: 8 }, (_, n) => `${stack.net}.${240 + n}`);
  const places = [[stack.nodes["roomcast-1"].host, stack.port], ...proxies.filter(({ name }) => name.startsWith("nginx")).map(({ url }) => [new URL(url).hostname, new URL(url).port])];
  for (const [host, port] of places) {
    const listening = execFileSync("ss", ["-Hltn", `src = ${host}:${port}`], { encoding: "utf8" }).trim().split(/\s+/);
    assert.equal(Number(listening[2]), Math.min(4_096, most), `${host}:${port}`);
    assert.equal(await storm(host, port, 2_000, addresses), 0, `${host}:${port}`);
  }
}

/** An address has its rate, whatever it says about itself and whichever node counts; its neighbour has its own. */
async function spoof(proxy, index) {
  const statuses = async (host, many) => {
    const from = agent(proxy.url, host, stack.authority);
    const once = (n) => ask(`${proxy.url}/socket.io/?EIO=4&transport=polling`, from, { headers: { "x-forwarded-for": `203.0.113.${n}, 10.0.0.${n}` } });
    const answers = await Promise.all(Array.from({ length: many }, (_, n) => once(n + 1)));
    return answers.filter(({ status }) => status === 429).length;
  };
  const refused = await statuses(`${stack.net}.${150 + index}`, BURST + 20);
  assert.ok(refused >= 10, `behind ${proxy.name} only ${refused} were refused: X-Forwarded-For is believed`);
  assert.equal(await statuses(`${stack.net}.${200 + index}`, 3), 0, `behind ${proxy.name} all clients count as one`);
}

/** Nothing is kept in Valkey but what ends by itself. */
function nothingIsKept() {
  const [host, port] = stack.valkey;
  const login = ["--no-auth-warning", "--user", "roomcast", "--pass", stack.secret("valkey_password")];
  const said = execFileSync("redis-cli", ["-h", host, "-p", String(port), ...login, "INFO", "keyspace"], { encoding: "utf8" });
  const [, keys, expires] = said.match(/keys=(\d+),expires=(\d+)/);
  assert.ok(Number(keys) > 0, "rates are not counted in Valkey");
  assert.equal(keys, expires, "some keys would be there for ever");
}

/** One node drains under requests: not one of them may fail, and whoever was there comes back and hears what comes then. */
async function drain(proxies, meetings) {
  const failures = [];
  let [draining, asked, cut] = [true, 0, 0];
  const askOn = async (proxy) => {
    const from = agent(proxy.url, `${stack.net}.97`, stack.authority);
    while (draining) {
      const answer = await ask(`${proxy.url}/livez`, from).catch((error) => ({ status: error.message }));
      asked += 1;
      if (answer.status !== 200) failures.push(`${proxy.name}: ${answer.status}`);
      await sleep(10);
    }
  };
  const publishOn = async ({ publish }, proxy) => {
    while (draining) {
      const { status } = await publish(-1).catch((error) => ({ status: error.message }));
      asked += 1;
      // nginx learns of the end of a node by a connection that fails, and may not send what it had just sent to another one.
      if (status === 502 && proxy.name.startsWith("nginx")) cut += 1;
      else if (status !== 202) failures.push(`publish by ${proxy.name}: ${status}`);
      await sleep(25);
    }
  };
  const asking = [...proxies.map(askOn), ...meetings.map((meeting, index) => publishOn(meeting, proxies[index]))];
  const { process: node } = stack.nodes["roomcast-3"];
  node.kill("SIGTERM");
  await eventually("the health check to notice that a node drains", () => !stack.isWell("roomcast-3"));
  const code = await node.ended;
  await sleep(1_000);
  draining = false;
  await Promise.all(asking);
  const refused = proxies.flatMap(({ name, log }) => log().split("\n").filter((line) => / 50[234] /.test(line)).map((line) => `${name}: ${line}`));
  assert.deepEqual([code, failures.slice(0, 5)], [0, []], `of ${asked} requests ${failures.length} failed\n${refused.join("\n")}`);
  assert.ok(cut <= CUT_MOST, `of what was published by nginx ${cut} were answered 502`);
  await hear(meetings, proxies, 1_000);
  return `${asked} requests${cut > 0 ? ` but ${cut} publications by nginx` : ""}`;
}

/** All members of a meeting, on whichever nodes they are, hear one event that was published once; it may take some tries. */
async function hear(meetings, proxies, n) {
  for (const [index, { members, publish }] of meetings.entries()) {
    let next = n;
    await eventually(`all members behind ${proxies[index].name} to hear`, async () => {
      const number = (next += 1);
      await publish(number);
      await sleep(200);
      return members.every(({ heard }) => heard.includes(number));
    });
  }
}

/** The node that was replaced gets requests from each proxy again. */
async function comeBack(proxies) {
  await stack.startNode("roomcast-3", settings);
  await stack.nodesAreKnown();
  const before = proxies.map(({ log }) => log().length);
  const itself = `${stack.nodes["roomcast-3"].host}:${stack.port}`;
  for (const [index, proxy] of proxies.entries()) {
    const from = agent(proxy.url, `${stack.net}.96`, stack.authority);
    await eventually(`${proxy.name} to use the new node`, async () => {
      await Promise.all(Array.from({ length: 8 }, () => ask(`${proxy.url}/livez`, from)));
      const since = proxy.log().slice(before[index]);
      return since.includes(itself) || since.includes("nodes/roomcast-3");
    });
  }
}

/** Databases are as their files say, and let nobody do more than is needed. */
async function databases() {
  const shown = async (name) => stack.sql(`SHOW ${name}`);
  for (const [name, value] of [["max_connections", "200"], ["shared_buffers", "256MB"], ["effective_cache_size", "768MB"], ["work_mem", "16MB"], ["maintenance_work_mem", "128MB"], ["wal_buffers", "64MB"], ["max_wal_size", "2GB"], ["synchronous_commit", "on"], ["tcp_keepalives_idle", "600"], ["tcp_keepalives_interval", "30"], ["tcp_keepalives_count", "10"]]) {
    assert.equal(await shown(name), value, name);
  }
  assert.deepEqual([await shown("statement_timeout"), await stack.sql("SHOW statement_timeout", { at: stack.postgres })], ["20s", "0"]);
  // Or else they would take PgBouncer's connections for those of PostgreSQL.
  for (const name of Object.keys(stack.nodes)) assert.match(stack.log(name), /a pooler stands before the database/, name);
  const pools = await stack.sql("SHOW CONFIG", { database: "pgbouncer" });
  for (const line of ["pool_mode|transaction", "max_client_conn|500", "default_pool_size|50"]) assert.ok(pools.includes(line), line);
  for (const name of ["postgres", "pgbouncer", "valkey", ...Object.keys(stack.nodes)]) assert.ok(stack.isWell(name), `the health check of ${name}`);
  const [host, port] = stack.valkey;
  const valkey = (login, ...command) => execFileSync("redis-cli", ["-h", host, "-p", String(port), "--no-auth-warning", ...login, ...command], { encoding: "utf8" }).trim();
  const node = ["--user", "roomcast", "--pass", stack.secret("valkey_password")];
  assert.equal(valkey(["--user", "health", "--pass", "any"], "PING"), "PONG");
  assert.match(valkey([], "PING"), /NOAUTH/);
  assert.match(valkey(["--user", "health", "--pass", "any"], "INFO"), /NOPERM/);
  // It may not read the log of refusals either: the metrics of INFO count them.
  const denied = valkey(node, "INFO", "stats").match(/acl_access_denied_cmd:(\d+)[^]*acl_access_denied_key:(\d+)[^]*acl_access_denied_channel:(\d+)/);
  assert.deepEqual(denied?.slice(1), ["1", "0", "0"], "a node was refused something that it needs");
  for (const forbidden of [["FLUSHALL"], ["KEYS", "*"], ["CONFIG", "GET", "*"], ["GET", "other"]]) assert.match(valkey(node, ...forbidden), /NOPERM/, forbidden.join(" "));
}

/** Incidents come in through the proxies, and a backup of them can be restored. */
async function backup(proxies) {
  const [proxy] = proxies;
  const from = agent(proxy.url, `${stack.net}.99`, stack.authority);
  const headers = { authorization: `Bearer ${stack.secret("api_keys").split("=")[1]}`, "content-type": "application/json" };
  const post = async (path, body) => JSON.parse((await ask(proxy.url + path, from, { method: "POST", headers, body: JSON.stringify(body) })).text);
  await post("/api/v1/services", { slug: "api" });
  const { key } = await post("/api/v1/services/api/keys", { name: "monitoring" });
  const event = (n) => ({ routing_key: key, event_action: "trigger", dedup_key: `disk-${n}`, payload: { summary: `disk ${n} is full`, source: "db", severity: "error" } });
  const answers = await Promise.all(Array.from({ length: INCIDENTS }, (_, n) => post("/v2/enqueue", event(n))));
  assert.ok(answers.every(({ status }) => status === "success"), JSON.stringify(answers));
  const [host, port] = stack.postgres;
  const env = { ...process.env, PGHOST: host, PGPORT: String(port), PGPASSWORD: stack.secret("postgres_password") };
  const drilled = execFileSync(new URL("../../deploy/backup", import.meta.url).pathname, ["drill"], { encoding: "utf8", env, stdio: ["ignore", "pipe", "inherit"] });
  assert.match(drilled, new RegExp(`^incidents ${INCIDENTS}$`, "m"));
  assert.match(drilled, /all rows are there/);
  assert.equal(await stack.sql("SELECT count(*) FROM pg_database WHERE datname = 'roomcast_drill'"), "0");
}

try {
  stack.makeCertificates();
  await stack.startDatabases();
  step("Valkey, PostgreSQL and PgBouncer run");
  await stack.startNodes(settings);
  step("the schema is up to date, three nodes run");
  const proxies = await Promise.all([stack.startNginx("plain"), stack.startNginx("tls"), stack.startHaproxy(), stack.startEnvoy()]);
  for (const [index, proxy] of proxies.entries()) proxy.token = token(`user-${index}`);
  step(`${proxies.map(({ name }) => name).join(", ")} run`);
  const meetings = await Promise.all(proxies.map(meet));
  step(`behind each, ${KINDS.join(", ")} heard ${TICKS} events, each once`);
  const seconds = Number(process.argv[2] ?? 0);
  await rest(meetings, proxies, seconds);
  step(`after ${seconds} s of silence each still has its connection`);
  await Promise.all(proxies.map(doors));
  await databases();
  step("operators' address, redirects, settings of databases, rights in Valkey");
  await backup(proxies);
  step("a backup of incidents was restored, and nothing was missing");
  await rush(proxies);
  step("2,000 connections at once, and none refused");
  await Promise.all(proxies.map(spoof));
  nothingIsKept();
  step("nobody passes for somebody else; each key in Valkey has an end");
  const asked = await drain(proxies, meetings);
  step(`a node drained: none of ${asked} failed, and all members came back`);
  await comeBack(proxies);
  step("a new node took its place, and each proxy uses it");
  await Promise.all([stack.restart("valkey"), stack.restart("pgbouncer")]);
  await hear(meetings, proxies, 2_000);
  await stack.sql("SELECT count(*) FROM incidents");
  step("Valkey and PgBouncer were killed and started again: nodes hear each other");
  for (const proxy of proxies) {
    await eventually(`a log of ${proxy.name}`, () => proxy.log().includes("/socket.io/"));
    assert.ok(!proxy.log().includes(proxy.token), `the log of ${proxy.name} has a token in it`);
  }
  for (const { members } of meetings) members.forEach((member) => member.leave());
  step("no token is in a log");
  process.exit(0);
} catch (error) {
  fail(error);
}
