// One opportunity: each line of the ledger, and the sums, as the API has them.

import assert from "node:assert/strict";

import { eventually } from "./reader.mjs";

const money = (amount, currency) => new Intl.NumberFormat("en-GB", { style: "currency", currency }).format(amount);
// A minus is a minus, however it is typeset, and a space a space.
const plain = (text) => text.replaceAll(/[−–]/g, "-").replaceAll(/[\u00a0\u202f\s]+/g, " ").trim();

export default async function ({ open }) {
  const reader = await open();
  const { items } = await reader.ask("/opportunities?limit=500&sort=-profit");
  const foreign = items.find((item) => item.source_currency !== item.target_currency && item.profit !== null);
  for (const { id } of [items[0], foreign]) {
    const page = await reader.go(`/o/${id}`);
    await reader.awaitState("ready");
    const detail = await reader.ask(`/opportunities/${id}`);
    assert.ok(detail.ledger, "there is a ledger to show");
    const rows = await page.locator("#lines tr").evaluateAll((rows) => rows.map((row) => ({ name: row.dataset.line, cells: [...row.cells].map((cell) => cell.textContent) })));
    assert.deepEqual(rows.map(({ name }) => name), detail.ledger.lines.map(({ name }) => name), "every line, in its order");
    for (const [index, { name, amount, currency, effect }] of detail.ledger.lines.entries()) {
      if (effect === "note") continue;
      const said = plain(rows[index].cells[1]).replace(/^[+-]/, "");
      const wanted = plain(money(Math.abs(amount), currency));
      assert.equal(said, wanted, name);
    }
    const whole = plain(await page.locator("main").textContent());
    for (const [what, amount] of Object.entries({ margin: detail.margin, profit: detail.profit })) {
      assert.ok(whole.includes(plain(money(amount, "EUR"))), `${what} ${amount}`);
    }
    for (const alternative of detail.alternatives) {
      assert.equal(await page.locator(`a[href$="/o/${alternative.id}"]`).count() > 0, true, alternative.id);
    }
    await eventually("the way to the product", () => page.locator(`a[href$="/p/${detail.asin}"]`).count());
    await reader.assertAccessible("opportunity");
  }
}
