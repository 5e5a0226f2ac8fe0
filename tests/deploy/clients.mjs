// Clients of each kind, from an address of their own, through a proxy.

import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import { createRequire } from "node:module";
import net from "node:net";
import { PATIENCE_MS, eventually } from "../cluster/processes.mjs";

const require = createRequire(new URL("../cluster/package.json", import.meta.url));
const { io } = require("socket.io-client");
const WebSocket = require("ws");

const TRANSPORTS = { polling: ["polling"], upgrade: ["polling", "websocket"], websocket: ["websocket"] };

/** How something is asked from an address, believing a certificate. */
export function agent(url, localAddress, ca) {
  return url.startsWith("https") ? new https.Agent({ localAddress, ca, keepAlive: true }) : new http.Agent({ localAddress, keepAlive: true });
}

/** One request; resolves to its status, its headers and its text. */
export function ask(url, agent, { method = "GET", headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const request = (url.startsWith("https") ? https : http).request(url, { agent, method, headers, timeout: PATIENCE_MS }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part) => (text += part)).on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    request.on("error", reject).on("timeout", () => request.destroy(new Error(`no answer of ${url}`)));
    request.end(body);
  });
}

/** Many connections at once, as after the end of a node, from a few addresses; resolves to how many could not be made. */
export async function storm(host, port, many, addresses) {
  const connect = (_, n) =>
    new Promise((resolve) => {
      const socket = net.connect({ host, port, localAddress: addresses[n % addresses.length], timeout: PATIENCE_MS });
      socket.once("connect", () => resolve(socket)).once("error", () => resolve(undefined)).once("timeout", () => resolve(undefined));
    });
  const sockets = await Promise.all(Array.from({ length: many }, connect));
  for (const socket of sockets) socket?.on("error", () => {}).destroy();
  return sockets.filter((socket) => !socket).length;
}

/** What an event stream and, where the proxy takes WebSockets over HTTP/2 (RFC 8441), a WebSocket begin with there; both on one connection. */
export async function overHttp2(url, token, localAddress, ca) {
  const session = http2.connect(url, { localAddress, ca });
  const failed = once(session, "error").then(([error]) => Promise.reject(error));
  const first = async (headers) => {
    const stream = session.request(headers);
    const [[response], [data]] = await Promise.race([Promise.all([once(stream, "response"), once(stream, "data")]), failed]);
    stream.close();
    return `${response[":status"]} ${data.toString("latin1")}`;
  };
  const [settings] = await Promise.race([once(session, "remoteSettings"), failed]);
  const stream = await first({ ":path": `/sse?room=a&token=${token}` });
  const connect = { ":method": "CONNECT", ":protocol": "websocket", ":scheme": "https", ":authority": new URL(url).host, "sec-websocket-version": "13" };
  const socket = settings.enableConnectProtocol ? await first({ ...connect, ":path": `/ws?token=${token}` }) : undefined;
  failed.catch(() => {});
  session.destroy();
  return { stream, socket };
}

/** A member of a room, which remembers the numbers that it hears there. */
export class Member {
  constructor(kind, url, room, token, agent) {
    Object.assign(this, { kind, url, room, token, agent, heard: [], connections: 0 });
  }

  enter() {
    if (this.kind === "sse") return this.enterStream();
    return this.kind === "plain" ? this.enterPlain() : this.enterSocketIo();
  }

  async enterSocketIo() {
    this.socket = io(this.url, { transports: TRANSPORTS[this.kind], agent: this.agent, forceNew: true, auth: { token: this.token }, reconnectionDelay: 50, reconnectionDelayMax: 200 });
    this.socket.on("tick", ({ n }) => this.heard.push(n));
    // After a node has gone it comes back, to another one, and joins again.
    this.socket.on("connect", async () => {
      await this.socket.timeout(PATIENCE_MS).emitWithAck("join", { room: this.room }).then(() => (this.connections += 1), () => {});
    });
    let upgraded = this.kind !== "upgrade";
    this.socket.io.engine.once("upgrade", () => (upgraded = true));
    await eventually(`${this.kind} through ${this.url}`, () => this.connections > 0 && upgraded);
  }

  async enterPlain() {
    const address = `${this.url.replace("http", "ws")}/ws?room=${this.room}&token=${this.token}`;
    this.socket = new WebSocket(address, { agent: this.agent });
    this.socket.on("message", (data) => {
      const packet = JSON.parse(data);
      if (packet.joined) this.connections += 1;
      if (packet.event === "tick") this.heard.push(packet.data.n);
    });
    this.socket.on("close", (code) => this.left || setTimeout(() => this.enterPlain().catch(() => {}), code === 1012 ? 10 : 100));
    this.socket.on("error", () => {});
    await eventually(`a WebSocket through ${this.url}`, () => this.connections > 0);
  }

  async enterStream() {
    const url = `${this.url}/sse?room=${this.room}&token=${this.token}`;
    this.request = (url.startsWith("https") ? https : http).get(url, { agent: this.agent }, (response) => {
      if (response.statusCode === 200) this.connections += 1;
      let rest = "";
      response.setEncoding("utf8").on("data", (part) => {
        const events = (rest + part).split("\n\n");
        rest = events.pop();
        for (const event of events.filter((event) => /^event: tick$/m.test(event))) this.heard.push(JSON.parse(event.match(/^data: (.*)$/m)[1]).data.n);
      });
      const again = () => this.left || setTimeout(() => this.enterStream().catch(() => {}), 50);
      response.once("close", again).on("error", () => {});
    });
    this.request.on("error", () => {});
    await eventually(`an event stream through ${this.url}`, () => this.connections > 0);
  }

  leave() {
    this.left = true;
    this.socket?.close();
    this.request?.destroy();
  }
}
