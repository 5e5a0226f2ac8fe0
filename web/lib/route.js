// Where in the page one is: the part of the address behind `#`.

import { useEffect, useState } from "../vendor/preact-htm.js";

/** The parts of `#/a/b`. */
export function here() {
  return location.hash.replace(/^#\/?/u, "").split("/").filter(Boolean).map(decode);
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function to(...parts) {
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}

export function go(...parts) {
  location.hash = to(...parts);
}

export function useRoute() {
  const [route, set] = useState(here);
  useEffect(() => {
    const moved = () => set(here());
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return route;
}

/** The title of the view, in the window and for who looks at what is focused. */
export function useTitle(title) {
  useEffect(() => {
    document.title = `${title} · roomcast`;
  }, [title]);
}
