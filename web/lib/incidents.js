// The incidents that this page knows: painted from a listing, followed by events, mended from timelines.
//
// Events come at least once and in the order of their incident. Each has a `seq`: one that is known is dropped, and when one is
// missing, `timeline?after_seq=` has it. So it does not matter what came first, the listing or the event.

import { Store } from "./store.js";

/** Most open incidents that are painted. */
const OPEN_MAX = 2_000;
/** Most events of one answer of `timeline`. */
const TIMELINE_PAGE = 1_000;
/** Repairs that are under way at once. */
const REPAIRS_MAX = 4;
/** Most resolved incidents that are kept in mind. */
const RESOLVED_MAX = 500;

/** What an incident becomes by an event that changes parts of it. */
const CHANGES = {
  "incident.retriggered": ({ data, at }) => ({ trigger_count: data.trigger_count, last_event_at: at }),
  "incident.acknowledged": ({ at }, before) => ({
    status: "acknowledged",
    acknowledged_at: before.acknowledged_at ?? at,
    snoozed_until: null,
  }),
  "incident.unacknowledged": () => ({ status: "triggered", acknowledged_at: null }),
  "incident.snoozed": ({ data }) => ({ status: "snoozed", snoozed_until: data.until }),
  "incident.unsnoozed": () => ({ status: "triggered", snoozed_until: null }),
  "incident.suppressed": ({ data }) => ({ status: "suppressed", snoozed_until: data.until }),
  "incident.severity_updated": ({ data }) => ({ severity: data.severity }),
  "incident.title_updated": ({ data }) => ({ title: data.title }),
  "incident.reassigned": ({ data }) => ({ assignee: data.assignee }),
};

/** The incident after an event; the caller knows that it is the next one, or that the event has it whole. */
export function applied(before, event) {
  const { incident: whole, ...rest } = event.data ?? {};
  if (whole) return { details: before?.details ?? null, ...whole, seq: event.seq };
  const change = CHANGES[event.type]?.({ ...event, data: rest }, before);
  return { ...before, ...change, seq: event.seq };
}

export class Incidents extends Store {
  /** `heard` is called with each event that changed something, and the incident as it is then. */
  constructor(api, heard = () => {}) {
    super();
    this.api = api;
    this.heard = heard;
    this.known = new Map();
    /** When the whole board was last known to be right. */
    this.paintedAt = undefined;
    this.problem = undefined;
    this.repairs = new Map();
    this.running = 0;
    this.queue = [];
  }

  get(id) {
    return this.known.get(id);
  }

  all() {
    return [...this.known.values()];
  }

  /** Forgets everything: somebody else may look next. */
  clear() {
    this.known.clear();
    this.turn = undefined;
    this.paintedAt = undefined;
    this.changed();
  }

  /** Fetches what is open, and finds out what became of what was. Call it after each join of the room `incidents`. */
  async paint() {
    const turn = (this.turn = Symbol("turn"));
    try {
      const before = new Set(this.all().filter(({ status }) => status !== "resolved").map(({ id }) => id));
      const open = await this.api.all("/api/v1/incidents", { status: "open", limit: 200 }, OPEN_MAX);
      if (turn !== this.turn) return;
      for (const incident of open) {
        this.put(incident);
        before.delete(incident.id);
      }
      await Promise.all([...before].map((id) => this.repair(id)));
      if (turn !== this.turn) return;
      this.paintedAt = Date.now();
      this.problem = undefined;
    } catch (error) {
      if (turn !== this.turn) return;
      this.problem = error;
      if (error.passes) setTimeout(() => turn === this.turn && this.paint(), error.retryAfterMs ?? 2_000);
    }
    this.changed();
  }

  /** Fetches the newest that are over. */
  async paintResolved() {
    const page = await this.api.get("/api/v1/incidents", { status: "resolved", limit: 50 });
    page.data.forEach((incident) => this.put(incident));
  }

