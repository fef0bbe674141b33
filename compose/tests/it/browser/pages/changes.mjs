// A price moves: the table follows within ten seconds without a reload, says what is new, better and gone, and moves nothing
// that the reader points at.

import assert from "node:assert/strict";

import { eventually } from "./reader.mjs";

const WITHIN = 10_000;
const ASIN = "B0SHOP0003";
const ID = `${ASIN}:ES:IT`;

const row = (page, id) => page.locator(`#rows tr[data-id="${id}"]`);
const text = async (page, id, cell) => (await row(page, id).locator(`[data-cell=${cell}]`).textContent()).trim();

async function timed(what, look, within) {
  const begun = Date.now();
  await eventually(what, look, within);
  console.log(`${what}: after ${((Date.now() - begun) / 1000).toFixed(1)} s`);
}

export default async function ({ open, stage }) {
  const reader = await open();
  const page = await reader.go("/?source_market=ES&target_market=IT&sort=asin");
  let navigations = 0;
  page.on("framenavigated", () => navigations++);
  await eventually("the row", () => row(page, ID).count());
  const ids = await reader.rowIds();
  const before = await text(page, ID, "sell");

  await stage.price(ASIN, "IT", 64_999);
  await timed("a better price is in the table", async () => (await text(page, ID, "sell")) !== before, WITHIN);
  assert.match(await text(page, ID, "sell"), /649\.99/);
  assert.equal(await row(page, ID).getAttribute("data-change"), "improved");
  assert.deepEqual(await reader.rowIds(), ids, "in the order of the ASINs nothing moves");

  // The gap is gone: the row stays for a while and says so.
  await stage.price(ASIN, "IT", 1_000);
  await timed("the closed row is marked", async () => (await row(page, ID).getAttribute("data-change").catch(() => null)) === "closed", WITHIN);
  await reader.photograph("opportunities, a row that closed, desktop, light");
  await reader.assertAccessible("with a closed row");
  await timed("the closed row goes", async () => (await row(page, ID).count()) === 0, 60_000);

  await stage.price(ASIN, "IT", 70_000);
  await timed("a new row is there", () => row(page, ID).count(), WITHIN);
  assert.equal(await row(page, ID).getAttribute("data-change"), "new");
  await reader.assertAccessible("with a new row");

  // Greatest margin first: a row that becomes the best would jump to the top, but not from under the reader's hand.
  for (const [hand, hold, leave] of [
    ["pointer", (id) => row(page, id).hover(), () => page.mouse.move(2, 2)],
    ["focus", (id) => row(page, id).locator("a").first().focus(), () => page.evaluate(() => document.activeElement.blur())],
  ]) {
    await page.mouse.move(2, 2);
    await reader.go("/?source_market=ES&target_market=IT&sort=-margin");
    const order = await reader.rowIds();
    const held = order[order.length - 2];
    const other = order[order.length - 1];
    await hold(held);
    const place = await row(page, held).boundingBox();
    const shown = await text(page, other, "sell");
    await stage.price(other.split(":")[0], "IT", hand === "focus" ? 3_900_000 : 1_900_000);
    await timed(`${hand}: the price is told in its place`, async () => (await text(page, other, "sell")) !== shown, WITHIN);
    const now = await row(page, held).boundingBox();
    assert.equal(now.y, place.y, `${hand}: the row stays where it is`);
    if (hand === "focus") {
      const focused = await page.evaluate(() => document.activeElement.closest("tr")?.dataset.id);
      assert.equal(focused, held, "the focus stays in the row");
    }
    await leave();
    await page.evaluate(() => window.scrollTo(0, 0));
    await timed(`${hand}: once it is let go, the best comes first`, async () => (await reader.rowIds())[0] === other, 2 * WITHIN);
  }
  // The two visits of the loop, and no other.
  assert.ok(navigations <= 2, `${navigations} navigations`);
}
