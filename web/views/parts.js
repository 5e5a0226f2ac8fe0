// Small things that all views are made of.

import { fullTime, ago, hue, initials } from "../lib/format.js";
import { html, useEffect, useLayoutEffect, useReducer, useRef, useState } from "../vendor/preact-htm.js";

const ICONS = {
  bolt: "M9 1.5 3.5 9H8l-1 5.5L12.5 7H8z",
  eye: "M1.8 8S4 4 8 4s6.2 4 6.2 4S12 12 8 12 1.8 8 1.8 8zM8 9.8a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6z",
  check: "m3 8.6 3.2 3.2L13 5",
  moon: "M13.2 9.6A5.6 5.6 0 1 1 6.4 2.8a4.5 4.5 0 0 0 6.8 6.8z",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1.2v1.6M8 13.2v1.6M1.2 8h1.6M13.2 8h1.6M3.2 3.2l1.1 1.1M11.7 11.7l1.1 1.1M12.8 3.2l-1.1 1.1M4.3 11.7l-1.1 1.1",
  half: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 2v12",
  bellOff: "M4 6.5a4 4 0 0 1 6.5-3M12 7c0 3 1.2 4 1.2 4H5.5M3.8 8.5C3.6 10 2.8 11 2.8 11h1M6.7 13.2a1.4 1.4 0 0 0 2.6 0M2 2l12 12",
  bars: "M3 13.5v-5M8 13.5v-11M13 13.5v-8",
  list: "M2.5 4h1M2.5 8h1M2.5 12h1M6 4h7.5M6 8h7.5M6 12h7.5",
  columns: "M2.5 3h3v10h-3zM7 3h3v7H7zM11.5 3h2v4h-2z",
  plug: "M6 1.8v3M10 1.8v3M4 4.8h8v3a4 4 0 0 1-8 0zM8 11.8v2.6",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.3 10.3l3.5 3.5",
  user: "M8 7.8a2.6 2.6 0 1 0 0-5.2 2.6 2.6 0 0 0 0 5.2zM2.8 13.8c.4-2.6 2.5-4 5.2-4s4.8 1.4 5.2 4",
  note: "m3 13 .6-2.8L10.8 3 13 5.2l-7.2 7.2z",
  up: "M8 13V3.5M3.8 7.5 8 3.2l4.2 4.3",
  repeat: "M3 7a5 5 0 0 1 8.8-2.4L13 6M13 2.8V6H9.8M13 9a5 5 0 0 1-8.8 2.4L3 10M3 13.2V10h3.2",
  undo: "M5.5 3 2.5 6l3 3M2.5 6h7a4 4 0 0 1 0 8H6",
  left: "M9.8 3 5 8l4.8 5",
  down: "m4 6.2 4 4 4-4",
  x: "m4 4 8 8M12 4l-8 8",
  plus: "M8 3v10M3 8h10",
  keys: "M1.8 4h12.4v8H1.8zM4 6.6h.1M6.6 6.6h.1M9.2 6.6h.1M11.8 6.6h.1M4.8 9.4h6.4",
  send: "M2 8 14 2.5 10.5 14 8 9zM8 9l6-6.5",
  tag: "M2.2 2.2h5L14 9l-5 5-6.8-6.8zM5 5h.1",
  edit: "M3 13h10M4 10.5 10.8 3.7l1.6 1.6L5.6 12z",
};

export function Icon({ name, size = 16 }) {
  return html`<svg class="icon" viewBox="0 0 16 16" width=${size} height=${size} aria-hidden="true"><path d=${ICONS[name]} /></svg>`;
}

export const SEVERITIES = ["critical", "error", "warning", "info"];
export const STATUSES = ["triggered", "acknowledged", "snoozed", "suppressed", "resolved"];
const STATUS_ICONS = { triggered: "bolt", acknowledged: "eye", snoozed: "moon", suppressed: "bellOff", resolved: "check" };

export function Severity({ value }) {
  return html`<span class="severity" data-severity=${value}>${value}</span>`;
}

export function Status({ value }) {
  return html`<span class="status" data-status=${value}><${Icon} name=${STATUS_ICONS[value]} size="14" />${value}</span>`;
}

