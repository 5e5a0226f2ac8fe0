"use strict";
// Draws a report: a run, or a scenario whose phases are runs. Everything that a report says is put in as text, never as markup.

const report = JSON.parse(document.getElementById("report").textContent);
const page = document.getElementById("page");
const plots = [];

const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
};
const add = (parent, ...children) => (parent.append(...children.filter(Boolean)), parent);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// --- numbers as people read them

const grouped = (number) => Math.round(number).toLocaleString("en-US");
const few = (number) => (Math.abs(number) >= 100 ? grouped(number) : String(Number(number.toPrecision(3))));
const time = (us) => (us < 1e3 ? `${few(us)} µs` : us < 1e6 ? `${few(us / 1e3)} ms` : `${few(us / 1e6)} s`);
const bytes = (n) => (n < 1e3 ? `${few(n)} B` : n < 1e6 ? `${few(n / 1e3)} kB` : n < 1e9 ? `${few(n / 1e6)} MB` : `${few(n / 1e9)} GB`);
const isTime = (name) => /(^|_)(p\d+|max|mean|recovery|first_close|last_close|exit_time)$/.test(name) && name !== "db_busy_max";
const shown = (name, value) => {
    if (value === null || value === undefined) return "not measured";
    if (isTime(name)) return time(value);
    return name.includes("bytes") ? bytes(value) + (name.endsWith("_per_s") ? "/s" : "") : few(value);
};

// --- parts

const tiles = (entries) => {
    const box = make("div", "tiles");
    for (const [label, value] of entries) add(box, add(make("div", "tile"), make("b", "", value), make("span", "", label)));
    return entries.length ? box : null;
};

const table = (heads, rows) => {
    const body = make("table");
    add(body, add(make("tr"), ...heads.map((head) => make("th", "", head))));
    for (const row of rows) {
        const cells = row.map((cell) => (cell instanceof Node ? add(make("td"), cell) : make("td", "number", cell)));
        add(body, add(make("tr"), ...cells));
    }
    return add(make("div", "box"), body);
};

const thresholds = (verdicts) => {
    if (!verdicts || !verdicts.length) return null;
    const rows = verdicts.map(({ fail_if, value, failed }) => [
        add(make("span"), make("code", "", fail_if)),
        shown(/^[a-z0-9_]+/.exec(fail_if)[0], value),
        make("b", failed ? "bad" : "good", failed ? "failed" : "held"),
    ]);
    return table(["Fails if", "Measured", ""], rows);
};

const fold = (title, content) => add(make("details", "box"), make("summary", "", title), content);

// --- plots

const axis = (values, size = 64) => ({
    stroke: () => colour("--quiet"),
    grid: { stroke: () => colour("--line"), width: 1 },
    ticks: { stroke: () => colour("--line"), width: 1 },
    font: "12px system-ui",
    values: values && ((_, splits) => splits.map((split) => (split === null ? "" : values(split)))),
    size,
});

// Seconds since the run began, as minutes and hours once there are some.
const clock = (s) => (s < 120 ? `${few(s)} s` : s < 7200 ? `${few(s / 60)} min` : `${few(s / 3600)} h`);

