// What is around every view: where one is, whether the page is live, who one is.

import { span, time } from "../lib/format.js";
import { client, connection, incidents, notices, session, signOut } from "../lib/live.js";
import { to } from "../lib/route.js";
import { useStore } from "../lib/store.js";
import { html, useEffect, useState } from "../vendor/preact-htm.js";
import { Avatar, Dialog, Icon, Menu, useNow } from "./parts.js";

/** Shorter absences are not worth a banner. */
const BANNER_AFTER_MS = 1_500;

const TABS = [
  { name: "incidents", text: "Incidents", icon: "bolt", href: to() },
  { name: "dashboard", text: "Dashboard", icon: "bars", href: to("dashboard") },
  { name: "rooms", text: "Rooms", icon: "plug", href: to("rooms") },
];

export function Header({ route, onHelp }) {
  useStore(incidents);
  const at = route[0] ?? "incidents";
  const triggered = incidents.all().filter(({ status }) => status === "triggered").length;
  return html`<header class="top">
    <a class="brand" href="#/" aria-label="roomcast: all incidents"><${Mark} /><span>roomcast</span></a>
    <nav aria-label="Views">
      ${TABS.map(
        ({ name, text, icon, href }) => html`<a href=${href} aria-current=${name === at ? "page" : undefined}>
          <${Icon} name=${icon} /><span>${text}</span>
          ${name === "incidents" && triggered > 0 && html`<b class="count" title=${`${triggered} triggered`}>${triggered}</b>`}
        </a>`,
      )}
    </nav>
    <span class="spring"></span>
    <${Live} />
    <${Theme} />
    <button type="button" class="button quiet wide-only" aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)" onClick=${onHelp}><${Icon} name="keys" /></button>
    <${Me} />
  </header>`;
}

function Mark() {
  return html`<svg class="mark" viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
    <circle cx="16" cy="16" r="2.6" /><path d="M11.2 11.2a6.8 6.8 0 0 0 0 9.6M20.8 11.2a6.8 6.8 0 0 1 0 9.6M7 7a12.7 12.7 0 0 0 0 18M25 7a12.7 12.7 0 0 1 0 18" />
  </svg>`;
}

const LIVE_WORDS = { idle: "Not connected", connecting: "Connecting", live: "Live", waiting: "Reconnecting", offline: "Offline", ended: "Ended" };

/** The state of the connection, always in sight. */
function Live() {
  const { state } = useStore(connection);
  return html`<span class="live" data-state=${state.name} role="status" title=${LIVE_WORDS[state.name]}>
    <i aria-hidden="true"></i><span>${LIVE_WORDS[state.name]}</span>
  </span>`;
}

/** What it means that the page is not live. */
export function LiveBanner() {
  const { state, lostAt, stale } = useStore(connection);
  const now = useNow(1_000);
  if (state.name === "live") {
    return stale && html`<div class="banner" role="status"><span>A new release of this page is here.</span>
      <button type="button" class="button" onClick=${() => location.reload()}>Reload</button></div>`;
  }
  const since = lostAt ?? state.at;
  if (state.name === "idle" || (state.name !== "ended" && now - since < BANNER_AFTER_MS)) return null;
  const asOf = lostAt && `What you see is as of ${time(lostAt)}.`;
  const text = {
    connecting: "Connecting…",
    waiting: `Connection lost. ${state.retryAt > now ? `Trying again in ${span((state.retryAt - now) / 1_000)}.` : "Trying again…"}`,
    offline: "This device is offline.",
    ended: `The server ended this session: ${state.reason || state.code}.`,
  }[state.name];
  return html`<div class="banner warning"><span>${text} ${asOf}</span>
    ${state.name !== "connecting" && html`<button type="button" class="button" onClick=${() => client.retry()}>${state.name === "ended" ? "Connect again" : "Try now"}</button>`}
  </div>`;
}

function Theme() {
  const [chosen, setChosen] = useState(globalThis.roomcastTheme.chosen);
  const choose = (theme) => {
    globalThis.roomcastTheme.choose(theme);
    setChosen(theme);
  };
  const icon = { auto: "half", light: "sun", dark: "moon" }[chosen];
  const items = [["auto", "As the system"], ["light", "Light"], ["dark", "Dark"]].map(([theme, label]) => ({
    label,
    chosen: theme === chosen,
    run: () => choose(theme),
  }));
  return html`<${Menu} label=${`Theme: ${chosen}`} icon=${icon} items=${items} className="right quiet" />`;
}

function Me() {
  useStore(session);
  const [open, setOpen] = useState(false);
  return html`<button type="button" class="button quiet me" aria-label=${`You are ${session.name}`} title=${`You are ${session.name}`} onClick=${() => setOpen(true)}>
      <${Avatar} name=${session.name} small /><span class="wide-only">${session.name}</span></button>
    ${open && html`<${Account} onClose=${() => setOpen(false)} />`}`;
}

function Account({ onClose }) {
  const [name, setName] = useState(session.asked);
  if (!session.isOpen) {
    return html`<${Dialog} title="You" onClose=${onClose}>
      <p>You are <b>${session.name}</b>, as your token says. It is kept in this tab alone, until you close it.</p>
      <footer><button type="button" class="button" onClick=${() => signOut()}>Sign out</button></footer>
    <//>`;
  }
  const rename = (event) => {
    event.preventDefault();
    session.rename(name);
    client.stop();
    client.start();
    onClose();
  };
  return html`<${Dialog} title="You" onClose=${onClose}>
    <form onSubmit=${rename}>
      <label>The name that others see
        <input value=${name} onInput=${(event) => setName(event.target.value)} maxlength="64" required autofocus /></label>
      <p class="quiet-text">This is a server for development, where everybody is who they say.</p>
      <footer><button class="button primary">Save</button></footer>
    </form>
  <//>`;
}

const KEYS = [
  ["j k ↓ ↑", "Next and previous incident"],
  ["Enter", "Open it"],
  ["a", "Acknowledge it"],
  ["r", "Resolve it"],
  ["s", "Snooze it for an hour"],
  ["m", "Assign it to me"],
  ["/", "Search"],
  ["n", "Write a note (in an incident)"],
  ["?", "These keys"],
];

export function Help({ onClose }) {
  return html`<${Dialog} title="Keyboard" onClose=${onClose}>
    <dl class="keys">${KEYS.map(([keys, text]) => html`<div><dt>${keys.split(" ").map((key) => html`<kbd>${key}</kbd>`)}</dt><dd>${text}</dd></div>`)}</dl>
    <p class="quiet-text">a, r, s and m are for the incident that has the focus. roomcast ${session.config.version}</p>
  <//>`;
}

/** What is said in passing, for eyes and for screen readers. */
export function Notices() {
  const { toasts, spoken } = useStore(notices);
  const { state } = useStore(connection);
  const [told, tell] = useState("");
  useEffect(() => {
    // Short absences are not announced.
    const timer = setTimeout(tell, BANNER_AFTER_MS, state.name === "live" ? "" : `${LIVE_WORDS[state.name]}.`);
    return () => clearTimeout(timer);
  }, [state.name]);
  return html`<div class="toasts" role="alert">
      ${toasts.map(({ id, text, kind }) => html`<div class="toast" data-kind=${kind} key=${id}><span>${text}</span>
        <button type="button" class="button quiet" aria-label="Dismiss" onClick=${() => notices.dismiss(id)}><${Icon} name="x" /></button></div>`)}
    </div>
    <div class="spoken" aria-live="polite">${spoken}</div>
    <div class="spoken" aria-live="polite">${told}</div>`;
}
