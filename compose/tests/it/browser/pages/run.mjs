// Plays one scenario in a browser of its own: `node run.mjs NAME`.
//
// In: BASE_URL, CHROMIUM, PACKAGES (folder with node_modules), SCREENSHOTS. A line of JSON with "order" on standard output is
// an order to the stage; the line that comes back says it is done. Other lines are for people.

import { createInterface } from "node:readline";

import { chromium, Reader } from "./reader.mjs";

const name = process.argv[2];
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function order(what) {
  console.log(JSON.stringify(what));
  const { value, done } = await answers.next();
  if (done || value !== "done") throw new Error(`the stage is gone: ${value}`);
}

const stage = {
  price: (asin, market, minor) => order({ order: "price", asin, market, minor }),
  keepa: (is_away) => order({ order: "keepa", is_away }),
  catalog: (is_away) => order({ order: "catalog", is_away }),
  product: (is_away) => order({ order: "product", is_away }),
};

const { default: scenario } = await import(`./${name}.mjs`);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  // Its sandbox does not work for root, which is who CI is; nothing but our own pages is opened.
  chromiumSandbox: process.getuid?.() !== 0,
  args: ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--force-color-profile=srgb"],
});
const readers = [];
const begun = Date.now();
try {
  await scenario({
    stage,
    base: process.env.BASE_URL,
    open: async (how = {}) => {
      const reader = await Reader.open(browser, process.env.BASE_URL, how);
      readers.push(reader);
      return reader;
    },
  });
  for (const reader of readers) reader.assertLawful();
  console.log(`${name}: ${((Date.now() - begun) / 1000).toFixed(1)} s`);
} catch (error) {
  for (const [index, reader] of readers.entries()) {
    if (reader.page.isClosed()) continue;
    await reader.page.screenshot({ path: `${process.env.SCREENSHOTS}/failed ${name} ${index}.png` }).catch(() => {});
    console.error(`reader ${index} at ${reader.page.url()}: ${JSON.stringify(reader.breaches)}`);
  }
  console.error(error);
  process.exitCode = 1;
} finally {
  await browser.close();
  answers.return?.();
  process.stdin.destroy();
}
