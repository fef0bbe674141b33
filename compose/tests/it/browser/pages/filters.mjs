// The slider and each filter change the table and the URL, and the URL gives the same view again.

import assert from "node:assert/strict";

import { eventually } from "./reader.mjs";

// The table shows what the API says to the very query of the page.
async function assertAsQueried(reader, what) {
  const query = reader.query();
  query.delete("lang");
  await eventually(`${what}: the table is what ?${query} says`, async () => {
    const { items } = await reader.ask(`/opportunities?${query}`);
    const ids = await reader.rowIds();
    return ids.length > 0 && JSON.stringify(ids) === JSON.stringify(items.map(({ id }) => id));
  });
}

async function choose(control, value) {
  const isSelect = await control.evaluate((element) => element.tagName === "SELECT");
  if (isSelect) return control.selectOption(value);
  await control.fill(value);
  await control.press("Enter");
}

export default async function ({ open }) {
  const reader = await open();
  const page = await reader.go("/");
  await assertAsQueried(reader, "at first");
  const all = await reader.ask("/opportunities?limit=500");
  const some = all.items[Math.floor(all.items.length / 3)];
  const product = await reader.ask(`/products/${some.asin}`);

  const slider = page.locator("form#filters [name=min_margin]");
  assert.equal(await slider.getAttribute("type"), "range");
  const before = await reader.rowIds();
  await slider.fill("50");
  await eventually("the slider's place is in the URL", () => reader.query().get("min_margin") === "50");
  await eventually("it is said beside the slider", async () => (await page.locator("form#filters output").first().textContent()).includes("50"));
  await assertAsQueried(reader, "margin of 50");
  assert.ok((await reader.rowIds()).length < before.length, "fewer gaps are as wide");

  const filters = { source_market: some.source_market, target_market: some.target_market, brand: some.brand, category: product.category, limit: "25", q: some.asin };
  for (const [name, value] of Object.entries(filters)) {
    await reader.go("/");
    await choose(page.locator(`form#filters [name=${name}]`), value);
    await eventually(`${name} is in the URL`, () => reader.query().get(name) === value);
    await assertAsQueried(reader, name);
  }

  // Several at once, and as a link that was shared.
  await reader.go("/");
  for (const [name, value] of Object.entries({ source_market: "ES", target_market: "IT", brand: some.brand })) {
    await choose(page.locator(`form#filters [name=${name}]`), value);
    await eventually(`${name} is in the URL`, () => reader.query().get(name) === value);
  }
  await slider.fill("15");
  await eventually("the margin is in the URL", () => reader.query().get("min_margin") === "15");
  await assertAsQueried(reader, "four filters");
  const shared = page.url().slice(reader.base.length);
  const seen = await reader.rowIds();
  const friend = await open();
  await friend.go(shared);
  await eventually("the same rows", async () => JSON.stringify(await friend.rowIds()) === JSON.stringify(seen));
  for (const [name, value] of Object.entries({ source_market: "ES", target_market: "IT", brand: some.brand, min_margin: "15" })) {
    assert.equal(await friend.page.locator(`form#filters [name=${name}]`).inputValue(), value);
  }

  // Back takes the last change away, forward brings it again.
  await page.goBack();
  await eventually("back", () => reader.query().get("min_margin") !== "15");
  await assertAsQueried(reader, "back");

  // Nothing passes: it is said, and what to do.
  await reader.go("/?q=doesnotexistanywhere");
  assert.equal(await reader.state(), "empty");
  assert.ok((await page.locator("#state").textContent()).trim().length > 20, "the empty state is explained");
  assert.deepEqual(await reader.rowIds(), []);
  await reader.assertAccessible("empty");
  await reader.photograph("opportunities, nothing passes the filters, desktop, light");
}
