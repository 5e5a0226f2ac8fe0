// Writes grafana/dashboards/*.json, in Grafana's classic schema, from grafana/panels.
//
//   node grafana/dashboards.mjs           writes them
//   node grafana/dashboards.mjs --check   fails when one of them is not what would be written
//
// In an expression `{}` is the job and the nodes that are chosen above the dashboard; `{,` begins more matchers.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import cluster from "./panels/cluster.mjs";
import database from "./panels/database.mjs";
import incidents from "./panels/incidents.mjs";
import loadTest from "./panels/load-test.mjs";
import overview from "./panels/overview.mjs";
import rooms from "./panels/rooms.mjs";

const FOLDER = fileURLToPath(new URL("dashboards/", import.meta.url));
const CHOSEN = 'job="$job",instance=~"$instance"';
const DATASOURCE = { type: "prometheus", uid: "${datasource}" };
const WIDTH = 24;

const expression = (text) => text.replaceAll("{}", `{${CHOSEN}}`).replaceAll("{,", `{${CHOSEN},`);

/** Green, then yellow, then red, from these numbers on; with one it is red from there on. Where less is worse, red below it. */
function thresholds(limits, lessIsWorse) {
  const colours = lessIsWorse ? ["red", "green"] : ["green", "yellow", "red"].toSpliced(1, limits.length === 1 ? 1 : 0);
  return { mode: "absolute", steps: [null, ...limits].map((value, i) => ({ color: colours[i], value })) };
}

function options(kind) {
  const calcs = ["lastNotNull"];
  if (kind === "stat") {
    return { colorMode: "value", graphMode: "area", justifyMode: "auto", reduceOptions: { calcs, fields: "", values: false }, textMode: "auto" };
  }
  return {
    legend: { calcs: ["lastNotNull", "max"], displayMode: "table", placement: "bottom", showLegend: true },
    tooltip: { mode: "multi", sort: "desc" },
  };
}

function custom(kind, { stack, limits }) {
  if (kind === "stat") return {};
  const stacking = stack ? { group: "A", mode: "normal" } : { group: "A", mode: "none" };
  return {
    drawStyle: "line",
    fillOpacity: stack ? 40 : 10,
    lineWidth: 1,
    showPoints: "never",
    spanNulls: false,
    stacking,
    thresholdsStyle: { mode: limits.length > 0 && !stack ? "dashed" : "off" },
  };
}

function panel({ title, kind, unit, description, queries, more }, id, gridPos) {
  const { limits = [], lessIsWorse = false, min = 0, max } = more;
  const targets = queries.map(([text, legend], i) => ({
    datasource: DATASOURCE,
    editorMode: "code",
    expr: expression(text),
    legendFormat: legend,
    range: true,
    refId: String.fromCharCode(65 + i),
  }));
  const defaults = {
    color: { mode: kind === "stat" ? "thresholds" : "palette-classic" },
    custom: custom(kind, { ...more, limits }),
    min,
    ...(max === undefined ? {} : { max }),
    thresholds: thresholds(limits, lessIsWorse),
    unit,
  };
  return {
    id,
    title,
    type: kind,
    description,
    datasource: DATASOURCE,
    fieldConfig: { defaults, overrides: [] },
    gridPos,
    options: options(kind),
    targets,
  };
}

/** Rows from top to bottom, panels from left to right. */
function panels(rows) {
  const placed = [];
  let y = 0;
  for (const { title, panels: inRow } of rows) {
    placed.push({ id: placed.length + 1, title, type: "row", collapsed: false, gridPos: { x: 0, y, w: WIDTH, h: 1 }, panels: [] });
    y += 1;
    let x = 0;
    let height = 0;
    for (const one of inRow) {
      const [w, h] = one.kind === "stat" ? [4, 4] : [8, 8];
      if (x + w > WIDTH) {
        x = 0;
        y += height;
        height = 0;
      }
      placed.push(panel(one, placed.length + 1, { x, y, w, h }));
      x += w;
      height = Math.max(height, h);
    }
    y += height;
  }
  return placed;
}

const chosenBy = (name, label, query, more) => ({
  name,
  label,
  type: "query",
  datasource: DATASOURCE,
  definition: query,
  query: { query, refId: name },
  refresh: 2,
  sort: 1,
  ...more,
});

const VARIABLES = [
  { name: "datasource", label: "Prometheus", type: "datasource", query: "prometheus", refresh: 1 },
  chosenBy("job", "Cluster", "label_values(roomcast_build_info, job)", {}),
  chosenBy("instance", "Nodes", 'label_values(roomcast_build_info{job="$job"}, instance)', {
    multi: true,
    includeAll: true,
    allValue: ".+",
    current: { text: ["All"], value: ["$__all"] },
  }),
];

const ANNOTATIONS = [
  {
    name: "Alerts",
    enable: true,
    iconColor: "red",
    datasource: DATASOURCE,
    expr: 'ALERTS{alertname=~"Roomcast.+",alertstate="firing",severity="critical"}',
    titleFormat: "{{alertname}}",
    textFormat: "{{instance}}",
    step: "60s",
  },
  {
    name: "Starts",
    enable: true,
    iconColor: "blue",
    datasource: DATASOURCE,
    expr: expression("changes(process_start_time_seconds{}[1m]) > 0"),
    titleFormat: "started",
    textFormat: "{{instance}}",
    step: "60s",
  },
];

/** A menu with the other dashboards, for the same cluster and time. */
const LINK = {
  title: "roomcast",
  type: "dashboards",
  tags: ["roomcast"],
  asDropdown: true,
  includeVars: true,
  keepTime: true,
  icon: "external link",
  targetBlank: false,
  tooltip: "",
  url: "",
};

function dashboard({ name, title, description, rows }) {
  return {
    uid: `roomcast-${name}`,
    title: `roomcast: ${title}`,
    description,
    tags: ["roomcast"],
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: "30s",
    time: { from: "now-3h", to: "now" },
    timezone: "",
    annotations: { list: ANNOTATIONS },
    links: [LINK],
    templating: { list: VARIABLES },
    panels: panels(rows),
  };
}

const written = new Map([overview, rooms, cluster, database, incidents, loadTest].map((one) => [`${one.name}.json`, `${JSON.stringify(dashboard(one), null, 2)}\n`]));

if (process.argv.includes("--check")) {
  const there = readdirSync(FOLDER);
  const wrong = [...written].filter(([name, text]) => !there.includes(name) || readFileSync(FOLDER + name, "utf8") !== text);
  const names = [...wrong.map(([name]) => name), ...there.filter((name) => !written.has(name))];
  if (names.length > 0) {
    console.error(`not what node grafana/dashboards.mjs writes: ${names.join(", ")}`);
    process.exit(1);
  }
} else {
  mkdirSync(FOLDER, { recursive: true });
  for (const [name, text] of written) writeFileSync(FOLDER + name, text);
}
