// Goal: however events and answers are mixed, repeated and lost, the page ends up with what the server has. Method: a server of
// a few lines that keeps incidents and their timelines, and a client that hears its events in bad ways.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Incidents, Timeline, applied } from "../../web/lib/incidents.js";

const AT = "2026-11-21T12:00:00Z";

/** Numbers that look random and are the same in each run. */
function dice(seed) {
  let state = seed;
  return (sides) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * sides);
  };
}

/** What there is, as the API shows it. */
class Truth {
  constructor() {
    this.incidents = new Map();
    this.timelines = new Map();
    this.asked = 0;
  }

  happen(id, type, data = {}) {
    const timeline = this.timelines.get(id) ?? [];
    const seq = timeline.length + 1;
    let event = { seq, type, at: AT, actor: { type: "user", id: "ada", name: "ada" }, data };
    if (type === "incident.triggered" || type === "incident.resolved") {
      const status = type === "incident.resolved" ? "resolved" : "triggered";
      const before = this.incidents.get(id) ?? { id, number: 1, service: "api", severity: "error", title: id, opened_at: AT, trigger_count: 1, details: null };
      event = { ...event, data: { incident: { ...before, status, seq } } };
    }
    this.timelines.set(id, [...timeline, event]);
    this.incidents.set(id, applied(this.incidents.get(id), { ...event, incident: id }));
    return { ...event, incident: id };
  }

  async get(path, query = {}) {
    this.asked += 1;
    const [, , , , id, what] = path.split("/");
    if (what === "timeline") return { data: this.timelines.get(id).filter(({ seq }) => seq > query.after_seq).slice(0, 1_000) };
    return this.incidents.get(id);
  }

  async all() {
    return [...this.incidents.values()].filter(({ status }) => status !== "resolved");
  }
}

/** All that happens to what is over. */
const NOTE = ["incident.annotated", { text: "hm" }];
const KINDS = [
  ["incident.acknowledged"],
  ["incident.unacknowledged"],
  ["incident.snoozed", { until: AT }],
  ["incident.unsnoozed"],
  NOTE,
  ["incident.severity_updated", { severity: "info", from: "error" }],
  ["incident.reassigned", { assignee: "grace", from: null }],
  ["incident.title_updated", { title: "other" }],
  ["incident.retriggered", { trigger_count: 7 }],
  ["incident.resolved"],
];

test("lost, repeated and mixed up events end in what the server has", async () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const roll = dice(seed);
    const truth = new Truth();
    const page = new Incidents(truth);
    const timeline = new Timeline(truth, "i0");
    const said = [];
    for (let n = 0; n < 40; n += 1) {
      const id = `i${roll(3)}`;
      const isOver = truth.incidents.get(id)?.status === "resolved";
      const kind = isOver ? NOTE : KINDS[roll(KINDS.length)];
      const [type, data] = truth.incidents.has(id) ? kind : ["incident.triggered"];
      said.push(truth.happen(id, type, data));
      if (roll(8) === 0) await page.paint();
      // One in four is lost; what is heard may be an old one.
      if (roll(4) > 0) await Promise.all([page.take(said.at(-1)), page.take(said[roll(said.length)])]);
      if (roll(4) > 0 && id === "i0") timeline.take(said.at(-1));
    }
    await page.paint(); // after a reconnect
    for (const incident of page.all().filter(({ status }) => status !== "resolved")) assert.deepEqual(incident, truth.incidents.get(incident.id), `seed ${seed}`);
    const open = (await truth.all()).map(({ id }) => id).sort();
    assert.deepEqual(page.all().filter(({ status }) => status !== "resolved").map(({ id }) => id).sort(), open, `seed ${seed}`);
    if (truth.timelines.has("i0")) {
      await timeline.mend();
      assert.deepEqual(timeline.events.map(({ seq }) => seq), truth.timelines.get("i0").map(({ seq }) => seq), `seed ${seed}`);
    }
  }
});

test("what is next is taken without asking, and a gap asks once", async () => {
  const truth = new Truth();
  const page = new Incidents(truth);
  await page.take(truth.happen("i", "incident.triggered"));
  await page.take(truth.happen("i", "incident.acknowledged"));
  assert.equal(truth.asked, 0);
  assert.equal(page.get("i").status, "acknowledged");
  truth.happen("i", "incident.annotated", { text: "lost" });
  const later = [truth.happen("i", "incident.snoozed", { until: AT }), truth.happen("i", "incident.unsnoozed")];
  await Promise.all(later.map((event) => page.take(event)));
  assert.equal(truth.asked, 1);
  assert.deepEqual([page.get("i").seq, page.get("i").status], [5, "triggered"]);
});

test("what was said twice is heard once", async () => {
  const truth = new Truth();
  const heard = [];
  const page = new Incidents(truth, ({ seq }) => heard.push(seq));
  const events = [truth.happen("i", "incident.triggered"), truth.happen("i", "incident.acknowledged")];
  for (const event of [...events, ...events, events[0]]) await page.take(event);
  assert.deepEqual(heard, [1, 2]);
});
