// Goal: a server that asks for tokens lets nobody see anything without one, and the page keeps what it was given in its tab alone.
// Method: `serve` with the page, a token and a key; a second tab; a reload.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Server } from "../clients/server.mjs";
import { Person, launch, skip } from "./browser.mjs";

const KEY = "a-key-of-a-test-with-more-than-16-characters";
const SECRET = "0123456789abcdef0123456789abcdef";

let browser;
let server;
let folder;

before(async () => {
  if (skip) return;
  folder = await mkdtemp(join(tmpdir(), "roomcast-page-"));
  const database = ["--database-url", `sqlite:${join(folder, "roomcast.sqlite")}`];
  [browser, server] = await Promise.all([launch(), Server.serve("--page", "true", "--api-key", `page=${KEY}`, ...database)]);
}, { timeout: 60_000 });

after(async () => {
  await browser?.close();
  await server?.kill();
  if (folder) await rm(folder, { recursive: true, force: true });
});

function token(...rooms) {
  const grants = rooms.flatMap((room) => ["--room", room]);
  return execFileSync(process.env.ROOMCAST_BIN, ["token", "--sub", "ada", "--auth-secret", SECRET, ...grants], { encoding: "utf8" }).trim();
}

async function signIn(page, given, key = KEY) {
  await page.getByLabel("Token").fill(given);
  await page.getByLabel("API key").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
}

test("a token and a key let one in, for this tab and no longer", { skip, timeout: 60_000 }, async () => {
  const ada = await Person.open(browser, server.url, "somebody");
  const { page } = ada;
  await page.getByRole("heading", { name: "Sign in to roomcast" }).waitFor();
  await signIn(page, "nonsense");
  await page.getByRole("alert").filter({ hasText: "This is no token" }).waitFor();
  await signIn(page, token("*=join+publish+presence"));
  await ada.isLive();
  await page.locator(".empty-title", { hasText: "All quiet" }).waitFor();
  await page.getByRole("button", { name: "You are ada" }).waitFor();
  await page.reload();
  await ada.isLive();
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, document.cookie]));
  assert.ok(!kept.includes(KEY) && !kept.includes("eyJ"), kept);
  const other = await ada.context.newPage();
  await other.goto(server.url);
  await other.getByRole("heading", { name: "Sign in to roomcast" }).waitFor();
  await page.getByRole("button", { name: "You are ada" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in to roomcast" }).waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.getItem("roomcast.token")), null);
  await ada.close();
});

test("a token of another server, or a key of nobody, is said so", { skip, timeout: 60_000 }, async () => {
  const ada = await Person.open(browser, server.url, "somebody");
  const { page } = ada;
  const forged = token("*=join").replace(/\.[^.]*$/u, `.${"A".repeat(43)}`);
  await signIn(page, forged);
  await page.getByRole("alert").filter({ hasText: "The token is not valid" }).waitFor();
  await signIn(page, token("*=join+publish+presence"), "some-other-key-of-no-server");
  await page.getByRole("alert").filter({ hasText: "The API does not take the key" }).waitFor();
  // What a browser says of answers that are refusals.
  ada.complaints = ada.complaints.filter((text) => !text.includes("401"));
  await ada.close();
});
