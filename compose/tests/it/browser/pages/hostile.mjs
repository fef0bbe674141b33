// Titles with markup, emoji, from right to left, without a space; no image, no title, prices of a cent and of a fortune, markets
// without a price: text stays text, everything fits.

import assert from "node:assert/strict";

import { DESKTOP, eventually, PHONE } from "./reader.mjs";

export default async function ({ open }) {
  for (const [device, size] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
    const reader = await open({ size });
    const page = await reader.go("/?limit=100&sort=asin");
    const { items } = await reader.ask("/opportunities?limit=100&sort=asin");
    assert.ok(items.length >= 11, `${items.length}`);
    await eventually("all rows", async () => (await reader.rowIds()).length === items.length);
    for (const { id, title, asin } of items) {
      const row = page.locator(`#rows tr[data-id="${id}"]`);
      const shown = await row.locator("[data-cell=title]").textContent();
      assert.ok(shown.includes(title ?? asin), `${id}: ${title ?? asin} is shown as ${shown}`);
    }
    assert.equal(await page.locator("main script, main h1 ~ h1, #rows img[src=x], #rows b, #rows i").count(), 0, "no title became markup");
    await eventually("failed images become placeholders", async () => (await page.locator("#rows img").evaluateAll((images) => images.filter((image) => image.complete && image.naturalWidth === 0 && image.getClientRects().length > 0).length)) === 0);
    await reader.assertNothingRan("the list");
    await reader.assertFits(`the list, ${device}`);
    await reader.assertCellsHold(`the list, ${device}`, "#rows");
    await reader.assertAccessible(`the list of odd titles, ${device}`);
    await reader.photograph(`odd titles, opportunities, ${device}, light`);
    const tall = await page.locator("#rows tr").evaluateAll((rows) => Math.max(...rows.map((row) => row.getBoundingClientRect().height)));
    assert.ok(tall < 600, `a row is ${tall} high`);

    const fortune = items.find(({ margin }) => margin > 99_000);
    const row = await page.locator(`#rows tr[data-id="${fortune.id}"]`).textContent();
    assert.ok(row.includes("€0.01") && row.includes("€99,999.99"), row);

    const asins = [...new Set(items.map(({ asin }) => asin)), "B0SHOP9103"];
    for (const asin of asins) {
      await reader.go(`/p/${asin}`);
      const product = await reader.ask(`/products/${asin}`);
      assert.equal((await page.locator("h1").textContent()).trim(), (product.title ?? asin).trim());
      await eventually("every market", async () => {
        const rows = await page.locator("#markets tr[data-market]").count();
        return rows >= Object.keys(product.current_prices).length && rows > 0;
      });
      await reader.assertNothingRan(asin);
      await reader.assertFits(`${asin}, ${device}`);
      await reader.photograph(`odd titles, product ${asin}, ${device}, light`);
    }
    await reader.assertAccessible(`a product without a price, ${device}`);
    for (const { id } of items.filter(({ source_market, target_market }) => source_market === "ES" && target_market === "IT")) {
      await reader.go(`/o/${id}`);
      await reader.awaitState("ready");
      await reader.assertNothingRan(id);
      await reader.assertFits(`${id}, ${device}`);
      await reader.assertCellsHold(`${id}, ${device}`, "#ledger");
    }
    await reader.photograph(`odd titles, opportunity, ${device}, light`);
  }
}
