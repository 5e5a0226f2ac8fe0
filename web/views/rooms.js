// What operators look at: nodes, rooms and who is in them, sessions. The API is asked every few seconds while somebody looks.

import { count } from "../lib/format.js";
import { api, incidents, notices } from "../lib/live.js";
import { to, useTitle } from "../lib/route.js";
import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { Action, Avatar, Dialog, Empty, Icon } from "./parts.js";

const LOOK_EVERY_MS = 4_000;
const ROOMS = 200;
const MEMBERS = 200;
const SESSIONS = 50;
const INCIDENT = "incident:";

/** What people call a room that belongs to an incident. */
function About({ room }) {
  const incident = room.startsWith(INCIDENT) ? incidents.get(room.slice(INCIDENT.length)) : undefined;
  return incident && html`<small>#${incident.number} ${incident.title}</small>`;
}

/** Asks again and again while the view is open and in sight. */
function useLook(look, why) {
  const [found, set] = useState({});
  useEffect(() => {
    let closed = false;
    let timer;
    const round = async () => {
      clearTimeout(timer);
      if (document.visibilityState === "visible") {
        try {
          const value = await look();
          if (!closed) set({ value });
        } catch (problem) {
          if (!closed) set((before) => ({ ...before, problem }));
        }
      }
      if (!closed) timer = setTimeout(round, LOOK_EVERY_MS);
    };
    set({});
    round();
    document.addEventListener("visibilitychange", round);
    return () => {
      closed = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", round);
    };
  }, why);
  return found;
}

export function Rooms({ room }) {
  return room === undefined ? html`<${Overview} />` : html`<${Room} key=${room} room=${room} />`;
}

function Overview() {
  useTitle("Rooms");
  const [prefix, setPrefix] = useState("");
  const [user, setUser] = useState("");
  const { value, problem } = useLook(async () => {
    const [{ nodes }, rooms, sessions] = await Promise.all([
      api.get("/api/v1/nodes"),
      api.get("/api/v1/rooms", { prefix, limit: ROOMS }),
      api.get("/api/v1/sessions", { user, limit: SESSIONS }),
    ]);
    return { nodes, rooms, sessions };
  }, [prefix, user]);
  return html`<section class="operators" aria-label="Rooms">
    <h1 class="spoken">Rooms and sessions</h1>
    ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
    ${value && html`<${Totals} nodes=${value.nodes} />`}
    <div class="operators-body">
      <section class="panel" aria-labelledby="rooms-title">
        <div class="panel-head"><h2 id="rooms-title">Rooms</h2>
          <label class="search"><${Icon} name="search" /><span class="spoken">Begins with</span>
            <input type="search" placeholder="Begins with" value=${prefix} onInput=${(event) => setPrefix(event.target.value)} /></label></div>
        ${value && html`<${RoomTable} rooms=${value.rooms} />`}
      </section>
      <div class="side">
        <section class="panel" aria-labelledby="nodes-title"><h2 id="nodes-title">Nodes</h2>
          ${value && html`<${NodeTable} nodes=${value.nodes} />`}</section>
        <section class="panel" aria-labelledby="sessions-title">
          <div class="panel-head"><h2 id="sessions-title">Sessions</h2>
            <label class="search"><${Icon} name="search" /><span class="spoken">Of the user</span>
              <input type="search" placeholder="Of the user" value=${user} onInput=${(event) => setUser(event.target.value)} /></label></div>
          ${value && html`<${SessionTable} sessions=${value.sessions.sessions} more=${value.sessions.next} />`}
        </section>
      </div>
    </div>
  </section>`;
}

function Totals({ nodes }) {
  const sum = (name) => nodes.reduce((total, node) => total + node[name], 0);
  const totals = [["Open sockets", sum("sockets")], ["Rooms with members", sum("rooms")], ["Nodes", nodes.length]];
  return html`<div class="tiles">${totals.map(([name, value]) => html`<div class="tile"><span>${name}</span><b>${count.format(value)}</b></div>`)}</div>`;
}

