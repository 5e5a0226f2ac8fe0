// A chart in the colours of the page: uPlot, which draws on a canvas and so does not know of styles.

import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";

const HEIGHT = 190;
/** Seconds beside the first and the last bar, which are a minute apart from the next. */
const HALF_BAR = 30;
/** Shortest time that a line is about, in seconds. */
const SHORTEST = 60;
const dark = matchMedia("(prefers-color-scheme: dark)");

/** A colour of the page as a canvas understands it. */
function colour(name, probe) {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

function faded(rgb, alpha) {
  return rgb.replace(/^rgb\((.*)\)$/u, `rgba($1, ${alpha})`);
}

/** Set anew whenever colours have changed. */
function useTheme() {
  const [turn, next] = useState(0);
  useEffect(() => {
    const changed = () => next((before) => before + 1);
    addEventListener("roomcast-theme", changed);
    dark.addEventListener("change", changed);
    return () => {
      removeEventListener("roomcast-theme", changed);
      dark.removeEventListener("change", changed);
    };
  }, []);
  return turn;
}

const clockWithSeconds = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** With seconds where marks are less than a minute apart. */
const times = (_, marks, __, ___, step) => marks.map((at) => (step < 60 ? clockWithSeconds : clock).format(at * 1_000));

const barsRange = (at) => [at[0] - HALF_BAR, at.at(-1) + HALF_BAR];
const lineRange = (at) => [Math.min(at[0], at.at(-1) - SHORTEST), at.at(-1)];

function axis(ink, line, more) {
  return {
    stroke: ink,
    font: "11px system-ui, sans-serif",
    grid: { stroke: line, width: 1 },
    ticks: { show: false },
    ...more,
  };
}

function options({ series, bars }, width, probe, onCursor) {
  const [ink, line] = [colour("muted", probe), colour("line", probe)];
  const drawn = series.map(({ name, tone }, index) => {
    const stroke = colour(tone, probe);
    const shape = bars
      ? { fill: stroke, width: 0, paths: uPlot.paths.bars({ size: [0.42, 14, 1], align: index === 0 ? -1 : 1 }) }
      : { fill: faded(stroke, 0.12), width: 1.75, paths: uPlot.paths.stepped({ align: 1 }) };
    return { label: name, stroke, points: { show: false }, ...shape };
  });
  return {
    width,
    height: HEIGHT,
    padding: [10, 18, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: !bars } },
    scales: { x: { range: ({ data: [at] }) => (bars ? barsRange(at) : lineRange(at)) }, y: { range: (_, _min, max) => [0, Math.max(4, Math.ceil(max * 1.1))] } },
    series: [{}, ...drawn],
    axes: [
      axis(ink, line, { grid: { show: false }, size: 24, space: 70, values: times }),
      axis(ink, line, { size: 34, space: 36, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 10_000, 100_000] }),
    ],
    hooks: { setCursor: [({ cursor }) => onCursor(cursor.idx ?? undefined)] },
  };
}

/** `series`: [{ name, tone }]; `data`: times in seconds, then the values of each series; `total` is said to who sees no chart. */
export function Chart({ title, series, data, bars = false, total }) {
  const box = useRef();
  const chart = useRef();
  const [at, setAt] = useState();
  const theme = useTheme();
  useEffect(() => {
    const probe = box.current;
    const made = new uPlot(options({ series, bars }, probe.clientWidth, probe, setAt), data, probe);
    chart.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: probe.clientWidth, height: HEIGHT }));
    observer.observe(probe);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [theme, series, bars]);
  useEffect(() => chart.current.setData(data), [data]);
  const shown = at !== undefined && data[0][at] !== undefined;
  return html`<figure class="panel chart" aria-label=${`${title}: ${total}`}>
    <figcaption><h2>${title}</h2><span class="legend">${shown && html`<time>${clock.format(data[0][at] * 1_000)}</time>`}
      ${series.map(({ name, tone }, index) => html`<span><i data-tone=${tone}></i>${name}${shown && html` <b>${data[index + 1][at]}</b>`}</span>`)}</span></figcaption>
    <div class="canvas" ref=${box} aria-hidden="true"></div></figure>`;
}
