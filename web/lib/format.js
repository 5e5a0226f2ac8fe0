// How times, counts and people are written.

const DAY = 86_400;

/** A span of seconds in at most two units: `42 s`, `3 min`, `2 h 05`, `4 d`. */
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3_600) return `${Math.floor(s / 60)} min`;
  if (s < DAY) return `${Math.floor(s / 3_600)} h ${String(Math.floor((s % 3_600) / 60)).padStart(2, "0")}`;
  return `${Math.floor(s / DAY)} d ${Math.floor((s % DAY) / 3_600)} h`;
}

/** How long ago, or how far away, a time is. */
export function ago(at, now) {
  return span(Math.abs(now - Date.parse(at)) / 1_000);
}

const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const shortClock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayAndClock = new Intl.DateTimeFormat([], {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});
const everything = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "long" });

const isToday = (date) => date.toDateString() === new Date().toDateString();

/** The time of day, with the day unless it is today. */
export function time(at) {
  const date = new Date(at);
  return isToday(date) ? clock.format(date) : dayAndClock.format(date);
}

export function shortTime(at) {
  const date = new Date(at);
  return isToday(date) ? shortClock.format(date) : dayAndClock.format(date);
}

export function fullTime(at) {
  return everything.format(new Date(at));
}

export const count = new Intl.NumberFormat("en");

/** The first letters of a name. */
export function initials(name) {
  const words = name.split(/[\s._@-]+/u).filter(Boolean);
  const letters = words.length > 1 ? words[0][0] + words[1][0] : name.slice(0, 2);
  return letters.toUpperCase();
}

/** One of eight hues for a name, always the same. */
export function hue(name) {
  let sum = 2_166_136_261;
  for (const letter of name) sum = Math.imul(sum ^ letter.codePointAt(0), 16_777_619);
  return (sum >>> 13) % 8;
}
