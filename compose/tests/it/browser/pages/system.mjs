// Every component with its state, the figures of the feed, runs and rates; a banner on every page while one is not well.

import assert from "node:assert/strict";

import { eventually } from "./reader.mjs";

const PAGES = ["/", "/routes", "/system", "/p/B0SHOP0004", "/o/B0SHOP0004:ES:IT"];

export default async function ({ open, stage }) {
  const reader = await open();
  const page = await reader.go("/system");
  await reader.awaitState("ready");
  const health = await reader.ask("/health");
  for (const [name, { status }] of Object.entries(health.components)) {
    await eventually(`${name} is ${status}`, async () => (await page.locator(`[data-component="${name}"]`).getAttribute("data-status")) === status);
  }
  for (const name of ["lag", "dlq", "tokens", "refill"]) {
    await eventually(`${name} has a figure`, async () => /\d/.test(await page.locator(`[data-figure=${name}]`).textContent()));
  }
  await eventually("the last runs", () => page.locator("#runs tbody tr").count());
  const rates = await page.locator("#rates").textContent();
  assert.ok(rates.includes("GBP") && rates.includes("0.8612"), rates);
  assert.ok(await page.locator("#simulated").isHidden(), "this data is not simulated");
  for (const path of PAGES) {
    await reader.go(path);
    assert.ok(await page.locator("#banner").isHidden(), `nothing to tell on ${path}`);
  }

  await stage.keepa(true);
  await eventually("the API knows", async () => (await (await fetch(`${reader.base}/health`)).json()).components.keepa.status !== "up", 60_000);
  for (const path of PAGES) {
    await reader.go(path);
    await eventually(`the banner on ${path}`, () => page.locator("#banner").isVisible());
  }
  await reader.go("/system");
  await eventually("Keepa is not up", async () => (await page.locator("[data-component=keepa]").getAttribute("data-status")) !== "up");
  const told = (await page.locator("[data-component=keepa]").textContent()).trim();
  assert.ok(told.includes("503"), `why: ${told}`);
  await reader.assertAccessible("system, degraded");
  await reader.photograph("system, Keepa away, desktop, light");

  await stage.keepa(false);
  await eventually("it heals without a reload", async () => (await page.locator("[data-component=keepa]").getAttribute("data-status")) === "up", 90_000);
  await eventually("the banner goes", () => page.locator("#banner").isHidden());
}
