// People with browsers: each has a context of its own, and everything is noted that a browser complains of.

import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

/** FROM_DISK=1: the files of the page as they are now, and not those in the binary. */
const { CHROMIUM, FROM_DISK } = process.env;
const WEB = fileURLToPath(new URL("../../web", import.meta.url));
export const skip = !CHROMIUM && "set CHROMIUM to a Chromium's program";

/** What a browser says of a network that is cut on purpose. */
const EXPECTED_WHEN_CUT = /net::ERR_|WebSocket connection to/u;

export async function launch() {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  return browser;
}

/** Somebody who looks at the page of the server at `url`. */
export class Person {
  static async open(browser, url, name, { view = "", cut = false, ...options } = {}) {
    const person = new Person();
    person.context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "dark", ...options });
    person.page = await person.context.newPage();
    person.complaints = [];
    person.mayBeCut = cut;
    person.#listen();
    await person.context.addInitScript((user) => {
      sessionStorage.setItem("roomcast.name", user);
      globalThis.addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) => console.error(`CSP: ${violatedDirective} ${blockedURI}`));
    }, name);
    if (FROM_DISK) {
      const path = (route) => join(WEB, new URL(route.request().url()).pathname.split("/").slice(3).join("/"));
      await person.context.route("**/ui/**", (route) => route.fulfill({ path: path(route) }));
    }
    await person.page.goto(`${url}/${view}`);
    return person;
  }

  #listen() {
    this.page.on("console", (line) => {
      const text = line.text();
      if (!["error", "warning"].includes(line.type()) || (this.mayBeCut && EXPECTED_WHEN_CUT.test(text))) return;
      this.complaints.push(text);
    });
    this.page.on("pageerror", (error) => this.complaints.push(error.stack));
  }

  /** Waits until the page is connected. */
  async isLive() {
    await this.page.locator('.live[data-state="live"]').waitFor();
    return this;
  }

  row(title) {
    return this.page.locator(".row", { hasText: title });
  }

  async go(hash) {
    await this.page.evaluate((to) => (location.hash = to), hash);
  }

  /** The numbers of the events in the timeline, folded ones too, in order. */
  async seqs() {
    const shown = await this.page.locator(".timeline .seq").allTextContents();
    const ranges = shown.map((text) => text.slice(1).split("–").map(Number));
    return ranges.flatMap(([from, to = from]) => Array.from({ length: to - from + 1 }, (_, i) => from + i)).sort((a, b) => a - b);
  }

  /** Goes away; nothing may have gone wrong. */
  async close() {
    await this.context.close();
    assert.deepEqual(this.complaints, []);
  }
}

/** From when on something is waited for, in milliseconds. */
export async function took(work) {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
