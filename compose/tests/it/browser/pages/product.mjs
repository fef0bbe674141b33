// The product page: every market side by side, every route, and a chart that draws, zooms and takes a range.

import assert from "node:assert/strict";

import { eventually, PHONE } from "./reader.mjs";

const ASIN = "B0SHOP0004";
const DAY = 24 * 3_600_000;

// What the chart shows at present: from, to, and how many lines.
const shown = (page) => page.evaluate(() => {
  const { layout, data } = document.querySelector("#chart .js-plotly-plot, #chart.js-plotly-plot");
  const [from, to] = layout.xaxis.range.map((end) => new Date(end).getTime());
  return { from, to, lines: data.filter((line) => line.x?.length > 1).map((line) => line.name) };
});

export default async function ({ open }) {
  const reader = await open();
  const page = await reader.go(`/p/${ASIN}`);
  await reader.awaitState("ready");
  const product = await reader.ask(`/products/${ASIN}`);
  assert.equal((await page.locator("h1").textContent()).trim(), product.title);
  for (const [market, price] of Object.entries(product.current_prices)) {
    const row = await page.locator(`#markets tr[data-market=${market}]`).textContent();
    const amount = new Intl.NumberFormat("en-GB", { style: "currency", currency: price.currency }).format(price.amount);
    assert.ok(row.includes(amount), `${market}: ${amount} in ${row}`);
  }
  const { items } = await reader.ask(`/opportunities?asin=${ASIN}&limit=500`);
  assert.ok(items.length > 1);
  for (const { source_market, target_market, margin } of items) {
    const row = await page.locator(`#product-routes tr[data-route="${source_market}:${target_market}"]`).textContent();
    assert.ok(row.includes(new Intl.NumberFormat("en-GB", { style: "currency", currency: "EUR" }).format(margin)), `${source_market}:${target_market}: ${row}`);
  }

  // It draws: a line for each market with a past.
  await eventually("the chart draws", () => page.locator("#chart .main-svg .scatterlayer path.js-line").count());
  const whole = await shown(page);
  assert.equal(whole.lines.length, 5, `${whole.lines}`);
  assert.ok(whole.to - whole.from > 60 * DAY, "it goes back for months");
  assert.ok(reader.requests.some((path) => path.includes("plotly")), "the script of the chart was loaded");

  // It zooms to what is drawn with the pointer, and back.
  const plot = await page.locator("#chart .nsewdrag").first().boundingBox();
  await page.mouse.move(plot.x + plot.width * 0.3, plot.y + plot.height * 0.3);
  await page.mouse.down();
  await page.mouse.move(plot.x + plot.width * 0.6, plot.y + plot.height * 0.7, { steps: 8 });
  await page.mouse.up();
  await eventually("it zooms", async () => {
    const { from, to } = await shown(page);
    return to - from < 0.5 * (whole.to - whole.from) && from > whole.from;
  });
  await page.mouse.dblclick(plot.x + plot.width / 2, plot.y + plot.height / 2);
  await eventually("and back", async () => (await shown(page)).to - (await shown(page)).from > 60 * DAY);

  // A range from the controls: a button, and two dates.
  await page.locator("#range button", { hasText: "30" }).click();
  await eventually("thirty days", async () => {
    const { from, to } = await shown(page);
    return Math.abs(to - from - 30 * DAY) < 3 * DAY;
  });
  const day = (days) => new Date(Date.now() - days * DAY).toISOString().slice(0, 10);
  await page.locator("#range [name=from]").fill(day(60));
  await page.locator("#range [name=to]").fill(day(40));
  await page.locator("#range [name=to]").press("Enter");
  await eventually("from one day to another", async () => {
    const { from, to } = await shown(page);
    return Math.abs(to - from - 20 * DAY) < 2 * DAY && Math.abs(from - (Date.now() - 60 * DAY)) < 2 * DAY;
  });
  await reader.assertAccessible("with a range");
  await reader.photograph("product, twenty days of the chart, desktop, light");

  // On a phone the chart is as wide as there is room for.
  const phone = await open({ size: PHONE });
  await phone.go(`/p/${ASIN}`);
  await eventually("the chart draws on a phone", () => phone.page.locator("#chart .main-svg .scatterlayer path.js-line").count());
  await phone.assertFits("product, phone");

  // What nobody has seen is said to be so.
  const response = await page.request.get(`${reader.base}/p/B000000000`);
  assert.ok([200, 404].includes(response.status()), `${response.status()}`);
  reader.isOutage = true;
  await page.goto(`${reader.base}/p/B000000000`);
  await eventually("an unknown article is told", async () => ["empty", "failed"].includes(await reader.state()));
  assert.ok((await page.locator("#state, main").first().textContent()).trim().length > 20);
  reader.isOutage = false;
}
