// One incident: what it is, what happened to it, who is looking at it, and what they say.

import { api, client, edit, incidents, notices, session } from "../lib/live.js";
import { fullTime, span, time } from "../lib/format.js";
import { to, useTitle } from "../lib/route.js";
import { useStore } from "../lib/store.js";
import { Timeline } from "../lib/incidents.js";
import { html, useEffect, useMemo, useState } from "../vendor/preact-htm.js";
import { Deeds } from "./incident_row.js";
import { Action, Age, Avatar, Empty, Icon, Menu, SEVERITIES, Severity, Status } from "./parts.js";
import { Talk, Talks } from "./talk.js";
import { TimelineView } from "./timeline.js";

/** Follows an incident's room while the view is open. */
function useFollowed(id) {
  const parts = useMemo(() => ({ timeline: new Timeline(api, id), talks: new Talks() }), [id]);
  useEffect(() => {
    const { timeline, talks } = parts;
    const paint = async () => {
      try {
        await incidents.fetch(id);
        await timeline.mend();
      } catch (error) {
        timeline.problem = error;
        timeline.changed();
      }
    };
    // Otherwise it is painted when its room is joined.
    if (client.state.name !== "live") paint();
    const leave = client.join(`incident:${id}`, {
      joined: () => {
        paint();
        talks.joined(client, `incident:${id}`);
      },
      event: (name, data) => {
        if (name.startsWith("incident.")) {
          incidents.take(data).catch(() => {});
          timeline.take(data);
        } else talks.heard(name, data);
      },
      refused: (error) => {
        notices.toast(`You cannot follow this incident: ${error.message}`, "error");
        paint();
      },
    });
    return () => {
      leave();
      timeline.close();
    };
  }, [id]);
  return parts;
}

export function Incident({ id }) {
  useStore(incidents);
  const { timeline, talks } = useFollowed(id);
  useStore(timeline);
  const incident = incidents.get(id);
  useTitle(incident ? `#${incident.number} ${incident.title}` : "Incident");
  if (!incident) {
    if (timeline.problem?.status === 404) return html`<${Empty} title="There is no such incident"><p><a href=${to()}>All incidents</a></p><//>`;
    if (timeline.problem) return html`<p class="problem" role="alert">The incident could not be fetched: ${timeline.problem.message}</p>`;
    return html`<p class="loading">Loading…</p>`;
  }
  return html`<article class="incident" data-incident=${id} data-severity=${incident.severity} data-status=${incident.status}>
    <${Head} incident=${incident} />
    <div class="incident-body">
      <section class="panel timeline-panel" aria-labelledby="timeline-title">
        <h2 id="timeline-title">Timeline</h2>
        <${WriteNote} incident=${incident} />
        ${timeline.problem && html`<p class="problem" role="alert">The timeline could not be fetched: ${timeline.problem.message}</p>`}
        <${TimelineView} timeline=${timeline} />
      </section>
      <div class="side">
        <${Talk} talks=${talks} id=${id} />
        <${Facts} incident=${incident} />
      </div>
    </div>
  </article>`;
}

function Head({ incident }) {
  const over = incident.status === "resolved";
  const severities = SEVERITIES.map((severity) => ({ label: severity, chosen: severity === incident.severity, run: () => edit(incident, { severity }) }));
  return html`<header class="incident-head">
    <nav class="crumbs" aria-label="Where this is"><a href=${to()}><${Icon} name="left" />Incidents</a><span class="number">#${incident.number}</span><span class="service">${incident.service}</span></nav>
    <${Title} incident=${incident} />
    <div class="incident-line">
      ${over ? html`<${Severity} value=${incident.severity} />` : html`<span class="severity-menu"><${Severity} value=${incident.severity} /><${Menu} label="Change the severity" items=${severities} className="quiet" /></span>`}
      <${Status} value=${incident.status} />
      <${Lasting} incident=${incident} />
      <span class="spring"></span>
      <${Assignee} incident=${incident} />
      <${Deeds} incident=${incident} words />
    </div>
  </header>`;
}

