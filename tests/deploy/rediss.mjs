// Goal: nodes meet at a Redis that speaks TLS alone, if it is who it says it is. Method: a Redis whose certificate an authority of our own
// has signed; two nodes that believe this authority hear each other, and one that does not never gets there.
//
//   ROOMCAST_BIN=… node rediss.mjs

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, freePort, guarded } from "../cluster/processes.mjs";

const folder = mkdtempSync(join(tmpdir(), "roomcast-rediss-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
const at = (name) => join(folder, name);
const openssl = (...args) => execFileSync("openssl", args, { stdio: "ignore", cwd: folder });
const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** An authority that signs one certificate, of this machine. */
function certify() {
  openssl("req", "-x509", ...curve, "-days", "2", "-subj", "/CN=authority", "-keyout", "authority.key", "-out", "authority.pem");
  openssl("req", ...curve, "-subj", "/CN=redis", "-keyout", "key.pem", "-out", "request.pem");
  writeFileSync(at("extensions"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n");
  openssl("x509", "-req", "-in", "request.pem", "-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-days", "2", "-extfile", "extensions", "-out", "cert.pem");
}

/** A node that believes nobody but an authority. */
async function start(name, redis, authority) {
  const [port, admin] = [await freePort(), await freePort()];
  const log = openSync(at(`${name}.log`), "a");
  const addresses = ["--listen", `127.0.0.1:${port}`, "--admin-listen", `127.0.0.1:${admin}`];
  guarded("env", ["-u", "ROOMCAST_BIN", `SSL_CERT_FILE=${authority}`, process.env.ROOMCAST_BIN, "dev", ...addresses, "--redis-url", redis, "--database-url", "none"], ["ignore", log, log]);
  const url = `http://127.0.0.1:${port}`;
  await eventually(`${name} to listen`, () => fetch(`${url}/livez`).then(() => true, () => false));
  const metric = async (metric) => Number((await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text()).match(new RegExp(`^${metric} (\\S+)$`, "m"))[1]);
  return { url, metric, log: () => readFileSync(at(`${name}.log`), "utf8") };
}

certify();
const port = await freePort();
const tls = ["--tls-port", port, "--tls-cert-file", at("cert.pem"), "--tls-key-file", at("key.pem"), "--tls-ca-cert-file", at("authority.pem"), "--tls-auth-clients", "no"];
guarded("redis-server", ["--port", 0, "--bind", "127.0.0.1", "--save", "", "--dir", folder, ...tls].map(String), "ignore");
const redis = `rediss://127.0.0.1:${port}`;
openssl("req", "-x509", ...curve, "-days", "2", "-subj", "/CN=stranger", "-keyout", "stranger.key", "-out", "stranger.pem");
const [one, two, stranger] = await Promise.all([start("one", redis, at("authority.pem")), start("two", redis, at("authority.pem")), start("stranger", redis, at("stranger.pem"))]);
await eventually("two nodes to know each other by TLS", async () => (await one.metric("roomcast_nodes")) === 2 && (await two.metric("roomcast_nodes")) === 2);

const stream = await fetch(`${two.url}/sse?room=a`);
const heard = (async () => {
  let text = "";
  for await (const part of stream.body) if (/"data":17/.test((text += new TextDecoder().decode(part)))) return true;
})();
const body = JSON.stringify({ event: "tick", data: 17 });
const { status } = await fetch(`${one.url}/api/v1/rooms/a/events`, { method: "POST", headers: { "content-type": "application/json" }, body });
assert.equal(status, 202);
assert.equal(await heard, true);
assert.equal(await stranger.metric("roomcast_nodes"), 1);
await eventually("a stranger to be refused", () => stranger.log().includes("invalid peer certificate: UnknownIssuer"));
console.log("nodes meet at a Redis that speaks TLS, and none believes a stranger");
process.exit(0);