/** Renders again every `every` ms: one clock for the whole page. */
const clocks = new Map();
export function useNow(every = 1_000) {
  const [, again] = useReducer((count) => count + 1, 0);
  useEffect(() => {
    const clock = clocks.get(every) ?? { listeners: new Set() };
    clocks.set(every, clock);
    clock.listeners.add(again);
    clock.timer ??= setInterval(() => clock.listeners.forEach((listener) => listener()), every);
    return () => {
      clock.listeners.delete(again);
      if (clock.listeners.size > 0) return;
      clearInterval(clock.timer);
      clock.timer = undefined;
    };
  }, [every]);
  return Date.now();
}

/** How long ago something was; the exact time on demand. */
export function Age({ at, prefix = "", suffix = "" }) {
  const now = useNow(1_000);
  return html`<time datetime=${at} title=${fullTime(at)}>${prefix}${ago(at, now)}${suffix}</time>`;
}

export function Avatar({ name, small = false }) {
  return html`<span class=${small ? "avatar small" : "avatar"} data-hue=${hue(name)} data-initials=${initials(name)} aria-hidden="true"></span>`;
}

/** A button that opens a list of things to do. `items`: [{ label, hint, run }]. */
export function Menu({ label, icon, items, className = "", text, disabled = false }) {
  const [open, setOpen] = useState(false);
  const root = useRef();
  const button = useRef();
  const close = (focus) => {
    setOpen(false);
    if (focus) button.current?.focus();
  };
  useLayoutEffect(() => {
    if (!open) return undefined;
    root.current.querySelector("[role=menuitem]")?.focus();
    const outside = (event) => root.current?.contains(event.target) || close(false);
    addEventListener("pointerdown", outside);
    return () => removeEventListener("pointerdown", outside);
  }, [open]);
  const onKey = (event) => {
    if (!open) return;
    const entries = [...root.current.querySelectorAll("[role=menuitem]")];
    const at = entries.indexOf(document.activeElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: entries.length - 1 }[event.key];
    if (next !== undefined) entries.at(next % entries.length).focus();
    else if (event.key === "Escape") close(true);
    else if (event.key === "Tab") close(false);
    else return;
    event.stopPropagation();
    if (event.key !== "Tab") event.preventDefault();
  };
  return html`<span class=${`menu ${className}`} ref=${root} onKeyDown=${onKey}>
    <button type="button" class="button" ref=${button} disabled=${disabled} aria-haspopup="menu" aria-expanded=${open} aria-label=${label}
      title=${label} onClick=${() => setOpen(!open)}>
      ${icon && html`<${Icon} name=${icon} />`}${text && html`<span>${text}</span>`}<${Icon} name="down" size="12" />
    </button>
    ${open && html`<span class="menu-list" role="menu" aria-label=${label}>
      ${items.map(
        ({ label: entry, hint, run, chosen }) => html`<button type="button" role="menuitem" aria-current=${chosen ? "true" : undefined}
          onClick=${() => { close(true); run(); }}><span>${entry}</span>${hint && html`<small>${hint}</small>`}</button>`,
      )}
    </span>`}
  </span>`;
}

/** A button that is busy until what it does is done. `about` says of what, where several such buttons are in sight. */
export function Action({ icon, text, about, run, className = "" }) {
  const [busy, setBusy] = useState(false);
  const click = async () => {
    setBusy(true);
    await run();
    setBusy(false);
  };
  const name = about ? `${text} ${about}` : undefined;
  return html`<button type="button" class=${`button ${className}`} aria-label=${name} title=${name} aria-busy=${busy}
    aria-disabled=${busy} onClick=${() => busy || click()}>${icon && html`<${Icon} name=${icon} />`}<span>${text}</span></button>`;
}

/** A dialog that keeps the focus, and gives it back. */
export function Dialog({ title, onClose, children, className = "" }) {
  const dialog = useRef();
  useEffect(() => {
    dialog.current.showModal();
  }, []);
  return html`<dialog ref=${dialog} class=${className} aria-labelledby="dialog-title" onClose=${onClose}
    onClick=${(event) => event.target === dialog.current && dialog.current.close()}>
    <div class="dialog-body">
      <header><h2 id="dialog-title">${title}</h2>
        <button type="button" class="button quiet" aria-label="Close" onClick=${() => dialog.current.close()}><${Icon} name="x" /></button>
      </header>
      ${children}
    </div>
  </dialog>`;
}

export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>${children}</div>`;
}