const draw = (parent, title, x, lines, value, options = {}) => {
    const has = lines.filter(([, data]) => data && data.some((one) => one !== null));
    if (!has.length || x.length < 2) return;
    const box = add(make("div", "plot"), make("h3", "", title));
    add(parent, box);
    const series = has.map(([label, , name]) => ({
        label,
        stroke: () => colour(name),
        width: 1.6,
        spanGaps: false,
        points: { show: options.points || x.length < 30, size: 5, fill: () => colour(name) },
        value: (_, raw) => (raw === null || raw === undefined ? "–" : value(raw)),
    }));
    const plot = new uPlot(
        {
            width: 400,
            height: 220,
            cursor: { drag: { x: true, y: false } },
            scales: { x: { time: false, range: options.range }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
            axes: [{ ...axis(options.labels || clock, 34), splits: options.splits }, axis(value, 72)],
            series: [{ label: options.x || "at", value: (_, raw) => (raw === null ? "–" : (options.labels || clock)(raw)) }, ...series],
        },
        [x, ...has.map(([, data]) => data)],
        box,
    );
    plots.push([plot, box]);
};

const course = (parent, series) => {
    if (!series) return;
    const x = series.at_s;
    const every = series.seconds_per_point > 1 ? `, the highest of each ${series.seconds_per_point} s` : ", second by second";
    draw(parent, `Latency${every}`, x, [["p50", series.p50_us, "--c1"], ["p95", series.p95_us, "--c2"], ["p99", series.p99_us, "--c3"]], time);
    draw(parent, `Longest latency${every}`, x, [["max", series.max_us, "--c4"]], time);
    draw(parent, "Deliveries or answers per second", x, [["per second", series.per_s, "--c1"]], few);
    draw(parent, "CPU, cores", x, [["server", series.server_cores, "--c1"], ["load tester", series.generator_cores, "--c4"]], few);
    draw(parent, "Memory of the server", x, [["resident", series.server_rss_bytes, "--c1"]], bytes);
    draw(parent, "Drops per second, as the server counts them", x, [["drops", series.drops_per_s, "--c3"]], few);
};

// The further to the right, the rarer: each step is a tenth of those before.
const RANKS = [["p50_us", 50], ["p90_us", 90], ["p95_us", 95], ["p99_us", 99], ["p999_us", 99.9]];
const rank = (percent) => -Math.log10(1 - percent / 100);
const percent = (at) => `${Number((100 * (1 - 10 ** -at)).toFixed(2))} %`;

const percentiles = (parent, distributions) => {
    const first = distributions.find(([, quantiles]) => quantiles && quantiles.count);
    if (!first) return;
    const ranks = RANKS.filter(([name]) => distributions.every(([, q]) => !q || !q.count || name in q));
    const x = ranks.map(([, at]) => rank(at));
    const colours = ["--c1", "--c2", "--c3", "--c4"];
    const lines = distributions
        .filter(([, quantiles]) => quantiles && quantiles.count)
        .slice(0, colours.length)
        .map(([label, quantiles], at) => [label, ranks.map(([name]) => quantiles[name]), colours[at]]);
    const splits = () => x;
    draw(parent, "Percentiles of the whole run", x, lines, time, {
        points: true, labels: percent, x: "percentile", splits, range: () => [x[0] - 0.1, x[x.length - 1] + 0.2],
    });
};

const distributions = (results) => {
    const { load, incidents } = results;
    const found = [];
    if (load) found.push(["delivery", load.latency], ["same node", load.same_node], ["other node", load.cross_node]);
    if (incidents) found.push(["heard", incidents.heard.latency], ["answered", incidents.requests.latency]);
    for (const [name, asked] of Object.entries(results)) {
        const ms = asked && asked.latency_ms;
        if (ms) found.push([name, { count: asked.requests, p50_us: ms.p50 * 1e3, p95_us: ms.p95 * 1e3, p99_us: ms.p99 * 1e3 }]);
    }
    return found;
};

// --- a run

const HEADLINES = [
    ["p50", "median latency"], ["p99", "latency p99"], ["max", "longest latency"], ["back_p99", "back, p99"],
    ["answer_p50", "median answer"], ["answer_p99", "answer p99"], ["lost", "lost"], ["deliveries_per_s", "deliveries/s"],
    ["max_deliveries_per_s", "sustained deliveries/s"], ["requests_per_s", "answers/s"], ["taken_per_s", "taken/s"],
    ["error_rate", "failed, %"], ["server_cores", "server cores"], ["rss_bytes", "server memory"], ["out_bytes_per_s", "to clients"],
    ["in_bytes_per_s", "from clients"], ["redis_ops_per_s", "Redis commands/s"], ["db_operations_per_s", "database ops/s"],
    ["drops", "drops"], ["generator_cores", "load tester cores"],
];

const run = (parent, one) => {
    const figures = one.figures || {};
    add(parent, tiles(HEADLINES.filter(([name]) => name in figures).map(([name, label]) => [label, shown(name, figures[name])])));
    add(parent, thresholds(one.thresholds));
    const grid = make("div", "plots");
    add(parent, grid);
    course(grid, one.series);
    percentiles(grid, distributions(one.results || {}));
    const steps = one.results && one.results.ramp && one.results.ramp.steps;
    if (steps) {
        const rows = steps.map((step) => [grouped(step.intended_per_s), grouped(step.deliveries_per_s), time(step.p99_us), step.failed || "good"]);
        add(parent, table(["Asked/s", "Arrived/s", "p99", ""], rows));
    }
    for (const warning of one.warnings || []) add(parent, make("p", "warn", `Warning: ${warning}`));
    const all = Object.entries(figures).map(([name, value]) => [name, shown(name, value)]);
    if (all.length) add(parent, fold("All figures", table(["Figure", "Value"], all)));
    add(parent, fold("Options", make("pre", "", JSON.stringify(one.config, null, 2))));
};

const verdict = (passed) => make("span", `verdict ${passed ? "good" : "bad"}`, passed ? "passed" : "failed");

const machine = (host) => {
    if (!host) return null;
    const commit = host.git_revision ? `, revision ${host.git_revision}` : "";
    const text = `${host.started_at} on ${host.cores} × ${host.cpu}, ${host.kernel}${commit}, load average ${host.load_before} → ${host.load_after}`;
    return make("p", "quiet", text);
};

const title = (text) => ((document.title = text), make("h1", "", text));

const main = () => {
    if (report.phases) {
        const { scenario } = report;
        add(page, add(title(scenario.title), verdict(report.passed)), make("p", "", scenario.why.trim()));
        add(page, scenario.time && make("p", "time", `Not the whole: ${scenario.time}.`), machine(report.host));
        for (const phase of report.phases) {
            const section = make("section");
            add(section, add(make("h2", "", phase.name), verdict(phase.passed)), make("code", "quiet", phase.arguments.join(" ")));
            run(section, phase.report);
            add(section, thresholds(phase.thresholds));
            if (phase.repetitions.length > 1) add(section, make("p", "quiet", `Run ${phase.repetitions.length} times; this is the last.`));
            add(page, section);
        }
    } else if (report.trials) {
        add(page, title("Side by side"), machine(report.host));
        for (const trial of report.trials) {
            add(page, make("h2", "", `${trial.server}: ${trial.measurement}, round ${trial.round + 1}`));
            run(page, { ...trial, results: trial.results || {}, config: report.config });
        }
    } else {
        const line = (report.command_line || []).slice(1).join(" ");
        add(page, add(title(`Load test: ${line.split(" ")[0] || "report"}`), verdict(report.passed !== false)));
        add(page, make("code", "quiet", line), machine(report.host));
        run(page, report);
    }
    add(page, make("p", "quiet", "Drag over a plot to look closer, click twice to see all. Latency counts from when something was due."));
};

const fit = () => plots.forEach(([plot, box]) => plot.setSize({ width: Math.max(240, box.clientWidth - 30), height: 220 }));
const repaint = () => plots.forEach(([plot]) => plot.redraw(false, true));

main();
fit();
addEventListener("resize", fit);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
