// The catalog goes away and comes back: the figures stay, are called stale, and are fresh again by themselves. Where it cannot
// even be read, a question that nobody asked before has no answer, which is said too.

import assert from "node:assert/strict";

import { eventually } from "./reader.mjs";

export default async function ({ open, stage }, canBeRead = false) {
  const reader = await open();
  const page = await reader.go("/");
  await reader.awaitState("ready");
  const ids = await reader.rowIds();
  assert.ok(ids.length > 0);
  const ready = await page.locator("#state").textContent();

  reader.isOutage = true;
  await stage.catalog(true);
  const begun = Date.now();
  await reader.awaitState("stale", 60_000);
  console.log(`stale after ${((Date.now() - begun) / 1000).toFixed(1)} s`);
  assert.ok((await reader.rowIds()).length > 0, "the last figures stay");
  const told = await page.locator("#state").textContent();
  assert.ok(told !== ready && told.trim().length > 20, `the stale state is explained: ${told}`);
  await eventually("the banner says that something is degraded", () => page.locator("#banner").isVisible(), 30_000);
  await reader.assertAccessible("stale");
  await reader.photograph("opportunities, catalog away, desktop, light");

  const friend = canBeRead ? null : await open();
  if (friend) {
    friend.isOutage = true;
    await friend.page.goto(`${friend.base}/?min_margin=17.5`);
    await friend.awaitState("failed", 60_000);
    assert.ok((await friend.page.locator("#state").textContent()).trim().length > 20);
    await friend.assertAccessible("failed");
    await friend.photograph("opportunities, nothing held and catalog away, desktop, light");
  }
  const system = await open({ colours: "dark" });
  system.isOutage = true;
  await system.page.goto(`${system.base}/system`);
  await eventually("the system page tells of the catalog", async () => (await system.page.locator("[data-component=catalog]").getAttribute("data-status").catch(() => null)) === "down", 30_000);
  await system.photograph("system, catalog away, desktop, dark");

  await stage.catalog(false);
  const back = Date.now();
  await reader.awaitState("ready", 60_000);
  console.log(`ready again after ${((Date.now() - back) / 1000).toFixed(1)} s`);
  await friend?.awaitState("ready", 90_000);
  await eventually("the banner goes", () => page.locator("#banner").isHidden(), 30_000);
  await eventually("the catalog is up", async () => (await system.page.locator("[data-component=catalog]").getAttribute("data-status")) === "up", 60_000);
  for (const each of [reader, system, ...(friend ? [friend] : [])]) await each.context.close();
}
