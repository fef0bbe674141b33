// Dark where the system is dark, or where the reader wants it; the choice is kept.

import assert from "node:assert/strict";

import { eventually } from "./reader.mjs";

const PAGES = ["/", "/routes", "/system", "/p/B0SHOP0004", "/o/B0SHOP0004:ES:IT"];

// 0 is black, 255 white.
const ground = (page) => page.evaluate(() => {
  const canvas = document.createElement("canvas").getContext("2d");
  const colours = [document.body, document.documentElement].map((element) => getComputedStyle(element).backgroundColor);
  canvas.fillStyle = colours.find((colour) => colour !== "rgba(0, 0, 0, 0)") ?? "white";
  canvas.fillRect(0, 0, 1, 1);
  const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
  return (red + green + blue) / 3;
});
const isDark = async (page) => (await ground(page)) < 80;

export default async function ({ open }) {
  for (const colours of ["light", "dark"]) {
    const reader = await open({ colours });
    const page = await reader.go("/");
    assert.equal(await isDark(page), colours === "dark", `the system is ${colours}`);
    // The system changes in the evening.
    const other = colours === "dark" ? "light" : "dark";
    await page.emulateMedia({ colorScheme: other });
    await eventually(`it follows to ${other}`, async () => (await isDark(page)) === (other === "dark"));
    await page.emulateMedia({ colorScheme: colours });

    await page.locator("#theme").selectOption(other);
    await eventually(`${other} by the switch`, async () => (await isDark(page)) === (other === "dark"));
    assert.equal(await page.locator("html").getAttribute("data-theme"), other);
    for (const path of PAGES) {
      await reader.go(path);
      assert.equal(await isDark(page), other === "dark", `the choice is kept on ${path}`);
      if (path.startsWith("/p/")) await eventually("the chart", () => page.locator("#chart .main-svg").count());
      await reader.assertAccessible(`${path}, ${other} on a ${colours} system`);
    }
    await page.locator("#theme").selectOption("auto");
    await eventually("as the system again", async () => (await isDark(page)) === (colours === "dark"));
    assert.equal(await page.locator("html").getAttribute("data-theme"), null);
  }
}
