// The page: connects, and shows the view that the address names.

import { begin, connection, session } from "./lib/live.js";
import { useRoute } from "./lib/route.js";
import { useStore } from "./lib/store.js";
import { html, render, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { Board } from "./views/board.js";
import { Dashboard } from "./views/dashboard.js";
import { Incident } from "./views/incident.js";
import { Rooms } from "./views/rooms.js";
import { Header, Help, LiveBanner, Notices } from "./views/shell.js";
import { SignIn } from "./views/signin.js";
import { Empty } from "./views/parts.js";

function View({ route }) {
  const [first, ...rest] = route;
  if (first === "dashboard") return html`<${Dashboard} scope=${rest} />`;
  if (first === "rooms") return html`<${Rooms} room=${rest[0]} />`;
  if (first !== undefined && first !== "incidents") {
    return html`<${Empty} title="There is nothing here"><p><a href="#/">All incidents</a></p><//>`;
  }
  if (!session.config.incidents) {
    return html`<${Empty} title="No incidents here">
      <p>This server has no database. Start it with <code>--database-url</code>, or look at its <a href="#/rooms">rooms</a>.</p>
    <//>`;
  }
  return rest[0] ? html`<${Incident} key=${rest[0]} id=${rest[0]} />` : html`<${Board} />`;
}

function App() {
  useStore(session);
  useStore(connection);
  const route = useRoute();
  const [help, setHelp] = useState(false);
  const main = useRef();
  const path = route.join("/");
  const before = useRef(path);
  useEffect(() => {
    // After a move within the page, reading and tabbing begin at the new view.
    if (before.current !== path) main.current?.focus({ preventScroll: true });
    if (before.current !== path) scrollTo(0, 0);
    before.current = path;
  }, [path]);
  useEffect(() => {
    const onKey = (event) => {
      if (event.key !== "?" || event.target.closest("input, textarea, select, dialog")) return;
      setHelp(true);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  if (!session.isSignedIn) return html`<${SignIn} onDone=${begin} /><${Notices} />`;
  return html`
    <a class="skip" href=${location.hash || "#/"} onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>To the content</a>
    <${Header} route=${route} onHelp=${() => setHelp(true)} />
    <${LiveBanner} />
    <main ref=${main} tabindex="-1"><${View} route=${route} /></main>
    <${Notices} />
    ${help && html`<${Help} onClose=${() => setHelp(false)} />`}
  `;
}

const root = document.querySelector("#app");

/** The server may be starting just now. */
async function load(pause = 500) {
  try {
    await session.load();
  } catch {
    root.firstElementChild.textContent = "The server does not answer. Trying again…";
    setTimeout(load, pause, Math.min(pause * 2, 8_000));
    return;
  }
  root.replaceChildren();
  render(html`<${App} />`, root);
  if (session.isSignedIn) begin();
}

load();
