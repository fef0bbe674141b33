// The matrix says what the API says of each pair of markets, and a click filters the list by it.

import assert from "node:assert/strict";

import { eventually } from "./reader.mjs";

export default async function ({ open }) {
  const reader = await open();
  const page = await reader.go("/routes");
  await reader.awaitState("ready");
  const percent = new Intl.NumberFormat("en-GB", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const { routes } = await reader.ask("/stats");
  assert.equal(routes.length, 20);
  for (const { source_market, target_market, opportunities, best_margin_percentage, average_margin_percentage } of routes) {
    const cell = await page.locator(`#matrix td[data-route="${source_market}:${target_market}"]`).textContent();
    if (opportunities === 0) continue;
    for (const figure of [String(opportunities), percent.format(best_margin_percentage), percent.format(average_margin_percentage)]) {
      assert.ok(cell.includes(figure), `${source_market}:${target_market}: ${figure} in ${cell}`);
    }
  }
  await page.locator('#matrix td[data-route="ES:IT"] a').first().click();
  await eventually("the list", () => page.url().includes("source_market=ES"));
  await reader.settled();
  assert.equal(reader.query().get("target_market"), "IT");
  const ids = await eventually("rows", async () => ((await reader.rowIds()).length ? reader.rowIds() : null));
  assert.ok(ids.every((id) => id.endsWith(":ES:IT")), `${ids}`);
}
