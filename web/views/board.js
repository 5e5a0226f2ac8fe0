// All incidents: what is open, what is worst, who takes care of it.

import { act, connection, edit, incidents, notices, session } from "../lib/live.js";
import { go, useTitle } from "../lib/route.js";
import { useStore } from "../lib/store.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact-htm.js";
import { Card, Row } from "./incident_row.js";
import { NewIncident } from "./new_incident.js";
import { Empty, Icon, SEVERITIES, STATUSES } from "./parts.js";

/** Rows that are shown before somebody asks for more. */
const ROWS = 150;

const OPEN = "open";
const FILTERS = [OPEN, ...STATUSES];
const HOUR_MS = 3_600_000;

const place = (list, value) => list.indexOf(value);
const newestFirst = (a, b) => (a.opened_at < b.opened_at ? 1 : a.opened_at > b.opened_at ? -1 : b.number - a.number);

const ORDERS = {
  urgency: (a, b) =>
    place(STATUSES, a.status) - place(STATUSES, b.status) || place(SEVERITIES, a.severity) - place(SEVERITIES, b.severity) || newestFirst(a, b),
  severity: (a, b) => place(SEVERITIES, a.severity) - place(SEVERITIES, b.severity) || newestFirst(a, b),
  service: (a, b) => a.service.localeCompare(b.service) || newestFirst(a, b),
  newest: newestFirst,
  oldest: (a, b) => newestFirst(b, a),
  activity: (a, b) => (a.last_event_at < b.last_event_at ? 1 : a.last_event_at > b.last_event_at ? -1 : newestFirst(a, b)),
};
const ORDER_WORDS = { urgency: "Urgency", severity: "Severity", service: "Service", newest: "Newest", oldest: "Oldest", activity: "Last activity" };

/** What somebody looked for stays while this tab is open. */
const KEPT = "roomcast.board";
const START = { text: "", status: OPEN, severities: [], service: "", order: "urgency", shape: "list" };
function useWish() {
  const [wish, set] = useState(() => ({ ...START, ...JSON.parse(sessionStorage.getItem(KEPT) ?? "{}") }));
  const change = (more) => {
    const next = { ...wish, ...more };
    sessionStorage.setItem(KEPT, JSON.stringify(next));
    set(next);
  };
  return [wish, change];
}

function matches(incident, { text, severities, service }) {
  const words = text.toLowerCase().split(/\s+/u).filter(Boolean);
  const said = `#${incident.number} ${incident.title} ${incident.service} ${incident.dedup_key} ${incident.assignee ?? ""}`.toLowerCase();
  return (
    (severities.length === 0 || severities.includes(incident.severity)) &&
    (service === "" || incident.service === service) &&
    words.every((word) => said.includes(word))
  );
}

const inStatus = (incident, status) => (status === OPEN ? incident.status !== "resolved" : incident.status === status);

export function Board() {
  useStore(incidents);
  useStore(connection);
  const [wish, change] = useWish();
  const [more, setMore] = useState(ROWS);
  const [creating, setCreating] = useState(false);
  const board = useRef();
  const all = incidents.all();
  const matching = all.filter((incident) => matches(incident, wish));
  const shown = matching.filter((incident) => inStatus(incident, wish.status)).sort(ORDERS[wish.order]);
  const open = all.filter((incident) => inStatus(incident, OPEN)).length;
  useTitle(open > 0 ? `${open} open` : "Incidents");
  useEffect(() => {
    if (wish.status === "resolved") incidents.paintResolved().catch((error) => notices.toast(error.message, "error"));
  }, [wish.status]);
  useBoardKeys(board);
  useKeptFocus(board);

  return html`<section class="board" ref=${board} aria-label="Incidents">
    <${Bar} wish=${wish} change=${change} all=${all} matching=${matching} onNew=${() => setCreating(true)} />
    ${incidents.problem && html`<p class="problem" role="alert">The list could not be fetched: ${incidents.problem.message}</p>`}
    ${shown.length === 0 ? html`<${Nothing} wish=${wish} change=${change} any=${all.length > 0} />` : html`<${Shape} wish=${wish} change=${change} shown=${shown.slice(0, more)} />`}
    ${shown.length > more && html`<p class="more"><button type="button" class="button" onClick=${() => setMore(more + ROWS)}>Show ${Math.min(ROWS, shown.length - more)} more of ${shown.length}</button></p>`}
    ${creating && html`<${NewIncident} services=${servicesOf(all)} onClose=${() => setCreating(false)} />`}
  </section>`;
}

