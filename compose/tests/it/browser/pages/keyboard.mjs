// Without a pointer: past the head to the content, everything in order, always seen, the slider moved.

import assert from "node:assert/strict";

import { eventually } from "./reader.mjs";

const PAGES = ["/", "/routes", "/system", "/p/B0SHOP0004", "/o/B0SHOP0004:ES:IT"];

// The element with the focus, and whether one sees that it has it.
const focused = (page) => page.evaluate(() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const style = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  const isOutlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
  return {
    name: `${element.tagName.toLowerCase()}#${element.id}[${element.getAttribute("name") ?? element.textContent.trim().slice(0, 30)}]`,
    tag: element.tagName,
    isInHead: element.closest("header.top, body > header") !== null,
    isSeen: isOutlined || style.boxShadow !== "none",
    isInWindow: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < window.innerHeight && box.right > 0 && box.left < window.innerWidth,
    top: box.top + window.scrollY,
    position: element.closest("[data-id]")?.dataset.id ?? null,
  };
});

export default async function ({ open }) {
  const reader = await open();
  for (const path of PAGES) {
    const page = await reader.go(path);
    await page.keyboard.press("Tab");
    const skip = await focused(page);
    assert.equal(skip.tag, "A", `${path}: ${skip.name}`);
    assert.ok(skip.isInWindow && skip.isSeen, `${path}: the skip link shows itself: ${JSON.stringify(skip)}`);
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    const content = await focused(page);
    assert.equal(content?.isInHead ?? false, false, `${path}: past the head, at ${content?.name}`);

    // From the top: each stop can be seen, none is visited twice, and it ends.
    await page.goto(reader.base + path);
    await reader.settled();
    const stops = [];
    for (let step = 0; step < 60; step++) {
      await page.keyboard.press("Tab");
      const stop = await focused(page);
      if (!stop) break;
      stops.push(stop);
    }
    assert.ok(stops.length > 5, `${path}: ${stops.length} stops`);
    for (const stop of stops) assert.ok(stop.isSeen && stop.isInWindow, `${path}: ${JSON.stringify(stop)}`);
    const inHead = stops.map(({ isInHead }) => isInHead);
    assert.ok(inHead.lastIndexOf(true) < inHead.indexOf(false, 1) || inHead.indexOf(false, 1) === -1, `${path}: the head comes first`);
  }

  const page = await reader.go("/");
  const slider = page.locator("form#filters [name=min_margin]");
  await slider.focus();
  const before = Number(await slider.inputValue());
  for (let press = 0; press < 20; press++) await page.keyboard.press("ArrowRight");
  const after = Number(await slider.inputValue());
  assert.ok(after > before, `${before} to ${after}`);
  await eventually("the slider's place is in the URL", () => Number(reader.query().get("min_margin")) === after);
  const { items } = await reader.ask(`/opportunities?${reader.query()}`);
  await eventually("and the table follows", async () => JSON.stringify(await reader.rowIds()) === JSON.stringify(items.map(({ id }) => id)));
  assert.equal(await page.evaluate(() => document.activeElement.name), "min_margin", "the focus stays on the slider");

  // A column sorts by the space bar, a row leads on by Enter, also where its answer comes late and moves the row with the focus.
  const rows = await reader.rowIds();
  let release;
  const late = new Promise((resolve) => (release = resolve));
  await page.route("**/opportunities?*", async (route) => {
    await late;
    await route.continue();
  });
  const sort = page.locator('th button[data-sort="margin"]');
  await sort.focus();
  await page.keyboard.press("Space");
  await eventually("sorted", () => reader.query().get("sort")?.endsWith("margin"));
  await page.locator("#rows [data-cell=title] a").first().focus();
  release();
  await eventually("the row with the focus is moved", async () => (await reader.rowIds()).indexOf(rows[0]) > 0);
  const holder = await page.evaluate(() => document.activeElement.closest("tr")?.dataset.id);
  assert.equal(holder, rows[0], "the focus goes along with its row");
  await page.unroute("**/opportunities?*");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/p/**");
  await reader.settled();
}
