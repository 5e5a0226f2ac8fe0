// One incident on the board, as a row or as a card, and what can be done with it at once.

import { act, session } from "../lib/live.js";
import { shortTime } from "../lib/format.js";
import { to } from "../lib/route.js";
import { html, useEffect, useRef } from "../vendor/preact-htm.js";
import { Action, Age, Avatar, Icon, Menu, Severity, Status } from "./parts.js";

const MINUTE_MS = 60_000;
const MORNING_HOUR = 9;

function tomorrow() {
  const date = new Date();
  date.setDate(date.getDate() + 1);
  date.setHours(MORNING_HOUR, 0, 0, 0);
  return date;
}

export function snoozeItems(incident) {
  const until = (label, date) => ({
    label,
    hint: shortTime(date),
    run: () => act(incident, "snooze", { until: date.toISOString() }),
  });
  const minutes = (label, count) => until(label, new Date(Date.now() + count * MINUTE_MS));
  return [minutes("15 minutes", 15), minutes("1 hour", 60), minutes("4 hours", 240), until("Until tomorrow", tomorrow())];
}

/** What can be done with an incident in its state. */
export function Deeds({ incident, words = false }) {
  const { status } = incident;
  const over = status === "resolved";
  if (over) return null;
  const name = `#${incident.number}`;
  const className = words ? "" : "compact";
  return html`<span class="deeds">
    ${status === "acknowledged"
      ? html`<${Action} icon="undo" about=${name} text=${words ? "Unacknowledge" : "Unack"} className=${`${className} quiet`} run=${() => act(incident, "unacknowledge")} />`
      : html`<${Action} icon="eye" about=${name} text=${words ? "Acknowledge" : "Ack"} className=${words ? "primary" : `${className} ack`} run=${() => act(incident, "acknowledge")} />`}
    ${status !== "suppressed" && html`<${Menu} label=${`Snooze ${name}`} icon="moon" text=${words ? "Snooze" : undefined} className=${`right ${words ? "" : "quiet"}`} items=${snoozeItems(incident)} />`}
    <${Action} icon="check" about=${name} text="Resolve" className=${`${className} resolve`} run=${() => act(incident, "resolve")} />
  </span>`;
}

/** Set for a moment when the incident has just changed. */
function useFlash(incident) {
  const element = useRef();
  const seq = useRef(incident.seq);
  const fresh = useRef(Date.now() - Date.parse(incident.opened_at) < 5_000);
  useEffect(() => {
    if (!fresh.current && seq.current === incident.seq) return;
    fresh.current = false;
    seq.current = incident.seq;
    const { classList } = element.current;
    classList.remove("flash");
    void element.current.offsetWidth; // begins the animation anew
    classList.add("flash");
  }, [incident.seq]);
  return element;
}

function Who({ name }) {
  if (!name) return html`<span class="quiet-text nobody">nobody</span>`;
  return html`<span class="who"><${Avatar} name=${name} small /><span>${name === session.name ? "you" : name}</span></span>`;
}

function Times({ incident }) {
  return incident.trigger_count > 1 && html`<span class="times" title=${`It happened ${incident.trigger_count} times`}><${Icon} name="repeat" size="12" />${incident.trigger_count}</span>`;
}

function Note({ incident }) {
  const { status } = incident;
  if (status === "snoozed" || status === "suppressed") {
    return incident.snoozed_until && html`<span>until ${shortTime(incident.snoozed_until)}</span>`;
  }
  if (status === "acknowledged" && incident.acknowledged_at) return html`<${Age} at=${incident.acknowledged_at} prefix="ack’d " suffix=" ago" />`;
  if (status === "resolved" && incident.resolved_at) return html`<${Age} at=${incident.resolved_at} prefix="resolved " suffix=" ago" />`;
  return null;
}

export function Row({ incident }) {
  const element = useFlash(incident);
  return html`<li class="row" ref=${element} data-incident=${incident.id} data-severity=${incident.severity} data-status=${incident.status}>
    <${Severity} value=${incident.severity} />
    <div class="what">
      <a class="title" href=${to("incidents", incident.id)}>${incident.title}</a>
      <span class="sub"><span class="number">#${incident.number}</span><${Status} value=${incident.status} /><${Note} incident=${incident} /><${Times} incident=${incident} /><span class="narrow-only">${incident.service}</span></span>
    </div>
    <span class="service">${incident.service}</span>
    <span class="assignee"><${Who} name=${incident.assignee} /></span>
    <span class="age"><${Age} at=${incident.opened_at} /></span>
    <${Deeds} incident=${incident} />
  </li>`;
}

export function Card({ incident }) {
  const element = useFlash(incident);
  return html`<li class="card" ref=${element} data-incident=${incident.id} data-severity=${incident.severity} data-status=${incident.status}>
    <div class="card-head"><${Severity} value=${incident.severity} /><span class="number">#${incident.number}</span><${Times} incident=${incident} /><span class="spring"></span><${Age} at=${incident.opened_at} /></div>
    <a class="title" href=${to("incidents", incident.id)}>${incident.title}</a>
    <div class="card-foot"><span class="service">${incident.service}</span><${Note} incident=${incident} />${incident.assignee && html`<${Who} name=${incident.assignee} />`}</div>
    <${Deeds} incident=${incident} />
  </li>`;
}
