// What monitoring and people do with a server: incidents for pages to show.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server } from "../clients/server.mjs";

/** A server for development with a database of its own, and the ways to make things happen there. */
export class Scene {
  static async start() {
    const scene = new Scene();
    scene.folder = await mkdtemp(join(tmpdir(), "roomcast-page-"));
    await scene.run();
    return scene;
  }

  async run() {
    this.server = await Server.start("--database-url", `sqlite:${join(this.folder, "roomcast.sqlite")}`, "--packets-per-second", "0");
  }

  get url() {
    return `http://localhost:${this.server.port}`;
  }

  async end() {
    await this.server?.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Posts an event as monitoring does. */
  async event(summary, { severity = "critical", key = summary, action = "trigger", details } = {}) {
    const { status, answer } = await this.server.post("/v2/enqueue", {
      routing_key: "dev",
      event_action: action,
      dedup_key: key,
      payload: { summary, severity, source: "db-1", custom_details: details },
    });
    assert.equal(status, 202, JSON.stringify(answer));
  }

  async post(path, body) {
    const { status, answer } = await this.server.post(path, body);
    assert.ok(status < 300, `${path}: ${JSON.stringify(answer)}`);
    return answer;
  }

  service(slug) {
    return this.post("/api/v1/services", { slug, name: slug });
  }

  open(service, title, severity, more = {}) {
    return this.post("/api/v1/incidents", { service, title, severity, by: "prometheus", ...more });
  }

  act(incident, verb, body) {
    return this.post(`/api/v1/incidents/${incident.id}/${verb}`, body);
  }

  async find(title) {
    const { data } = await (await fetch(`${this.url}/api/v1/incidents?limit=200`)).json();
    return data.find((incident) => incident.title === title);
  }
}
