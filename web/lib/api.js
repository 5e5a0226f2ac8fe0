// The HTTP API, as this page uses it.

const PATIENCE_MS = 10_000;

/** An answer that is a problem (RFC 9457), or no answer at all (status 0). */
export class Problem extends Error {
  constructor(status, problem, retryAfter) {
    super(problem.detail ?? problem.title ?? `the server answered ${status}`);
    this.status = status;
    this.code = (problem.type ?? "").replace("urn:roomcast:problem:", "");
    this.retryAfterMs = problem.retry_after_ms ?? (retryAfter ? Number(retryAfter) * 1_000 : undefined);
  }

  /** Whether the same request may succeed later. */
  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export class Api {
  /** `key` returns the key of the API, if one is needed; `refused` hears when it is not taken. */
  constructor({ key, refused }) {
    Object.assign(this, { key, refused });
  }

  get(path, query = {}) {
    const words = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
    const search = new URLSearchParams(words).toString();
    return this.#send("GET", search ? `${path}?${search}` : path);
  }

  post(path, body = {}, headers = {}) {
    return this.#send("POST", path, body, headers);
  }

  patch(path, body) {
    return this.#send("PATCH", path, body);
  }

  delete(path) {
    return this.#send("DELETE", path);
  }

  /** Every page of a listing, up to `most` entries. */
  async all(path, query, most) {
    const found = [];
    let cursor;
    do {
      const page = await this.get(path, { ...query, cursor });
      found.push(...page.data);
      cursor = page.next_cursor;
    } while (cursor && found.length < most);
    return found;
  }

  async #send(method, path, body, more = {}) {
    const headers = { ...more };
    const key = this.key();
    if (key) headers.authorization = `Bearer ${key}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    const signal = AbortSignal.timeout(PATIENCE_MS);
    let answer;
    try {
      answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal, cache: "no-store" });
    } catch {
      throw new Problem(0, { detail: "the server does not answer" });
    }
    const text = await answer.text();
    if (answer.ok) return text ? JSON.parse(text) : undefined;
    const problem = new Problem(answer.status, readProblem(text), answer.headers.get("retry-after"));
    if (answer.status === 401) this.refused(problem);
    throw problem;
  }
}

function readProblem(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
