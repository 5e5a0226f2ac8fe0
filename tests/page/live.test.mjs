// Goal: whoever has the page open sees what happens, at once and without a gap, whatever the network does. Method: a server, two people
// with browsers, events by HTTP as monitoring sends them; a network between them that is cut, a server that is killed.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Person, launch, skip, took } from "./browser.mjs";
import { Network } from "./network.mjs";
import { Scene } from "./scene.mjs";

/** How soon what happens has to be seen. */
const AT_ONCE_MS = 1_000;

let browser;
let scene;
const people = [];

before(async () => {
  if (skip) return;
  [browser, scene] = await Promise.all([launch(), Scene.start()]);
}, { timeout: 60_000 });

afterEach(async () => {
  for (const person of people.splice(0)) await person.close();
});

after(async () => {
  await browser?.close();
  await scene?.end();
});

async function comes(name, options = {}) {
  const person = await Person.open(browser, options.url ?? scene.url, name, options);
  people.push(person);
  return person.isLive();
}

test("what monitoring posts is on both pages at once, and what one does the other sees", { skip, timeout: 60_000 }, async () => {
  const [ada, grace] = await Promise.all([comes("ada"), comes("grace")]);
  for (const { page } of [ada, grace]) {
    await page.locator(".empty-title", { hasText: "All quiet" }).waitFor();
    await page.evaluate(() => (globalThis.isTheSamePage = true));
  }
  const appears = await took(async () => {
    await scene.event("disk full on db-1");
    await Promise.all([ada, grace].map((person) => person.row("disk full on db-1").waitFor()));
  });
  assert.ok(appears < AT_ONCE_MS, `it took ${appears} ms to appear`);

  const seen = grace.page.locator('.row[data-status="acknowledged"]', { hasText: "disk full on db-1" });
  const acknowledged = await took(async () => {
    await ada.row("disk full on db-1").getByRole("button", { name: /^Ack/u }).click();
    await seen.waitFor();
  });
  assert.ok(acknowledged < AT_ONCE_MS, `it took ${acknowledged} ms to be seen`);
  await grace.page.locator("[aria-live]", { hasText: "disk full on db-1, is acknowledged" }).waitFor({ state: "attached" });

  await grace.row("disk full on db-1").getByRole("button", { name: "Snooze" }).click();
  await grace.page.getByRole("menuitem", { name: "1 hour" }).click();
  await ada.page.locator('.row[data-status="snoozed"]', { hasText: "disk full on db-1" }).waitFor();
  await ada.row("disk full on db-1").getByRole("button", { name: "Resolve" }).click();
  await grace.row("disk full on db-1").waitFor({ state: "detached" });
  for (const { page } of [ada, grace]) assert.equal(await page.evaluate(() => globalThis.isTheSamePage), true);
});

test("those who look at an incident see each other, talk, and write notes that stay", { skip, timeout: 60_000 }, async () => {
  await scene.event("queue is full");
  const { id } = await scene.find("queue is full");
  const view = `#/incidents/${id}`;
  const ada = await comes("ada", { view });
  const grace = await comes("grace", { view });
  for (const { page } of [ada, grace]) await page.getByRole("group", { name: "Here now: ada, grace" }).waitFor();

  await grace.page.getByLabel("Say something").fill("I look at the consumers");
  await grace.page.keyboard.press("Enter");
  await ada.page.locator(".lines", { hasText: "grace" }).filter({ hasText: "I look at the consumers" }).waitFor();
  await ada.page.getByLabel("Note", { exact: true }).fill("Consumer 3 hung, restarted.");
  await ada.page.getByRole("button", { name: "Add note" }).click();
  await grace.page.locator(".note-text", { hasText: "Consumer 3 hung, restarted." }).waitFor();

  await ada.page.getByRole("button", { name: "Change the severity" }).click();
  await ada.page.getByRole("menuitem", { name: "warning" }).click();
  await grace.page.locator('.incident[data-severity="warning"]').waitFor();
  await grace.page.getByRole("button", { name: "Assign" }).click();
  await grace.page.getByRole("menuitem", { name: "Assign to me" }).click();
  await ada.page.locator(".assign", { hasText: "grace" }).waitFor();
  assert.deepEqual(await ada.seqs(), [1, 2, 3, 4]);

  people.splice(people.indexOf(grace), 1);
  await grace.close();
  await ada.page.getByRole("group", { name: "Here now: ada", exact: true }).waitFor();
});

