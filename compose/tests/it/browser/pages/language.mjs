// The browser's language, then the reader's choice, which is kept; amounts and dates as they are written there.

import assert from "node:assert/strict";

import { eventually } from "./reader.mjs";

const PAGES = ["/", "/routes", "/system", "/p/B0SHOP0004", "/o/B0SHOP0004:ES:IT"];
const lang = (page) => page.locator("html").getAttribute("lang");

async function assertAmounts(reader, language) {
  const id = (await reader.rowIds())[0];
  const item = await reader.ask(`/opportunities/${id}`);
  const cell = (name) => reader.page.locator(`#rows tr[data-id="${id}"] [data-cell=${name}]`).textContent();
  const amount = new Intl.NumberFormat(language, { style: "currency", currency: item.source_currency }).format(item.source_price);
  const percent = new Intl.NumberFormat(language, { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(item.margin_percentage);
  assert.ok((await cell("buy")).includes(amount), `${language}: ${amount} in ${await cell("buy")}`);
  assert.ok((await cell("percent")).includes(percent), `${language}: ${percent} in ${await cell("percent")}`);
}

export default async function ({ open }) {
  const words = {};
  for (const [language, code] of [["en-GB", "en"], ["de-DE", "de"], ["fr-FR", "en"]]) {
    const reader = await open({ language });
    for (const path of PAGES) {
      await reader.go(path);
      assert.equal(await lang(reader.page), code, `${language} on ${path}`);
      words[`${code} ${path}`] ??= await reader.page.locator("main").innerText();
    }
    await reader.go("/");
    if (language !== "fr-FR") await assertAmounts(reader, language);
  }
  for (const path of PAGES) assert.notEqual(words[`en ${path}`], words[`de ${path}`], path);

  const reader = await open({ language: "en-GB" });
  const page = await reader.go("/?source_market=ES");
  await page.locator("#language").selectOption("de");
  await eventually("German by the switch", async () => (await lang(page).catch(() => null)) === "de");
  await reader.settled();
  assert.equal(reader.query().get("source_market"), "ES", "the view stays");
  await eventually("German amounts", async () => /\d,\d\d\s€/.test(await page.locator("#rows [data-cell=buy]").first().textContent()));
  for (const path of PAGES) {
    await reader.go(path);
    assert.equal(await lang(page), "de", `the choice is kept on ${path}`);
  }
  await page.locator("#language").selectOption("en");
  await eventually("and back", async () => (await lang(page).catch(() => null)) === "en");

  // A link may name the language.
  const friend = await open({ language: "en-GB" });
  await friend.go("/?lang=de");
  assert.equal(await lang(friend.page), "de");

  // A date of a run, day before month in both, with the points of German.
  await friend.go("/system?lang=de");
  await eventually("a German date of the rates", async () => /\d{1,2}\.\s?(\d{1,2}\.|\p{L}+)\s?\d{2,4}/u.test(await friend.page.locator("main").innerText()));
}
