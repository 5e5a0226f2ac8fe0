// What happened to an incident, the newest first.

import { fullTime, span, time } from "../lib/format.js";
import { session } from "../lib/live.js";
import { html } from "../vendor/preact-htm.js";
import { Icon } from "./parts.js";

const KINDS = {
  "incident.triggered": { icon: "bolt", tone: "bad", text: () => "triggered it" },
  "incident.retriggered": { icon: "repeat", tone: "quiet", text: ({ data }) => html`It happened again: <b>${data.trigger_count}</b> times now` },
  "incident.acknowledged": { icon: "eye", tone: "warm", text: () => "acknowledged it" },
  "incident.unacknowledged": { icon: "undo", tone: "bad", text: () => "does not take care of it any more" },
  "incident.snoozed": { icon: "moon", tone: "calm", text: ({ data }) => html`snoozed it until <b>${time(data.until)}</b>` },
  "incident.unsnoozed": { icon: "bolt", tone: "bad", text: () => "The snooze is over" },
  "incident.suppressed": { icon: "bellOff", tone: "calm", text: ({ data }) => html`Suppressed by a maintenance until <b>${time(data.until)}</b>` },
  "incident.escalated": { icon: "up", tone: "bad", text: ({ data }) => html`Escalated to step <b>${data.step}</b>` },
  "incident.resolved": { icon: "check", tone: "good", text: ({ data }) => html`resolved it after <b>${span(data.duration_secs ?? 0)}</b>` },
  "incident.reassigned": { icon: "user", tone: "plain", text: ({ data }) => (data.assignee ? html`assigned it to <b>${data.assignee}</b>` : "assigned it to nobody") },
  "incident.severity_updated": { icon: "up", tone: "plain", text: ({ data }) => html`changed the severity from ${data.from} to <b>${data.severity}</b>` },
  "incident.title_updated": { icon: "edit", tone: "plain", text: ({ data }) => html`changed the title to <b>${data.title}</b>` },
  "incident.annotated": { icon: "note", tone: "note", text: () => "noted" },
};
const OTHER = { icon: "tag", tone: "plain", text: ({ type }) => type };

/** Events that nobody did. */
const NOBODYS = new Set(["incident.retriggered", "incident.unsnoozed", "incident.suppressed", "incident.escalated"]);

/** Times that it happened again one after the other are one entry. */
function folded(events) {
  const entries = [];
  for (const event of events) {
    const before = entries.at(-1);
    const again = event.type === "incident.retriggered" && before?.type === event.type;
    if (again) entries[entries.length - 1] = { ...event, first: before.first ?? before };
    else entries.push(event);
  }
  return entries.reverse();
}

export function TimelineView({ timeline }) {
  if (!timeline.complete && timeline.events.length === 0) return html`<p class="loading">Loading…</p>`;
  return html`<ol class="timeline" data-last=${timeline.last}>${folded(timeline.events).map((event) => html`<${Entry} key=${event.first?.seq ?? event.seq} event=${event} />`)}</ol>`;
}

function Entry({ event }) {
  const kind = KINDS[event.type] ?? OTHER;
  const { actor, first } = event;
  const who = actor?.type === "user" && actor.name === session.name ? "You" : actor?.name;
  const from = first && html`<span class="seq">#${first.seq}–${event.seq}</span>`;
  return html`<li data-seq=${event.seq} data-type=${event.type} data-tone=${kind.tone}>
    <span class="mark"><${Icon} name=${kind.icon} size="14" /></span>
    <div><p>${who && !NOBODYS.has(event.type) && html`<b>${who}</b> `}${kind.text(event)}</p>
      ${event.type === "incident.annotated" && html`<p class="note-text">${event.data.text}</p>`}</div>
    <span class="when">${from ?? html`<span class="seq">#${event.seq}</span>`}<time datetime=${event.at} title=${fullTime(event.at)}>${time(event.at)}</time></span>
  </li>`;
}