test("a dashboard follows what happens, and its charts are drawn", { skip, timeout: 60_000 }, async () => {
  const ada = await comes("ada", { view: "#/dashboard", reducedMotion: "reduce" });
  const { page } = ada;
  const tile = (name) => page.locator(".tile", { hasText: name }).locator("b");
  await tile("Open sockets").waitFor();
  const [open, triggered] = await Promise.all(["Open", "Triggered"].map(async (name) => Number(await tile(name).first().textContent())));
  await Promise.all([1, 2, 3].map((n) => scene.event(`counted ${n}`, { severity: "warning" })));
  await page.waitForFunction(
    ([before, of]) => [...document.querySelectorAll(".tile")].some((tile) => tile.textContent.startsWith(of) && tile.querySelector("b").textContent === String(before + 3)),
    [triggered, "Triggered"],
  );
  assert.equal(Number(await tile("Open").first().textContent()), open + 3);
  await page.locator(".matrix").waitFor();
  // What is painted, and not only a canvas: pixels of each have the colour of their legend.
  const painted = () => [...document.querySelectorAll(".chart")].every((chart) => {
    const [red, green, blue] = getComputedStyle(chart.querySelector(".legend i")).backgroundColor.match(/\d+/gu).map(Number);
    const canvas = chart.querySelector("canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < data.length; at += 4) if (data[at] === red && data[at + 1] === green && data[at + 2] === blue && data[at + 3] === 255) return true;
    return false;
  });
  assert.equal(await page.locator(".chart canvas").count(), 2);
  await page.waitForFunction(painted);
  await ada.go("#/dashboard/service/demo");
  await page.waitForFunction(() => document.querySelector(".choice select")?.value === "service:demo");
  await tile("Open sockets").waitFor();
  for (const n of [1, 2, 3]) await scene.event(`counted ${n}`, { action: "resolve" });
});

test("who was cut off is back by itself and has not missed anything", { skip, timeout: 60_000 }, async () => {
  await scene.event("api is slow", { severity: "error" });
  const incident = await scene.find("api is slow");
  const network = await Network.to(scene.server);
  const [ada, grace] = [
    await comes("ada", { url: network.url, view: `#/incidents/${incident.id}`, cut: true }),
    await comes("grace", { url: network.url, cut: true }),
  ];
  await ada.page.locator(".timeline li").first().waitFor();
  await grace.row("api is slow").waitFor();

  await ada.context.setOffline(true);
  network.cut();
  await ada.page.locator('.live[data-state="offline"]').waitFor();
  await grace.page.locator(".banner", { hasText: "Connection lost" }).waitFor();
  for (let n = 0; n < 20; n += 1) await scene.event("api is slow", { severity: "error" });
  await scene.act(incident, "notes", { text: "said while nobody heard it", by: "linus" });
  await scene.act(incident, "acknowledge", { by: "linus" });
  await scene.event("opened meanwhile");
  await scene.event("gone meanwhile");
  await scene.event("gone meanwhile", { action: "resolve" });
  await scene.event("also here", { severity: "info" });

  network.mend();
  await ada.context.setOffline(false);
  await Promise.all([ada.isLive(), grace.isLive()]);
  await ada.page.locator('.timeline[data-last="23"]').waitFor();
  assert.deepEqual(await ada.seqs(), Array.from({ length: 23 }, (_, n) => n + 1));
  await ada.page.locator('.incident[data-status="acknowledged"]').waitFor();
  await grace.page.locator('.row[data-status="acknowledged"]', { hasText: "api is slow" }).waitFor();
  await grace.row("opened meanwhile").waitFor();
  await grace.row("also here").waitFor();
  assert.equal(await grace.row("gone meanwhile").count(), 0);

  await scene.event("api is slow", { action: "resolve" });
  await ada.page.locator('.timeline[data-last="24"]').waitFor();
  network.stop();
});

test("a page outlives its server", { skip, timeout: 60_000 }, async () => {
  const network = await Network.to(scene.server);
  const ada = await comes("ada", { url: network.url, cut: true });
  await scene.server.kill();
  await ada.page.locator('.live[data-state="waiting"], .live[data-state="connecting"]').waitFor();
  await scene.run();
  network.server = scene.server;
  await ada.isLive();
  await scene.event("after the restart");
  await ada.row("after the restart").waitFor();
  network.stop();
});

test("a burst is shown whole", { skip, timeout: 60_000 }, async () => {
  const ada = await comes("ada");
  await ada.page.locator(".row, .empty-title").first().waitFor();
  const before = await ada.page.locator(".row").count();
  await Promise.all(Array.from({ length: 60 }, (_, n) => scene.event(`burst ${n}`, { severity: "warning" })));
  await ada.page.waitForFunction((count) => document.querySelectorAll(".row").length === count, before + 60);
  await Promise.all(Array.from({ length: 60 }, (_, n) => scene.event(`burst ${n}`, { action: "resolve" })));
  await ada.page.waitForFunction((count) => document.querySelectorAll(".row").length === count, before);
});
