// Every column sorts both ways; pages go forward and back; both are in the URL.

import assert from "node:assert/strict";

import { eventually } from "./reader.mjs";

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

export default async function ({ open }) {
  const reader = await open();
  const page = await reader.go("/?limit=25");
  const fields = await page.locator("th button[data-sort]").evaluateAll((buttons) => buttons.map((button) => button.dataset.sort));
  for (const field of ["margin_percentage", "margin", "profit", "source_price_eur", "target_price_eur"]) {
    assert.ok(fields.includes(field), `no column sorts by ${field}: ${fields}`);
  }
  for (const field of fields) {
    const directions = new Set();
    for (const press of [1, 2]) {
      const before = page.url();
      await page.locator(`th button[data-sort="${field}"]`).click();
      await eventually(`${field} is in the URL, press ${press}`, () => page.url() !== before && [field, `-${field}`].includes(reader.query().get("sort") ?? "-margin_percentage"));
      const sort = reader.query().get("sort") ?? "-margin_percentage";
      directions.add(sort.startsWith("-") ? "descending" : "ascending");
      const { items } = await reader.ask(`/opportunities?limit=25&sort=${sort}`);
      await eventually(`rows in the order of ${sort}`, async () => same(await reader.rowIds(), items.map(({ id }) => id)));
      const told = await page.locator("th", { has: page.locator(`button[data-sort="${field}"]`) }).getAttribute("aria-sort");
      assert.equal(told, sort.startsWith("-") ? "descending" : "ascending", field);
    }
    assert.equal(directions.size, 2, `${field} sorts both ways`);
  }
  const sorted = await page.locator("th[aria-sort=ascending], th[aria-sort=descending]").count();
  assert.equal(sorted, 1, "one column says that it sorts");

  await reader.go("/?limit=25");
  const first = await reader.rowIds();
  assert.equal(first.length, 25);
  assert.ok(await page.locator("#previous").isDisabled(), "there is nothing before the first page");
  await page.locator("#next").click();
  await eventually("the second page", async () => !same(await reader.rowIds(), first) && (await reader.rowIds()).length > 0);
  const list = await reader.ask("/opportunities?limit=25");
  const { items } = await reader.ask(`/opportunities?limit=25&cursor=${encodeURIComponent(list.next_cursor)}`);
  await eventually("what the API has there", async () => same(await reader.rowIds(), items.map(({ id }) => id)));
  const second = await reader.rowIds();
  assert.ok(second.every((id) => !first.includes(id)), "no row is on both pages");
  const address = page.url().slice(reader.base.length);
  await page.locator("#next").click();
  await eventually("the third page", async () => !same(await reader.rowIds(), second) && (await reader.rowIds()).length > 0);
  await page.locator("#previous").click();
  await eventually("back on the second", async () => same(await reader.rowIds(), second));
  await page.locator("#previous").click();
  await eventually("back on the first", async () => same(await reader.rowIds(), first));

  const friend = await open();
  await friend.go(address);
  await eventually("the second page by its address", async () => same(await friend.rowIds(), second));

  // To the end: there is nothing after it.
  await reader.go("/?limit=500");
  assert.ok(await page.locator("#next").isDisabled(), "there is nothing after the last page");
}
