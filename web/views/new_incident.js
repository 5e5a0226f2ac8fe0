// An incident that a person opens.

import { api, incidents, session } from "../lib/live.js";
import { go } from "../lib/route.js";
import { html, useEffect, useRef, useState } from "../vendor/preact-htm.js";
import { Dialog, SEVERITIES } from "./parts.js";

export function NewIncident({ services, onClose }) {
  const [known, setKnown] = useState(services);
  const [problem, setProblem] = useState();
  const [busy, setBusy] = useState(false);
  // The same request, sent again after an answer was lost, opens it once.
  const key = useRef(crypto.randomUUID?.() ?? String(Math.random()));
  useEffect(() => {
    api.get("/api/v1/services", { limit: 200 }).then(({ data }) => setKnown(data.map(({ slug }) => slug)), () => {});
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.target);
    setBusy(true);
    try {
      const body = { ...Object.fromEntries(form), by: session.name };
      const incident = incidents.put(await api.post("/api/v1/incidents", body, { "idempotency-key": key.current }));
      onClose();
      go("incidents", incident.id);
    } catch (error) {
      setProblem(error.message);
      setBusy(false);
    }
  };
  return html`<${Dialog} title="New incident" onClose=${onClose}>
    <form onSubmit=${submit}>
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      <label>What is wrong?<input name="title" maxlength="1024" required autofocus autocomplete="off" /></label>
      <div class="pair">
        <label>Service<select name="service" required>${known.map((slug) => html`<option value=${slug}>${slug}</option>`)}</select></label>
        <label>Severity<select name="severity">${SEVERITIES.map((severity) => html`<option value=${severity} selected=${severity === "error"}>${severity}</option>`)}</select></label>
      </div>
      <footer><button class="button primary" disabled=${busy}>Open it</button></footer>
    </form>
  <//>`;
}
