// Who uses this page, and what lets them in.
//
// `dev` gives a token for whatever name one takes. `serve` gives nothing: a token opens the rooms and a key the API; both
// are pasted once and kept by this tab alone (sessionStorage), so they are gone with it.

import { Store } from "./store.js";

const NAME = "roomcast.name";
const TOKEN = "roomcast.token";
const KEY = "roomcast.key";
const NAME_CHARS_MAX = 64;

/** What a token says about itself; it is the server that believes it or not. */
export function claimsOf(token) {
  try {
    const [, payload] = token.split(".");
    const bytes = Uint8Array.from(atob(payload.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.codePointAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return {};
  }
}

export class Session extends Store {
  constructor() {
    super();
    this.config = { open: false, version: "", build: "" };
    this.asked = sessionStorage.getItem(NAME) ?? localStorage.getItem(NAME) ?? "dev";
    this.problem = undefined;
  }

  /** Asks the server what it is, and for a token if it gives any. */
  async load() {
    const query = new URLSearchParams({ user: this.asked });
    const answer = await fetch(`/page.json?${query}`, { cache: "no-store", signal: AbortSignal.timeout(8_000) });
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    this.config = await answer.json();
    this.changed();
    return this.config;
  }

  get isOpen() {
    return this.config.open;
  }

  get isSignedIn() {
    return this.isOpen || sessionStorage.getItem(TOKEN) !== null;
  }

  get token() {
    return this.isOpen ? this.config.token : (sessionStorage.getItem(TOKEN) ?? undefined);
  }

  get key() {
    return this.isOpen ? undefined : (sessionStorage.getItem(KEY) ?? undefined);
  }

  /** The name that others see. */
  get name() {
    return this.isOpen ? this.asked : (claimsOf(this.token ?? "").sub ?? "somebody");
  }

  /** Takes another name; `dev` gives a token for it. */
  rename(name) {
    this.asked = name.trim().slice(0, NAME_CHARS_MAX) || "dev";
    sessionStorage.setItem(NAME, this.asked);
    localStorage.setItem(NAME, this.asked);
    this.changed();
  }

  signIn(token, key) {
    sessionStorage.setItem(TOKEN, token);
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
    this.problem = undefined;
    this.changed();
  }

  signOut(problem) {
    sessionStorage.removeItem(TOKEN);
    sessionStorage.removeItem(KEY);
    this.problem = problem;
    this.changed();
  }
}
