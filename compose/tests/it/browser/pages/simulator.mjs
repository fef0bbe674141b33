// With nothing configured: a margin or a row changes within ten seconds, and it is said that the data is made up.

import assert from "node:assert/strict";

import { eventually } from "./reader.mjs";

export default async function ({ open }) {
  const reader = await open();
  const page = await reader.go("/?limit=200");
  await eventually("the data is called simulated", () => page.locator("#simulated").isVisible());
  const figures = () => page.locator("#rows tr[data-id]").evaluateAll((rows) => rows.map((row) => `${row.dataset.id} ${row.querySelector("[data-cell=percent]").textContent}`).join("\n"));
  const before = await figures();
  const begun = Date.now();
  await eventually("the table changes", async () => (await figures()) !== before, 10_000);
  console.log(`a change of the simulator is in the table after ${((Date.now() - begun) / 1000).toFixed(1)} s`);
  await eventually("what changed is marked", () => page.locator("#rows tr[data-change]").count(), 10_000);

  for (const name of ["active", "best", "mean", "products", "updated"]) {
    const said = (await page.locator(`[data-metric=${name}]`).textContent()).trim();
    assert.match(said, /\d/, `${name}: ${said}`);
  }
}
