// How it stands: the newest snapshot of a scope, as its room tells it.

import { count, span, time } from "../lib/format.js";
import { api, client, connection, session } from "../lib/live.js";
import { go, to, useTitle } from "../lib/route.js";
import { Store, useStore } from "../lib/store.js";
import { html, useEffect, useMemo, useState } from "../vendor/preact-htm.js";
import { Chart } from "./chart.js";
import { Empty, SEVERITIES, useNow } from "./parts.js";

/** After so long without a snapshot the API is asked for it. */
const PATIENCE_MS = 1_500;
/** Most moments of the sockets' chart: a quarter of an hour at one a second. */
const HISTORY_MAX = 900;
const OPEN_STATUSES = ["triggered", "acknowledged", "snoozed", "suppressed"];
const KINDS = { incident: "incidents’ rooms", service: "services’ rooms", dashboard: "dashboards", reserved: "other reserved rooms", free: "free rooms" };
const WINDOWS = [["1h", "last hour"], ["24h", "last 24 h"], ["7d", "last 7 days"]];
const MINUTE_SECONDS = 60;

/** What is known of a scope. It stays while one looks at other views, so that the charts go on. */
class Scope extends Store {
  history = { at: [], sockets: [] };
  snapshot = undefined;
  problem = undefined;

  take(snapshot) {
    if (this.snapshot && snapshot.seq <= this.snapshot.seq) return;
    this.snapshot = snapshot;
    this.problem = undefined;
    const { at, sockets } = this.history;
    this.history = {
      at: [...at, Date.parse(snapshot.as_of) / 1_000].slice(-HISTORY_MAX),
      sockets: [...sockets, snapshot.online.sockets].slice(-HISTORY_MAX),
    };
    this.changed();
  }

  async fetch(name) {
    try {
      this.take(await api.get(`/api/v1/dashboards/${name.split(":").map(encodeURIComponent).join("/")}`));
    } catch (problem) {
      this.problem = problem;
      this.changed();
    }
  }
}

const scopes = new Map();

function useScope(name) {
  const scope = useMemo(() => {
    if (!scopes.has(name)) scopes.set(name, new Scope());
    return scopes.get(name);
  }, [name]);
  useStore(scope);
  useEffect(() => {
    const late = setTimeout(() => scope.snapshot ?? scope.fetch(name), PATIENCE_MS);
    const leave = client.join(`dashboard:${name}`, {
      event: (event, data) => event === "dashboard.snapshot" && scope.take(data),
      refused: (problem) => {
        scope.problem = problem;
        scope.changed();
      },
    });
    return () => {
      clearTimeout(late);
      leave();
    };
  }, [name]);
  return scope;
}

export function Dashboard({ scope: parts }) {
  const name = parts.length === 2 ? parts.join(":") : "global";
  useTitle(name === "global" ? "Dashboard" : `Dashboard of ${parts[1]}`);
  const scope = useScope(name);
  return html`<section class="dashboard" aria-label="Dashboard">
    <h1 class="spoken">Dashboard</h1>
    <${Choice} name=${name} scope=${scope} />
    ${scope.snapshot ? html`<${Snapshot} snapshot=${scope.snapshot} history=${scope.history} />` : html`<${NotYet} problem=${scope.problem} />`}
  </section>`;
}

function NotYet({ problem }) {
  if (!session.config.incidents) return html`<${Empty} title="No dashboard here"><p>This server has no database.</p><//>`;
  if (problem?.status === 404) return html`<${Empty} title="No such dashboard"><p><a href=${to("dashboard")}>All services</a></p><//>`;
  if (problem) return html`<${Empty} title="Not yet"><p>There is no snapshot: ${problem.message}</p><//>`;
  return html`<p class="loading">Waiting for the first snapshot…</p>`;
}

function Choice({ name, scope }) {
  const [services, setServices] = useState([]);
  useEffect(() => {
    if (session.config.incidents) api.get("/api/v1/services", { limit: 200 }).then(({ data }) => setServices(data.map(({ slug }) => slug)), () => {});
  }, []);
  const choose = ({ target }) => (target.value === "global" ? go("dashboard") : go("dashboard", "service", target.value.slice("service:".length)));
  const known = name === "global" || services.some((slug) => `service:${slug}` === name);
  return html`<div class="choice">
    <label><span class="spoken">Of what</span><select value=${name} onChange=${choose}>
      <option value="global">All services</option>
      ${!known && html`<option value=${name}>${name.split(":")[1]}</option>`}
      ${services.map((slug) => html`<option value=${`service:${slug}`}>${slug}</option>`)}</select></label>
    <span class="spring"></span>
    ${scope.snapshot && html`<${AsOf} at=${scope.snapshot.as_of} />`}
  </div>`;
}

/** How old it is; a dashboard is renewed at least every few seconds. */
function AsOf({ at }) {
  const now = useNow(1_000);
  const live = useStore(connection).state.name === "live";
  const old = now - Date.parse(at) > 15_000;
  return html`<span class=${old || !live ? "as-of old" : "as-of"}>as of <time datetime=${at}>${time(at)}</time>${old && `, ${span((now - Date.parse(at)) / 1_000)} ago`}</span>`;
}

const sum = (numbers) => Object.values(numbers ?? {}).reduce((total, number) => total + number, 0);
const seconds = (value) => (value === null || value === undefined ? "–" : span(value));

