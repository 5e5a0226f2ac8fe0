// What lets one in, pasted once.

import { claimsOf } from "../lib/session.js";
import { session } from "../lib/live.js";
import { useTitle } from "../lib/route.js";
import { html, useState } from "../vendor/preact-htm.js";

export function SignIn({ onDone }) {
  useTitle("Sign in");
  const [token, setToken] = useState("");
  const [key, setKey] = useState("");
  const [problem, setProblem] = useState(session.problem);
  const submit = (event) => {
    event.preventDefault();
    const { sub, exp } = claimsOf(token.trim());
    if (!sub) setProblem("This is no token: it has three parts with dots between them, and names a user.");
    else if (exp && exp * 1_000 < Date.now()) setProblem("This token has expired.");
    else {
      session.signIn(token.trim(), key.trim());
      onDone();
    }
  };
  return html`<main class="signin"><form onSubmit=${submit}>
    <h1>Sign in to roomcast</h1>
    ${problem && html`<p class="problem" role="alert">${problem}</p>`}
    <label>Token <small>lets you into the rooms</small>
      <textarea rows="4" spellcheck="false" autocomplete="off" required value=${token} onInput=${(event) => setToken(event.target.value)}></textarea></label>
    <label>API key <small>lets you see and change incidents</small>
      <input type="password" autocomplete="off" required value=${key} onInput=${(event) => setKey(event.target.value)} /></label>
    <p class="quiet-text">Both are kept in this tab alone and are gone when it is closed. A token that fits comes from<br />
      <code>roomcast token --sub you --ttl 12h --room '*=join+publish+presence'</code></p>
    <button class="button primary">Sign in</button>
  </form></main>`;
}
