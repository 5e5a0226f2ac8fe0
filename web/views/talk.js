// The incident's room: who is in it, and what they say. Talk is for now; notes are for later.

import { fullTime, shortTime } from "../lib/format.js";
import { client, connection, session } from "../lib/live.js";
import { Store, useStore } from "../lib/store.js";
import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { Avatar, Icon } from "./parts.js";

/** Most lines that are kept in the page. */
const LINES_MAX = 500;
const FACES = 8;

const nameOf = ({ user, info, sid }) => info?.name ?? user ?? `guest ${sid?.slice(-4) ?? ""}`;
const keyOf = ({ user, sid }) => user ?? sid;

/** What was said since the view was opened, and who is here. */
export class Talks extends Store {
  lines = [];
  people = new Map();
  count = 0;
  #last = 0;

  async joined(client, room) {
    try {
      const { count, members } = await client.presence(room);
      this.people = new Map(members.map((member) => [keyOf(member), nameOf(member)]));
      this.count = Math.max(count > members.length ? count : 0, this.people.size);
    } catch {
      this.people = new Map();
    }
    this.changed();
  }

  heard(event, data) {
    if (event === "message") this.#add({ from: String(data?.from ?? "somebody").slice(0, 64), text: String(data?.text ?? "") });
    else if (event === "presence.joined") this.#presence(data, (member) => this.people.set(keyOf(member), nameOf(member)), "joined");
    else if (event === "presence.left") this.#presence(data, (member) => this.people.delete(keyOf(member)), "left");
  }

  #presence(data, change, word) {
    for (const member of data?.members ?? []) {
      const name = this.people.get(keyOf(member)) ?? nameOf(member);
      const before = this.people.size;
      change(member);
      if (this.people.size !== before && name !== session.name) this.#add({ from: name, word });
    }
    this.count = this.people.size;
    this.changed();
  }

  #add(line) {
    this.lines = [...this.lines, { id: ++this.#last, at: new Date().toISOString(), ...line }].slice(-LINES_MAX);
    this.changed();
  }
}

export function Talk({ talks, id }) {
  useStore(talks);
  const live = useStore(connection).state.name === "live";
  return html`<section class="panel talk" aria-labelledby="talk-title">
    <h2 id="talk-title">Room <${People} people=${[...talks.people.values()]} count=${talks.count} /></h2>
    <${Lines} lines=${talks.lines} />
    <${Say} room=${`incident:${id}`} live=${live} />
  </section>`;
}

function People({ people, count }) {
  const names = people.toSorted((a, b) => a.localeCompare(b));
  const more = Math.max(count, names.length) - FACES;
  return html`<span class="people" role="group" aria-label=${`Here now: ${names.join(", ") || "nobody"}`} title=${names.join(", ")}>
    ${names.slice(0, FACES).map((name) => html`<${Avatar} key=${name} name=${name} small />`)}${more > 0 && html`<span class="avatar small more">+${more}</span>`}</span>`;
}

function Lines({ lines }) {
  const log = useRef();
  const atEnd = useRef(true);
  useEffect(() => {
    if (atEnd.current) log.current.scrollTop = log.current.scrollHeight;
  }, [lines]);
  const onScroll = ({ target }) => {
    atEnd.current = target.scrollHeight - target.scrollTop - target.clientHeight < 24;
  };
  return html`<div class="lines" role="log" aria-label="What is said" tabindex="0" ref=${log} onScroll=${onScroll}>
    ${lines.length === 0 && html`<p class="quiet-text">What is said here is heard by all who look at this incident, and is not kept.</p>`}
    ${lines.map(({ id, at, from, text, word }, index) => {
      if (word) return html`<p key=${id} class="came">${from} ${word}</p>`;
      const goesOn = lines[index - 1]?.from === from && !lines[index - 1]?.word;
      return html`<div key=${id} class=${goesOn ? "line goes-on" : "line"}>${!goesOn && html`<${Avatar} name=${from} small />`}
        <div>${!goesOn && html`<p class="from"><b>${from === session.name ? "You" : from}</b> <time datetime=${at} title=${fullTime(at)}>${shortTime(at)}</time></p>`}<p>${text}</p></div></div>`;
    })}
  </div>`;
}

function Say({ room, live }) {
  const [text, setText] = useState("");
  const [problem, setProblem] = useState();
  const send = async (event) => {
    event.preventDefault();
    if (!text.trim()) return;
    try {
      await client.publish(room, "message", { text: text.trim(), from: session.name });
      setText("");
      setProblem(undefined);
    } catch (error) {
      setProblem(error.message);
    }
  };
  return html`<form class="say" onSubmit=${send}>
    ${problem && html`<p class="problem" role="alert">Not said: ${problem}</p>`}
    <label class="grow"><span class="spoken">Say something</span>
      <input value=${text} onInput=${(event) => setText(event.target.value)} placeholder=${live ? "Say something" : "Not connected"} maxlength="2000" autocomplete="off" disabled=${!live} /></label>
    <button class="button" aria-label="Say it" disabled=${!live}><${Icon} name="send" /></button></form>`;
}
