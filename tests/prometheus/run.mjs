// Goal: an alert of ours becomes an incident that people in the room `incidents` hear of, and it ends when the alert does.
// Method: Prometheus, with our settings and rules in seconds in place of minutes, scrapes two nodes that share PostgreSQL and Redis.
// Nothing fires. One node is killed; Alertmanager, with our settings, posts to the other one, and a member hears. The node comes back.
// Then every expression of the dashboards is asked.

import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { eventually, freePort, guarded } from "../cluster/processes.mjs";
import { get, postgres, redis, RoomcastNode, start, stopAll } from "./services.mjs";

const ROOMCAST = process.env.ROOMCAST_BIN;
// It is no setting, and servers doubt what looks like one.
delete process.env.ROOMCAST_BIN;
const OURS = fileURLToPath(new URL("../../grafana/", import.meta.url));
const KEY = "prometheus-test-key-0123456789abcdef";
const began = Date.now();

const say = (text) => console.log(`${((Date.now() - began) / 1_000).toFixed(1).padStart(5)} s  ${text}`);

function expect(what, is) {
  if (!is) throw new Error(`it should be that ${what}`);
}

/** A file of ours with some words replaced, each of which has to be there. */
function changed(path, replacements) {
  let text = readFileSync(join(OURS, path), "utf8");
  for (const [from, to] of replacements) {
    expect(`${path} has ${from}`, text.search(from) >= 0);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** Our rules, which wait for a second at most. */
function writeRules(folder) {
  const names = readdirSync(join(OURS, "rules")).filter((name) => name.endsWith(".rules.yml"));
  mkdirSync(join(folder, "rules"));
  for (const name of names) {
    const text = readFileSync(join(OURS, "rules", name), "utf8");
    writeFileSync(join(folder, "rules", name), text.replaceAll(/^( +for:) \w+$/gm, "$1 1s"));
  }
}

async function startAlertmanager(folder, node, key) {
  const port = await freePort();
  const config = changed("alertmanager.yml", [
    [/http:\/\/roomcast:3000/g, node.url],
    [/KEY_OF_A_SERVICE/g, key],
    [/group_wait: \w+/g, "group_wait: 0s"],
    [/group_interval: \w+/g, "group_interval: 1s"],
  ]);
  writeFileSync(join(folder, "alertmanager.yml"), config);
  const command = ["prometheus-alertmanager", `--config.file=${folder}/alertmanager.yml`, `--storage.path=${folder}/alertmanager`];
  const addresses = [`--web.listen-address=127.0.0.1:${port}`, "--cluster.listen-address="];
  await start("Alertmanager", [...command, ...addresses], () => get(`http://127.0.0.1:${port}/-/ready`).catch(() => false));
  return `127.0.0.1:${port}`;
}

async function startPrometheus(folder, nodes, alertmanager) {
  const port = await freePort();
  const config = changed("prometheus.yml", [
    [/\/etc\/prometheus/g, folder],
    [/alertmanager:9093/g, alertmanager],
    [/localhost:9090/g, `127.0.0.1:${port}`],
    [/_(interval|timeout): 1\ds/g, "_$1: 1s"],
  ]);
  writeFileSync(join(folder, "prometheus.yml"), config);
  writeRules(folder);
  mkdirSync(join(folder, "targets"));
  writeFileSync(join(folder, "targets", "nodes.json"), JSON.stringify([{ targets: nodes.map((node) => node.admin) }]));
  const command = ["prometheus", `--config.file=${folder}/prometheus.yml`, `--storage.tsdb.path=${folder}/prometheus`];
  const address = `--web.listen-address=127.0.0.1:${port}`;
  await start("Prometheus", [...command, address], () => get(`http://127.0.0.1:${port}/-/ready`).catch(() => false));
  return `http://127.0.0.1:${port}/api/v1`;
}

/** The values of a query, by instance. */
async function query(prometheus, text) {
  const answer = await get(`${prometheus}/query?query=${encodeURIComponent(text)}`);
  return answer?.data.result.map(({ metric, value }) => ({ ...metric, value: Number(value[1]) })) ?? [];
}

/** A member of the room `incidents`, and all that it hears. */
async function listen(node) {
  const token = execFileSync(ROOMCAST, ["token", "--sub", "on-call", "--room", "incidents=join"], { encoding: "utf8" }).trim();
  const tail = guarded(ROOMCAST, ["tail", "incidents", "--url", node.url, "--token", token], ["ignore", "pipe", "pipe"]);
  const heard = [];
  let isThere = false;
  createInterface({ input: tail.stdout }).on("line", (line) => heard.push(JSON.parse(line)));
  createInterface({ input: tail.stderr }).on("line", (line) => (isThere ||= line.includes("watching on")));
  await eventually("the member to be in the room", () => isThere);
  return heard;
}

/** Makes a service with a key for Alertmanager. */
async function serviceKey(node) {
  const post = (path, body) => get(`${node.url}/api/v1/services${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  const headers = { Authorization: `Bearer ${KEY}`, "Content-Type": "application/json" };
  await post("", { slug: "roomcast" });
  return (await post("/roomcast/keys", { name: "alertmanager" })).key;
}

/** Every expression of the dashboards, with what panel it is of. */
function shown() {
  const folder = join(OURS, "dashboards");
  const fill = (text) => text.replaceAll("$__rate_interval", "1m").replaceAll("$job", "roomcast").replaceAll("$instance", ".+");
  return readdirSync(folder).flatMap((name) => {
    const { title, panels } = JSON.parse(readFileSync(join(folder, name), "utf8"));
    return panels.flatMap((panel) => (panel.targets ?? []).map(({ expr }) => ({ panel: `${title}: ${panel.title}`, expr: fill(expr) })));
  });
}

/** Expressions that show something only while there is something to see, or a replica of the database. */
const isSelective = (expr) => / > \d|replica|read_fallbacks/.test(expr);

const incident = (node, id) => get(`${node.url}/api/v1/incidents/${id}`, { headers: { Authorization: `Bearer ${KEY}` } });

async function check(folder) {
  const database = await postgres(folder);
  const broker = await redis(folder);
  Object.assign(process.env, { DATABASE_URL: database.url, REDIS_URL: broker.url, ROOMCAST_API_KEYS: KEY });
  process.env.ROOMCAST_AUTH_SECRET = "0123456789abcdef0123456789abcdef";
  execFileSync(ROOMCAST, ["migrate"], { stdio: ["ignore", "ignore", "inherit"] });
  const nodes = await Promise.all([RoomcastNode.start(ROOMCAST), RoomcastNode.start(ROOMCAST)]);
  const [here, other] = nodes;
  const alertmanager = await startAlertmanager(folder, here, await serviceKey(here));
  const prometheus = await startPrometheus(folder, nodes, alertmanager);
  const heard = await listen(here);
  say("two nodes, PostgreSQL, Redis, Prometheus and Alertmanager run");

  await eventually("both nodes to be scraped", async () => (await query(prometheus, 'up{job="roomcast"} == 1')).length === 2);
  await eventually("both nodes to know each other", async () => (await query(prometheus, "roomcast_nodes == 2")).length === 2);
  const scrapes = 'count_over_time(up{job="roomcast"}[1m])';
  await eventually("several scrapes", async () => (await query(prometheus, scrapes)).filter(({ value }) => value >= 5).length === 2);
  const firing = async () => (await query(prometheus, 'ALERTS{alertstate="firing"}')).map((alert) => `${alert.alertname} ${alert.instance}`);
  await eventually("no alert to fire", async () => (await firing()).length === 0);
  const rules = await get(`${prometheus}/rules`);
  const broken = rules.data.groups.flatMap((group) => group.rules).filter((rule) => rule.health === "err");
  expect(`every rule can be evaluated: ${JSON.stringify(broken)}`, broken.length === 0);
  say("they are scraped, every rule has been evaluated several times, and nothing fires");

  const calm = heard.length;
  await other.kill();
  const killed = Date.now();
  const isAbout = ({ data }) => data.data.incident?.title === `${other.admin} does not answer`;
  const opened = await eventually("the room to hear of the incident", () =>
    heard.slice(calm).find((line) => line.event === "incident.triggered" && isAbout(line)),
  );
  const id = opened.data.incident;
  say(`a node was killed, and ${((Date.now() - killed) / 1_000).toFixed(1)} s later the room heard of it`);
  const kept = await incident(here, id);
  expect(`the incident is critical: ${JSON.stringify(kept)}`, kept.severity === "critical" && kept.status === "triggered");

  await other.start();
  const back = Date.now();
  await eventually("the room to hear of its end", () =>
    heard.some((line) => line.event === "incident.resolved" && line.data.incident === id),
  );
  say(`the node came back, and ${((Date.now() - back) / 1_000).toFixed(1)} s later the room heard of that`);
  const closed = await incident(other, id);
  expect(`it is resolved on the other node, too: ${JSON.stringify(closed)}`, closed.status === "resolved");

  const all = shown();
  let empty = all.filter(({ expr }) => !isSelective(expr));
  const stillEmpty = async () => {
    const values = await Promise.all(empty.map(({ expr }) => query(prometheus, expr)));
    empty = empty.filter((_, i) => values[i].length === 0);
    return empty.length === 0;
  };
  await eventually("every panel to show something", stillEmpty).catch((error) => {
    throw new Error([error.message, ...empty.map(({ panel, expr }) => `${panel}: ${expr}`)].join("\n"));
  });
  for (const { expr } of all) await query(prometheus, expr);
  say(`${all.length} expressions of dashboards were asked, and every panel shows something`);
}

// In /tmp whatever TMPDIR says: PostgreSQL has to get there as another user, and the path of its socket has to be short.
const folder = mkdtempSync("/tmp/roomcast-prometheus-");
chmodSync(folder, 0o711);
try {
  await check(folder);
} finally {
  await stopAll();
  rmSync(folder, { recursive: true, force: true });
}
// The member of the room ends with this process.
process.exit();
