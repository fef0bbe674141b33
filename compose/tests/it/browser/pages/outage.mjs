// The catalog goes, then the whole product: both are told, and heal without a reload.

import assert from "node:assert/strict";

import { eventually } from "./reader.mjs";
import stale from "./stale.mjs";

const PAGES = ["/", "/routes", "/system", "/p/B0SHOP0004", "/o/B0SHOP0004:ES:IT"];

export default async function ({ open, stage }) {
  // Somebody holds the file of the embedded catalog: it can be read, and not be written.
  await stale({ open, stage }, true);

  const readers = [];
  for (const path of PAGES) {
    const reader = await open();
    await reader.go(path);
    await reader.awaitState("ready");
    reader.isOutage = true;
    readers.push(reader);
  }
  const rows = await readers[0].rowIds();
  await stage.product(true);
  for (const [index, reader] of readers.entries()) {
    await reader.awaitState("failed", 30_000);
    const told = await reader.page.locator("#state").textContent();
    assert.ok(told.trim().length > 20, `${PAGES[index]}: ${told}`);
  }
  assert.deepEqual(await readers[0].rowIds(), rows, "what was there stays, to be read");
  await readers[0].assertAccessible("failed");
  await readers[0].photograph("opportunities, product gone, desktop, light");

  await stage.product(false);
  for (const reader of readers) await reader.awaitState("ready", 60_000);
  await eventually("rows again", async () => (await readers[0].rowIds()).length > 0);
  for (const reader of readers) reader.isOutage = false;
}