function Snapshot({ snapshot, history }) {
  const { open, mtta, mttr, online, outbox, unacknowledged_over_target: late } = snapshot;
  const worst = SEVERITIES.find((severity) => open.triggered?.[severity] > 0);
  return html`
    <div class="tiles">
      <${Tile} name="Open" value=${count.format(open.total)} note=${`in ${count.format(inServices(snapshot))} of ${count.format(snapshot.services)} services`} />
      <${Tile} name="Triggered" value=${count.format(sum(open.triggered))} severity=${worst} note=${worst ? `worst: ${worst}` : "nobody waits"} />
      <${Tile} name="Waiting too long" value=${count.format(late)} severity=${late > 0 ? "critical" : undefined} note="not acknowledged in time" />
      <${Tile} name="To acknowledge" value=${seconds(mtta["24h"].p50_secs)} note=${`median of ${count.format(mtta["24h"].count)} in 24 h`} />
      <${Tile} name="To resolve" value=${seconds(mttr["24h"].p50_secs)} note=${`median of ${count.format(mttr["24h"].count)} in 24 h`} />
      <${Tile} name="Open sockets" value=${count.format(online.sockets)} note=${`on ${count.format(online.nodes)} ${online.nodes === 1 ? "node" : "nodes"}`} />
    </div>
    <div class="charts">
      <${PerMinute} rates=${snapshot.per_minute} />
      <${Sockets} history=${history} />
    </div>
    <div class="charts three">
      <${Matrix} open=${open} />
      <div class="side">
        <${Services} services=${snapshot.open_by_service} />
        <${System} online=${online} outbox=${outbox} />
      </div>
      <${Times} mtta=${mtta} mttr=${mttr} />
    </div>`;
}

const inServices = ({ open_by_service: { top, rest } }) => top.length + rest.services;

function Tile({ name, value, note, severity }) {
  return html`<div class="tile" data-severity=${severity}><span>${name}</span><b>${value}</b><small>${note}</small></div>`;
}

const RATES = [{ name: "triggered", tone: "bar-bad" }, { name: "resolved", tone: "bar-good" }];
function PerMinute({ rates }) {
  const data = useMemo(() => {
    const from = Date.parse(rates.from) / 1_000;
    return [rates.triggered.map((_, minute) => from + minute * MINUTE_SECONDS), rates.triggered, rates.resolved];
  }, [rates]);
  const total = `${sum(rates.triggered)} triggered, ${sum(rates.resolved)} resolved in the last hour`;
  return html`<${Chart} title="Incidents per minute" series=${RATES} data=${data} total=${total} bars />`;
}

const SOCKETS = [{ name: "sockets", tone: "accent" }];
function Sockets({ history }) {
  const data = useMemo(() => [history.at, history.sockets], [history]);
  return html`<${Chart} title="Open sockets" series=${SOCKETS} data=${data} total=${`${history.sockets.at(-1)} now`} />`;
}

function Matrix({ open }) {
  const most = Math.max(1, ...OPEN_STATUSES.flatMap((status) => Object.values(open[status] ?? {})));
  return html`<section class="panel" aria-labelledby="matrix-title"><h2 id="matrix-title">Open by status and severity</h2>
    <table class="table matrix"><thead><tr><td></td>${SEVERITIES.map((severity) => html`<th scope="col">${severity}</th>`)}</tr></thead>
      <tbody>${OPEN_STATUSES.map((status) => html`<tr><th scope="row">${status}</th>${SEVERITIES.map((severity) => {
        const value = open[status]?.[severity] ?? 0;
        const heat = value === 0 ? 0 : 1 + Math.min(3, Math.floor((value / most) * 4));
        return html`<td data-severity=${severity} data-heat=${heat}>${value === 0 ? "·" : count.format(value)}</td>`;
      })}</tr>`)}</tbody></table></section>`;
}

function Services({ services: { top, rest } }) {
  const most = top[0]?.open ?? 1;
  return html`<section class="panel" aria-labelledby="services-title"><h2 id="services-title">Open by service</h2>
    ${top.length === 0 && html`<p class="quiet-text">Nothing is open.</p>`}
    <ul class="shares">${top.map(({ service, open }) => html`<li key=${service}><a href=${to("dashboard", "service", service)}>${service}</a>
      <meter min="0" max=${most} value=${open} aria-hidden="true"></meter><b>${count.format(open)}</b></li>`)}</ul>
    ${rest.services > 0 && html`<p class="quiet-text">and ${count.format(rest.open)} in ${count.format(rest.services)} other services</p>`}</section>`;
}

function Times({ mtta, mttr }) {
  const cells = ({ count: of, mean_secs: mean, p50_secs: half, p95_secs: most }) => html`<td>${count.format(of)}</td><td>${seconds(mean)}</td><td>${seconds(half)}</td><td>${seconds(most)}</td>`;
  const body = (name, windows) => html`<tbody><tr><th colspan="5" scope="rowgroup">${name}</th></tr>
    ${WINDOWS.map(([key, words]) => html`<tr><th scope="row">${words}</th>${cells(windows[key])}</tr>`)}</tbody>`;
  return html`<section class="panel" aria-labelledby="times-title"><h2 id="times-title">How long it takes</h2>
    <table class="table times-table"><thead><tr><td></td><th scope="col">Count</th><th scope="col">Mean</th><th scope="col">Median</th><th scope="col">p95</th></tr></thead>
      ${body("To acknowledge", mtta)}${body("To resolve", mttr)}</table></section>`;
}

function System({ online, outbox }) {
  const facts = [
    ["Outbox", outbox.depth === 0 ? "empty" : `${count.format(outbox.depth)} wait, the oldest for ${span(outbox.oldest_age_ms / 1_000)}`],
    ...Object.entries(online.members).map(([kind, members]) => [`Members of ${KINDS[kind] ?? kind}`, count.format(members)]),
  ];
  return html`<section class="panel" aria-labelledby="system-title"><h2 id="system-title">Rooms</h2>
    <dl class="facts wide">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section>`;
}