function RoomTable({ rooms: { rooms, next, partial } }) {
  if (rooms.length === 0) return html`<p class="quiet-text">No room has members.</p>`;
  const sorted = rooms.toSorted((a, b) => b.members - a.members || a.room.localeCompare(b.room));
  const most = sorted[0].members;
  return html`<table class="table"><thead><tr><th scope="col">Room</th><th scope="col" class="number-cell">Members</th></tr></thead>
    <tbody>${sorted.map(({ room, members }) => html`<tr key=${room}>
      <td><a href=${to("rooms", room)}>${room}</a><${About} room=${room} /></td>
      <td class="number-cell"><meter min="0" max=${most} value=${members} aria-hidden="true"></meter>${count.format(members)}</td></tr>`)}</tbody></table>
    ${next && html`<p class="quiet-text">The first ${rooms.length} by name; search for others.</p>`}
    ${partial && html`<p class="quiet-text">A node has not answered, so there may be more.</p>`}`;
}

function NodeTable({ nodes }) {
  return html`<table class="table"><thead><tr><th scope="col">Node</th><th scope="col" class="number-cell">Sockets</th><th scope="col" class="number-cell">Rooms</th><th scope="col">Heard</th></tr></thead>
    <tbody>${nodes.map(({ node, address, version, sockets, rooms, heard_ms_ago }) => html`<tr key=${node}>
      <td><code>${node}</code><small>${address ?? "this one alone"} · ${version}</small></td><td class="number-cell">${count.format(sockets)}</td>
      <td class="number-cell">${count.format(rooms)}</td><td>${heard_ms_ago === undefined ? "it answers" : `${Math.round(heard_ms_ago / 1_000)} s ago`}</td></tr>`)}</tbody></table>`;
}

/** Sessions, each with the way to end it. */
function SessionTable({ sessions, more }) {
  const [ending, setEnding] = useState();
  const end = async () => {
    try {
      await api.delete(`/api/v1/sessions/${ending.sid}`);
      notices.toast(`The session ${ending.sid} is ended`);
    } catch (error) {
      notices.toast(error.message, "error");
    }
    setEnding(undefined);
  };
  if (sessions.length === 0) return html`<p class="quiet-text">There is none.</p>`;
  return html`<table class="table"><thead><tr><th scope="col">User</th><th scope="col">Session</th><th scope="col"><span class="spoken">End it</span></th></tr></thead>
    <tbody>${sessions.map((session) => html`<tr key=${session.sid}>
      <td><${Somebody} name=${session.user} /></td><td><code>${session.sid}</code></td>
      <td class="number-cell"><button type="button" class="button quiet" aria-label=${`End… ${session.sid}`} onClick=${() => setEnding(session)}>End…</button></td></tr>`)}</tbody></table>
    ${more && html`<p class="quiet-text">The first ${sessions.length}.</p>`}
    ${ending && html`<${Dialog} title="End this session?" onClose=${() => setEnding(undefined)}>
      <p>The session <code>${ending.sid}</code> of <b>${ending.user ?? "nobody"}</b> is closed, and its client is told not to come back.</p>
      <footer><${Action} icon="x" text="End the session" className="danger" run=${end} /></footer><//>`}`;
}

function Somebody({ name }) {
  if (name === undefined) return html`<span class="quiet-text">no token</span>`;
  return html`<span class="who"><${Avatar} name=${name} small /><span>${name}</span></span>`;
}

function Room({ room }) {
  useTitle(room);
  const { value, problem } = useLook(() => api.get(`/api/v1/rooms/${encodeURIComponent(room)}/members`, { limit: MEMBERS }), [room]);
  return html`<section class="operators" aria-label=${room}>
    <nav class="crumbs" aria-label="Where this is"><a href=${to("rooms")}><${Icon} name="left" />Rooms</a></nav>
    <h1>${room} ${value && html`<b class="count">${count.format(value.count)}</b>`}</h1>
    ${problem && html`<p class="problem" role="alert">${problem.message}</p>`}
    ${value?.members.length === 0 && html`<${Empty} title="Nobody is here" />`}
    ${value?.members.length > 0 && html`<div class="panel"><${SessionTable} sessions=${value.members} more=${value.next} /></div>`}
  </section>`;
}
