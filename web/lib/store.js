// Something that changes, and who wants to know.

import { useEffect, useReducer } from "../vendor/preact-htm.js";

/** Changes that come in a burst are told once in this time. */
const TELL_MS = 40;

export class Store {
  #listeners = new Set();
  #timer;
  #toldAt = 0;

  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  changed() {
    if (this.#timer) return;
    const wait = Math.max(0, this.#toldAt + TELL_MS - Date.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#toldAt = Date.now();
      for (const listener of this.#listeners) listener();
    }, wait);
  }
}

/** Renders the component again when the store has changed. */
export function useStore(store) {
  const [, again] = useReducer((count) => count + 1, 0);
  useEffect(() => store.subscribe(again), [store]);
  return store;
}