const servicesOf = (all) => [...new Set(all.map(({ service }) => service))].sort();

function Bar({ wish, change, all, matching, onNew }) {
  const count = (status) => matching.filter((incident) => inStatus(incident, status)).length;
  const toggle = (severity) => {
    const has = wish.severities.includes(severity);
    change({ severities: has ? wish.severities.filter((other) => other !== severity) : [...wish.severities, severity] });
  };
  return html`<div class="bar">
    <h1 class="spoken">Incidents</h1>
    <div class="bar-first">
      <div class="segments" role="group" aria-label="Status">
        ${FILTERS.map((status) => html`<button type="button" aria-pressed=${wish.status === status} data-status=${status}
          onClick=${() => change({ status })}>${status}<b>${status === "resolved" && wish.status !== status ? "" : count(status)}</b></button>`)}
      </div>
      <button type="button" class="button primary" onClick=${onNew}><${Icon} name="plus" /><span>New</span></button>
    </div>
    <div class="bar-tools">
      <label class="search"><${Icon} name="search" /><span class="spoken">Search</span>
        <input type="search" placeholder="Search" aria-keyshortcuts="/" value=${wish.text} onInput=${(event) => change({ text: event.target.value })} /></label>
      <div class="chips" role="group" aria-label="Severity">
        ${SEVERITIES.map((severity) => html`<button type="button" class="chip" data-severity=${severity} aria-pressed=${wish.severities.includes(severity)}
          onClick=${() => toggle(severity)}>${severity}</button>`)}
      </div>
      <label><span class="spoken">Service</span><select value=${wish.service} onChange=${(event) => change({ service: event.target.value })}>
        <option value="">All services</option>
        ${servicesOf(all).map((service) => html`<option value=${service}>${service}</option>`)}</select></label>
      <label><span class="spoken">Order</span><select value=${wish.order} onChange=${(event) => change({ order: event.target.value })}>
        ${Object.entries(ORDER_WORDS).map(([order, word]) => html`<option value=${order}>${word}</option>`)}</select></label>
      <div class="segments small" role="group" aria-label="Shape">
        ${["list", "columns"].map((shape) => html`<button type="button" aria-pressed=${wish.shape === shape} aria-label=${shape} title=${shape}
          onClick=${() => change({ shape })}><${Icon} name=${shape} /></button>`)}
      </div>
    </div>
  </div>`;
}

function Shape({ wish, change, shown }) {
  if (wish.shape === "columns") return html`<${Columns} wish=${wish} shown=${shown} />`;
  if (wish.order !== "urgency") return html`<${Heads} wish=${wish} change=${change} /><${Rows} shown=${shown} />`;
  return html`<${Heads} wish=${wish} change=${change} />${STATUSES.map((status) => {
    const group = shown.filter((incident) => incident.status === status);
    return group.length > 0 && html`<section class="group" key=${status} aria-label=${status}>
      <h2 data-status=${status}>${status} <b>${group.length}</b></h2><${Rows} shown=${group} /></section>`;
  })}`;
}

/** Heads of columns, which sort. */
function Heads({ wish, change }) {
  const head = (text, order) => html`<button type="button" aria-pressed=${wish.order === order} onClick=${() => change({ order: wish.order === order ? "urgency" : order })}>${text}${wish.order === order && html`<${Icon} name="down" size="12" />`}</button>`;
  return html`<div class="heads" role="group" aria-label="Order">
    ${head("Severity", "severity")}<span>Incident</span>${head("Service", "service")}<span>Assigned</span>${head("Open for", wish.order === "newest" ? "oldest" : "newest")}<span></span>
  </div>`;
}

const Rows = ({ shown }) => html`<ul class="rows">${shown.map((incident) => html`<${Row} key=${incident.id} incident=${incident} />`)}</ul>`;

