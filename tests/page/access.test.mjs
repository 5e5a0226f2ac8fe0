// Goal: the page works with a keyboard alone, for those who hear it, and on a phone. Method: keys only; axe on every view in both
// themes; the width of what is painted at 360 px.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, afterEach, before, test } from "node:test";
import { Person, launch, skip } from "./browser.mjs";
import { Scene } from "./scene.mjs";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

let browser;
let scene;
let incident;
const people = [];

before(async () => {
  if (skip) return;
  [browser, scene] = await Promise.all([launch(), Scene.start()]);
  await scene.service("checkout");
  incident = await scene.open("checkout", "error budget of the cart service burns too fast", "error", { assignee: "ada" });
  await scene.act(incident, "acknowledge", { by: "ada" });
  await scene.act(incident, "notes", { by: "ada", text: "Rolled the canary back." });
  await scene.event("a disk with quite a long name is full and nobody has looked at it so far", { details: { host: "db-1", device: "/dev/disk/by-id/".padEnd(90, "x") } });
  await scene.event("lag", { severity: "warning" });
  await scene.event("certificate expires", { severity: "info" });
}, { timeout: 60_000 });

afterEach(async () => {
  for (const person of people.splice(0)) await person.close();
});

after(async () => {
  await browser?.close();
  await scene?.end();
});

async function comes(name, options) {
  const person = await Person.open(browser, scene.url, name, options);
  people.push(person);
  return person.isLive();
}

const focused = (page) => page.evaluate(() => ({ text: document.activeElement.textContent, name: document.activeElement.getAttribute("aria-label") }));

/** Whether what has the focus, or the row around it, is outlined. */
const isOutlined = (page) =>
  page.evaluate(() => {
    const element = document.activeElement;
    return [element, element.closest(".row")].some((one) => one && getComputedStyle(one).outlineStyle === "solid" && parseFloat(getComputedStyle(one).outlineWidth) >= 2);
  });

test("an incident is found, acknowledged, opened, noted and resolved by keys alone", { skip, timeout: 60_000 }, async () => {
  await scene.event("keys only");
  const { page } = await comes("ada");
  await page.locator(".row", { hasText: "keys only" }).waitFor();
  await page.keyboard.press("Tab");
  assert.equal((await focused(page)).text, "To the content");
  await page.keyboard.press("/");
  await page.keyboard.type("keys");
  await page.locator(".row").nth(1).waitFor({ state: "detached" });
  await page.keyboard.press("Tab");
  assert.ok(await isOutlined(page), "the focus can be seen");
  await page.keyboard.press("j");
  assert.equal((await focused(page)).text, "keys only");
  assert.ok(await isOutlined(page), "the row with the focus can be seen");
  await page.keyboard.press("a");
  await page.locator('.row[data-status="acknowledged"]', { hasText: "keys only" }).waitFor();
  assert.equal((await focused(page)).text, "keys only", "the focus stays with the incident when it moves");
  await page.keyboard.press("Enter");
  await page.locator("h1", { hasText: "keys only" }).waitFor();
  await page.keyboard.press("n");
  await page.keyboard.type("noted by keys");
  await page.keyboard.press("Control+Enter");
  await page.locator(".note-text", { hasText: "noted by keys" }).waitFor();
  for (let tabs = 0; !(await focused(page)).name?.startsWith("Resolve") && tabs < 60; tabs += 1) await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  await page.locator('.incident[data-status="resolved"]').waitFor();
});

test("menus and dialogs are for keys too, and give the focus back", { skip, timeout: 60_000 }, async () => {
  const ada = await comes("ada");
  const { page } = ada;
  const theme = page.getByRole("button", { name: /^Theme/u });
  await theme.focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("html").getAttribute("data-theme"), "light");
  assert.match((await focused(page)).name, /^Theme: light/u);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
  assert.equal(await page.getByRole("menu").count(), 0);
  assert.match((await focused(page)).name, /^Theme/u);
  await page.reload();
  assert.equal(await page.locator("html").getAttribute("data-theme"), "light", "it is remembered");
  await ada.isLive();
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.evaluate(() => localStorage.clear());
});

test("a person opens an incident", { skip, timeout: 60_000 }, async () => {
  const { page } = await comes("ada");
  await page.getByRole("button", { name: "New" }).click();
  await page.getByLabel("What is wrong?").fill("opened by hand");
  await page.getByLabel("Severity").last().selectOption("warning");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Open it" }).click({ timeout: 1_000 }).catch(() => {}); // Enter may have done it
  await page.locator("h1", { hasText: "opened by hand" }).waitFor();
  const there = await scene.find("opened by hand");
  assert.equal(there.severity, "warning");
  await scene.act(there, "resolve");
});

for (const colorScheme of ["light", "dark"]) {
  test(`nothing stands in the way of those who hear the page or see it badly (${colorScheme})`, { skip, timeout: 120_000 }, async () => {
    const { page } = await comes("ada", { colorScheme, reducedMotion: "reduce" });
    const axe = await readFile(AXE, "utf8");
    for (const [view, there] of [
      ["", ".row"],
      [`incidents/${incident.id}`, ".timeline li"],
      ["dashboard", ".dashboard"],
      ["rooms", ".table tbody tr"],
    ]) {
      await page.evaluate((hash) => (location.hash = `#/${hash}`), view);
      await page.locator(there).first().waitFor();
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
      const said = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`);
      assert.deepEqual(said, [], view);
    }
  });
}

test("on a phone nothing is wider than the screen", { skip, timeout: 60_000 }, async () => {
  const { page } = await comes("ada", { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  const { id } = await scene.find("a disk with quite a long name is full and nobody has looked at it so far");
  for (const [view, there] of [["", ".row"], [`incidents/${id}`, ".json"], ["dashboard", ".dashboard"], ["rooms", ".table tbody tr"]]) {
    await page.evaluate((hash) => (location.hash = `#/${hash}`), view);
    await page.locator(there).first().waitFor();
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 360, `${view} is too wide`);
  }
});
