// What the page is made of: one connection, one API, the incidents, and what is said to the user.

import { Api } from "./api.js";
import { Incidents } from "./incidents.js";
import { Roomcast } from "./roomcast.js";
import { Session } from "./session.js";
import { Store } from "./store.js";

const TOAST_MS = 6_000;
const TOASTS_MAX = 4;

export const session = new Session();

/** What is said in passing: shown for a moment, and read aloud. */
class Notices extends Store {
  toasts = [];
  spoken = "";
  #last = 0;

  toast(text, kind = "info") {
    const toast = { id: ++this.#last, text, kind };
    this.toasts = [...this.toasts, toast].slice(-TOASTS_MAX);
    setTimeout(() => this.dismiss(toast.id), TOAST_MS);
    this.changed();
  }

  dismiss(id) {
    this.toasts = this.toasts.filter((toast) => toast.id !== id);
    this.changed();
  }

  /** For screen readers alone. */
  say(text) {
    this.spoken = text;
    this.changed();
  }
}

export const notices = new Notices();

/** The state of the connection, for whoever shows it. */
class Connection extends Store {
  state = { name: "idle", at: Date.now() };
  /** Until when everything was live, while it is not. */
  lostAt = undefined;
  stale = false;

  become(state) {
    if (this.state.name === "live" && state.name !== "live") this.lostAt = Date.now();
    if (state.name === "live") this.lostAt = undefined;
    this.state = state;
    this.changed();
  }
}

export const connection = new Connection();

export const api = new Api({
  key: () => session.key,
  refused: (problem) => session.isOpen || signOut(`The API does not take the key: ${problem.message}`),
});

export const client = new Roomcast({
  address: () => Object.assign(new URL("/ws", location.href), { protocol: location.protocol.replace("http", "ws") }),
  token: freshToken,
});

const WORDS = {
  "incident.triggered": "triggered",
  "incident.acknowledged": "acknowledged",
  "incident.unacknowledged": "not acknowledged any more",
  "incident.snoozed": "snoozed",
  "incident.unsnoozed": "back from its snooze",
  "incident.resolved": "resolved",
  "incident.suppressed": "suppressed",
};

export const incidents = new Incidents(api, (event, after) => {
  const word = WORDS[event.type];
  if (word) notices.say(`${after.severity} incident ${after.number}, ${after.title}, is ${word}`);
});

client.onstate = (state) => {
  connection.become(state);
  if (state.name === "ended" && state.code === 4401) signOut("The token is not valid, or not any more.");
};

client.onevent = (event) => {
  if (event !== "token.expiring") return;
  if (session.isOpen) session.load().then(({ token }) => client.refresh(token)).catch(() => {});
  else notices.toast("Your token is about to expire: sign in again with a fresh one.", "warning");
};

/** Asked before each attempt to connect: it also finds out whether another release is served now. */
async function freshToken() {
  const { build } = session.config;
  await session.load();
  connection.stale ||= build !== "" && build !== session.config.build;
  client.tokenInAddress = session.isOpen;
  if (!session.isSignedIn) throw Object.assign(new Error("sign in first"), { final: true });
  return session.token;
}

let unfollow = () => {};

/** Connects, and follows all incidents. */
export function begin() {
  unfollow();
  client.start();
  if (!session.config.incidents) return;
  unfollow = client.join("incidents", {
    joined: () => incidents.paint(),
    event: (_, event) => event?.incident && incidents.take(event).catch(() => {}),
    refused: (error) => notices.toast(`No live incidents: ${error.message}`, "error"),
  });
}

export function signOut(problem) {
  client.stop();
  incidents.clear();
  session.signOut(problem);
}

/** Does something to an incident; says so when it cannot be done. True: it was done. */
export async function act(incident, verb, body = {}) {
  try {
    incidents.put(await api.post(`/api/v1/incidents/${incident.id}/${verb}`, { ...body, by: session.name }));
    return true;
  } catch (error) {
    notices.toast(`#${incident.number}: ${error.message}`, "error");
    if (error.status === 409) incidents.repair(incident.id).catch(() => {});
    return false;
  }
}

/** Puts something about an incident right. */
export async function edit(incident, change) {
  try {
    incidents.put(await api.patch(`/api/v1/incidents/${incident.id}`, { ...change, by: session.name }));
    return true;
  } catch (error) {
    notices.toast(`#${incident.number}: ${error.message}`, "error");
    return false;
  }
}