function Columns({ wish, shown }) {
  const columns = wish.status === OPEN ? ["triggered", "acknowledged", "snoozed"] : [wish.status];
  const inColumn = (incident, column) => incident.status === column || (column === "snoozed" && wish.status === OPEN && incident.status === "suppressed");
  return html`<div class="columns" data-columns=${columns.length}>${columns.map((column) => {
    const group = shown.filter((incident) => inColumn(incident, column));
    return html`<section key=${column} aria-label=${column}><h2 data-status=${column}>${column} <b>${group.length}</b></h2>
      <ul>${group.map((incident) => html`<${Card} key=${incident.id} incident=${incident} />`)}</ul>
      ${group.length === 0 && html`<p class="quiet-text">None</p>`}</section>`;
  })}</div>`;
}

function Nothing({ wish, change, any }) {
  const narrowed = wish.text !== "" || wish.severities.length > 0 || wish.service !== "";
  if (narrowed) {
    return html`<${Empty} title="Nothing matches"><button type="button" class="button" onClick=${() => change({ text: "", severities: [], service: "" })}>Clear the filters</button><//>`;
  }
  if (incidents.paintedAt === undefined) return html`<p class="loading">Loading…</p>`;
  if (wish.status !== OPEN) return html`<${Empty} title=${`No ${wish.status} incidents`} />`;
  return html`<${Empty} title="All quiet"><p>Nothing is open.${any ? "" : " What monitoring sends appears here at once."}</p>
    ${session.isOpen && html`<${TryIt} />`}<//>`;
}

/** An event to try it with, on a server for development. */
function TryIt() {
  const event = { routing_key: "dev", event_action: "trigger", payload: { summary: "disk full", source: "db-1", severity: "critical" } };
  const command = `curl ${location.origin}/v2/enqueue -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(event)}'`;
  const copy = () => navigator.clipboard.writeText(command).then(() => notices.toast("Copied"), () => notices.toast("Copy it by hand", "error"));
  return html`<div class="try"><pre tabindex="0">${command}</pre><button type="button" class="button" onClick=${copy}>Copy</button></div>`;
}

/** Keys that move between incidents, and act on the one that has the focus. */
function useBoardKeys(board) {
  useEffect(() => {
    const onKey = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog, [role=menu]")) return;
      const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
      if (step) moveFocus(board.current, step);
      else if (event.key === "/") board.current.querySelector("input[type=search]").focus();
      else if (!actOn(event)) return;
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

/** The focus stays with its incident when that moves to another place, and with its neighbour when it goes. */
function useKeptFocus(board) {
  const last = useRef();
  useEffect(() => {
    const focused = ({ target }) => {
      const id = target.closest?.("[data-incident]")?.dataset.incident;
      const at = [...board.current.querySelectorAll("[data-incident]")].findIndex(({ dataset }) => dataset.incident === id);
      last.current = at < 0 ? undefined : { id, at };
    };
    const pressed = ({ target }) => target.closest("[data-incident]") || (last.current = undefined);
    document.addEventListener("focusin", focused);
    document.addEventListener("pointerdown", pressed);
    return () => {
      document.removeEventListener("focusin", focused);
      document.removeEventListener("pointerdown", pressed);
    };
  }, []);
  useLayoutEffect(() => {
    if (!last.current || document.activeElement !== document.body) return;
    const all = [...board.current.querySelectorAll("[data-incident]")];
    const same = all.find(({ dataset }) => dataset.incident === last.current.id);
    (same ?? all[Math.min(last.current.at, all.length - 1)])?.querySelector("a.title").focus({ preventScroll: true });
  });
}

function moveFocus(board, step) {
  const links = [...board.querySelectorAll("[data-incident] a.title")];
  const at = links.findIndex((link) => link.closest("[data-incident]").contains(document.activeElement));
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + step, 0), links.length - 1);
  links[next]?.focus();
  links[next]?.scrollIntoView({ block: "nearest" });
}

function actOn(event) {
  const incident = incidents.get(document.activeElement?.closest("[data-incident]")?.dataset.incident);
  if (!incident) return false;
  const deeds = {
    a: () => act(incident, "acknowledge"),
    r: () => act(incident, "resolve"),
    s: () => act(incident, "snooze", { until: new Date(Date.now() + HOUR_MS).toISOString() }),
    m: () => edit(incident, { assignee: session.name }),
    o: () => go("incidents", incident.id),
  };
  deeds[event.key]?.();
  return deeds[event.key] !== undefined;
}