function Title({ incident }) {
  const [text, setText] = useState();
  const save = async (event) => {
    event.preventDefault();
    if (text.trim() === incident.title || (await edit(incident, { title: text.trim() }))) setText(undefined);
  };
  if (text === undefined) {
    return html`<div class="title-line"><h1>${incident.title}</h1>
      ${incident.status !== "resolved" && html`<button type="button" class="button quiet" aria-label="Change the title" title="Change the title" onClick=${() => setText(incident.title)}><${Icon} name="edit" /></button>`}</div>`;
  }
  return html`<form class="title-line" onSubmit=${save} onKeyDown=${(event) => event.key === "Escape" && setText(undefined)}>
    <label class="grow"><span class="spoken">Title</span><input value=${text} maxlength="1024" required autofocus ref=${(input) => input && document.activeElement !== input && input.focus()}
      onInput=${(event) => setText(event.target.value)} /></label>
    <button class="button primary">Save</button><button type="button" class="button" onClick=${() => setText(undefined)}>Cancel</button></form>`;
}

function Lasting({ incident }) {
  if (incident.status === "resolved") {
    const seconds = (Date.parse(incident.resolved_at) - Date.parse(incident.opened_at)) / 1_000;
    return html`<span class="quiet-text">over after ${span(seconds)}</span>`;
  }
  const until = incident.snoozed_until && html` until ${time(incident.snoozed_until)},`;
  return html`<span class="quiet-text">${until} open for <${Age} at=${incident.opened_at} />${incident.trigger_count > 1 && html`, happened ${incident.trigger_count} times`}</span>`;
}

function Assignee({ incident }) {
  const { assignee } = incident;
  const mine = assignee === session.name;
  const over = incident.status === "resolved";
  const assign = () => {
    const name = prompt("Who takes care of it?", assignee ?? "");
    if (name?.trim()) edit(incident, { assignee: name.trim() });
  };
  const items = [
    ...(mine ? [] : [{ label: "Assign to me", run: () => edit(incident, { assignee: session.name }) }]),
    { label: "Assign to somebody…", run: assign },
    ...(assignee ? [{ label: "Assign to nobody", run: () => edit(incident, { assignee: null }) }] : []),
  ];
  return html`<span class="assign">${assignee ? html`<${Avatar} name=${assignee} small /><span>${mine ? "you" : assignee}</span>` : html`<span class="quiet-text">nobody assigned</span>`}
    ${!over && html`<${Menu} label="Assign" icon="user" items=${items} className="quiet right" />`}</span>`;
}

function WriteNote({ incident }) {
  const [text, setText] = useState("");
  const send = async () => {
    try {
      incidents.put(await api.post(`/api/v1/incidents/${incident.id}/notes`, { text: text.trim(), by: session.name }));
      setText("");
    } catch (error) {
      notices.toast(`The note was not taken: ${error.message}`, "error");
    }
  };
  useEffect(() => {
    const onKey = (event) => {
      if (event.key !== "n" || event.ctrlKey || event.metaKey || event.target.closest("input, textarea, select, dialog")) return;
      event.preventDefault();
      document.querySelector("#note").focus();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  const quick = (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && text.trim() && send();
  return html`<div class="write-note"><label class="spoken" for="note">Note</label>
    <textarea id="note" rows="2" maxlength="10240" placeholder="Write a note for whoever reads this later" value=${text}
      onInput=${(event) => setText(event.target.value)} onKeyDown=${quick}></textarea>
    <${Action} icon="note" text="Add note" run=${() => text.trim() && send()} /></div>`;
}

function Facts({ incident }) {
  const facts = [
    ["Service", incident.service],
    ["Key", html`<code>${incident.dedup_key}</code>`],
    ["Opened", html`<time datetime=${incident.opened_at}>${fullTime(incident.opened_at)}</time>`],
    ["Last happened", incident.trigger_count > 1 && html`<${Age} at=${incident.last_event_at} suffix=" ago" />`],
    ["Acknowledged", incident.acknowledged_at && fullTime(incident.acknowledged_at)],
    ["Resolved", incident.resolved_at && fullTime(incident.resolved_at)],
    ["Before it", incident.previous_id && html`<a href=${to("incidents", incident.previous_id)}>the one before with this key</a>`],
    ["Id", html`<code>${incident.id}</code>`],
  ];
  return html`<section class="panel" aria-labelledby="facts-title"><h2 id="facts-title">Details</h2>
    <dl class="facts">${facts.filter(([, value]) => value).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    ${incident.details && html`<pre class="json" tabindex="0" aria-label="What monitoring sent">${JSON.stringify(incident.details, null, 2)}</pre>`}
  </section>`;
}