  /** Takes an incident as the API showed it, unless a newer one is known. */
  put(incident) {
    const before = this.known.get(incident.id);
    if (before && before.seq > incident.seq) return before;
    this.known.set(incident.id, incident);
    this.#forget();
    this.changed();
    return incident;
  }

  /** Takes an event of a room. Resolves once what it says, and all before it, is known. */
  async take(event) {
    const before = this.known.get(event.incident);
    if (before && event.seq <= before.seq) return;
    if (event.data?.incident || (before && event.seq === before.seq + 1)) {
      this.#apply(event, before);
      return;
    }
    await (before ? this.repair(event.incident) : this.fetch(event.incident));
  }

  async fetch(id) {
    return this.put(await this.api.get(`/api/v1/incidents/${id}`));
  }

  /** Asks for what happened to an incident behind what is known. One question for each incident at a time. */
  repair(id) {
    const running = this.repairs.get(id);
    if (running) return running;
    const repair = this.#inTurn(() => this.#mend(id)).finally(() => this.repairs.delete(id));
    this.repairs.set(id, repair);
    return repair;
  }

  async #mend(id) {
    for (;;) {
      const { seq } = this.known.get(id) ?? { seq: 0 };
      const page = await this.api.get(`/api/v1/incidents/${id}/timeline`, { after_seq: seq });
      for (const event of page.data) {
        const before = this.known.get(id);
        if (event.seq === (before?.seq ?? 0) + 1) this.#apply({ ...event, incident: id }, before);
      }
      if (page.data.length < TIMELINE_PAGE) return;
    }
  }

  /** Waits for one of a few places, so that an absence does not end in a hundred requests at once. */
  async #inTurn(work) {
    if (this.running >= REPAIRS_MAX) await new Promise((free) => this.queue.push(free));
    this.running += 1;
    try {
      return await work();
    } finally {
      this.running -= 1;
      this.queue.shift()?.();
    }
  }

  #apply(event, before) {
    const after = applied(before, event);
    this.known.set(event.incident, after);
    this.heard(event, after, before);
    this.#forget();
    this.changed();
  }

  #forget() {
    const over = this.all().filter(({ status }) => status === "resolved");
    if (over.length <= RESOLVED_MAX) return;
    over.sort((a, b) => (a.resolved_at < b.resolved_at ? -1 : 1));
    over.slice(0, over.length - RESOLVED_MAX).forEach(({ id }) => this.known.delete(id));
  }
}

/** The events of one incident, without a gap: what the view of an incident shows. */
export class Timeline extends Store {
  constructor(api, id) {
    super();
    this.api = api;
    this.id = id;
    this.events = [];
    this.complete = false;
    this.problem = undefined;
  }

  get last() {
    return this.events.at(-1)?.seq ?? 0;
  }

  /** Fetches what is behind the last event. Call it after each join of the incident's room. */
  async mend() {
    if (this.mending) {
      this.again = true;
      return this.mending;
    }
    this.mending = this.#fetch().finally(() => (this.mending = undefined));
    return this.mending;
  }

  async #fetch() {
    try {
      let page;
      do {
        this.again = false;
        page = await this.api.get(`/api/v1/incidents/${this.id}/timeline`, { after_seq: this.last });
        page.data.forEach((event) => this.#append(event));
      } while (page.data.length === TIMELINE_PAGE || this.again);
      this.complete = true;
      this.problem = undefined;
    } catch (error) {
      this.problem = error;
      if (error.passes && !this.closed) setTimeout(() => this.closed || this.mend(), error.retryAfterMs ?? 2_000);
    }
    this.changed();
  }

  /** Takes an event of the room. */
  take(event) {
    if (event.seq <= this.last) return undefined;
    if (event.seq > this.last + 1 || !this.complete) return this.mend();
    this.#append(event);
    this.changed();
    return undefined;
  }

  close() {
    this.closed = true;
  }

  #append(event) {
    if (event.seq === this.last + 1) this.events = [...this.events, event];
  }
}
