// Goal: pictures of the page, in both themes and on a phone, to look at; PICTURES names the folder that they go to. The README's is
// among them. Method: incidents as a team has them.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Person, launch, skip } from "./browser.mjs";
import { Scene } from "./scene.mjs";

/** README_PICTURE names the file of the README's picture, which is not made anew each time. */
const { PICTURES, README_PICTURE } = process.env;
const LOOKS = [
  ["dark", { colorScheme: "dark" }],
  ["light", { colorScheme: "light" }],
  ["phone-dark", { colorScheme: "dark", viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 }],
  ["phone-light", { colorScheme: "light", viewport: { width: 360, height: 740 }, deviceScaleFactor: 2 }],
];

let browser;
let scene;
let talkedAbout;

before(async () => {
  if (skip || !PICTURES) return;
  [browser, scene] = await Promise.all([launch(), Scene.start(), mkdir(PICTURES, { recursive: true })]);
  for (const service of ["checkout", "payments", "search"]) await scene.service(service);
  const later = new Date(Date.now() + 3_600_000).toISOString();
  const details = { host: "db-1.fra", mount: "/var/lib/postgresql", used_percent: 97.4 };
  const lag = await scene.open("search", "index replica 3 lags 40 s behind the primary", "warning");
  await scene.act(lag, "snooze", { until: later, by: "grace" });
  await scene.open("payments", "certificate of api.payments.example expires in 6 days", "info");
  const slow = await scene.open("checkout", "p99 of POST /orders above 2 s for 5 minutes", "error", { assignee: "ada" });
  await scene.act(slow, "acknowledge", { by: "ada" });
  talkedAbout = await scene.open("checkout", "error budget of the cart service burns 14 times too fast", "error", { assignee: "linus", details });
  await scene.act(talkedAbout, "acknowledge", { by: "linus" });
  await scene.act(talkedAbout, "notes", { by: "linus", text: "Rolled the canary back to 4.18. Watching the error rate for ten minutes." });
  await scene.open("search", "queue of the crawler above 100,000", "warning");
  for (let n = 0; n < 3; n += 1) await scene.event("disk full on db-1", { details });
  await scene.open("payments", "Stripe webhooks fail with 502", "critical");
  const over = await scene.open("search", "node eu-7 is not ready", "error");
  await scene.act(over, "resolve", { by: "grace" });
}, { timeout: 60_000 });

after(async () => {
  await browser?.close();
  await scene?.end();
});

for (const [look, options] of LOOKS) {
  test(`pictures, ${look}`, { skip: skip || (!PICTURES && "PICTURES names no folder"), timeout: 60_000 }, async () => {
    const linus = await Person.open(browser, scene.url, "linus", { view: `#/incidents/${talkedAbout.id}` });
    const ada = await Person.open(browser, scene.url, "ada", { reducedMotion: "reduce", ...options });
    await ada.isLive();
    const shoot = (name) => ada.page.screenshot({ path: join(PICTURES, `${name}-${look}.png`) });
    await ada.row("disk full on db-1").waitFor();
    await shoot("board");
    if (look === "dark" && README_PICTURE) await ada.page.screenshot({ path: README_PICTURE });
    await ada.go(`#/incidents/${talkedAbout.id}`);
    await linus.isLive();
    await ada.page.getByRole("group", { name: /Here now: ada, linus/u }).waitFor();
    for (const [person, text] of [[linus, "canary is back on 4.18"], [ada, "errors fall, p99 too"], [linus, "ten more minutes, then I resolve it"]]) {
      await person.page.getByLabel("Say something").fill(text);
      await person.page.keyboard.press("Enter");
      await ada.page.locator(".line", { hasText: text }).waitFor();
    }
    await ada.page.evaluate(() => scrollTo(0, 0));
    await shoot("incident");
    await ada.go("#/dashboard");
    await ada.page.locator(".dashboard").waitFor();
    await ada.page.waitForTimeout(2_500);
    await shoot("dashboard");
    await ada.go("#/rooms");
    await ada.page.locator(".table tbody tr").first().waitFor();
    await shoot("rooms");
    await linus.close();
    await ada.close();
  });
}
