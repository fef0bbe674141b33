// Somebody who reads the pages, and what holds on every one of them: no error and nothing uncaught, a content security
// policy that is kept, nothing asked of another origin but product images, no script out of a title.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.PACKAGES}/package.json`);
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const { chromium } = require("playwright-core");

export const DESKTOP = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };

const IMAGES = "https://m.media-amazon.com";
const POLICY = {
  "script-src": ["'self'"],
  "style-src": ["'self'", "'unsafe-inline'"],
  "img-src": ["'self'", IMAGES],
  "connect-src": ["'self'"],
  "object-src": ["'none'"],
  "frame-ancestors": ["'none'"],
  "base-uri": ["'none'", "'self'"],
};

// Asks again and again until it is so.
export async function eventually(what, look, within = 20_000) {
  const until = Date.now() + within;
  let seen;
  while (Date.now() < until) {
    seen = await look();
    if (seen) return seen;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what}: not within ${within} ms`);
}

export class Reader {
  breaches = [];
  // Every request to the product: its path.
  requests = [];
  // While something is taken away, requests may fail.
  isOutage = false;

  // `images`: product images come (a grey square), else they fail.
  static async open(browser, base, { size = DESKTOP, colours = "light", language = "en-GB", images = false } = {}) {
    const reader = new Reader();
    reader.base = base;
    reader.context = await browser.newContext({
      viewport: size,
      isMobile: size === PHONE,
      hasTouch: size === PHONE,
      colorScheme: colours,
      locale: language,
      timezoneId: "Europe/Berlin",
      reducedMotion: "reduce",
    });
    await reader.context.exposeBinding("tellViolation", (_, violation) => reader.breaches.push(`policy: ${violation}`));
    await reader.context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        window.tellViolation(`${event.violatedDirective} ${event.blockedURI} at ${event.sourceFile}:${event.lineNumber}`);
      });
    });
    const isForeign = (url) => url.origin !== base && url.protocol.startsWith("http");
    await reader.context.route(isForeign, (route) => reader.#answerForeign(route, images));
    reader.page = await reader.context.newPage();
    reader.page.setDefaultTimeout(30_000);
    reader.#watch();
    return reader;
  }

  #answerForeign(route, images) {
    const url = new URL(route.request().url());
    const isImage = url.origin === IMAGES && route.request().resourceType() === "image";
    if (!isImage) this.breaches.push(`asked another origin: ${url}`);
    if (!isImage || !images) return route.abort();
    const square = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="9" height="9" fill="#c9ced6"/><circle cx="4.5" cy="4.5" r="3" fill="#7d8794"/></svg>';
    return route.fulfill({ contentType: "image/svg+xml", body: square });
  }

  #watch() {
    const isOurs = (url) => url.startsWith(this.base);
    this.page.on("pageerror", (error) => this.breaches.push(`uncaught: ${error.stack ?? error}`));
    this.page.on("console", (message) => {
      if (message.type() !== "error") return;
      const { url } = message.location();
      const isLoading = message.text().startsWith("Failed to load resource");
      if (isLoading && (url.startsWith(IMAGES) || (this.isOutage && isOurs(url)))) return;
      this.breaches.push(`console: ${message.text()} (${url})`);
    });
    this.page.on("request", (request) => {
      if (isOurs(request.url())) this.requests.push(new URL(request.url()).pathname);
    });
    this.page.on("response", (response) => {
      const request = response.request();
      if (!isOurs(response.url())) return;
      if (response.status() >= 400 && !this.isOutage) this.breaches.push(`${response.status()} ${response.url()}`);
      if (request.isNavigationRequest() && response.status() < 300) this.#checkPolicy(response);
    });
  }

  #checkPolicy(response) {
    const header = response.headers()["content-security-policy"] ?? "";
    const directives = new Map(header.split(";").map((directive) => {
      const [name, ...sources] = directive.trim().split(/\s+/);
      return [name, sources];
    }));
    for (const [name, allowed] of Object.entries(POLICY)) {
      // These two have no default.
      const fallback = name === "frame-ancestors" || name === "base-uri" ? undefined : directives.get("default-src");
      const sources = (directives.get(name) ?? fallback)?.filter((source) => source !== "'none'");
      const isKept = sources !== undefined && sources.every((source) => allowed.includes(source));
      if (!isKept) this.breaches.push(`policy of ${response.url()}: ${name} is ${sources}`);
    }
  }

  async go(path) {
    await this.page.goto(this.base + path);
    await this.settled();
    return this.page;
  }

  // Loading is over, whatever came of it.
  async settled() {
    await this.page.waitForFunction(() => {
      const state = document.querySelector("main")?.dataset.state;
      return state && state !== "loading";
    });
  }

  state() {
    return this.page.locator("main").getAttribute("data-state");
  }

  async awaitState(state, within = 30_000) {
    await eventually(`the state ${state}`, async () => (await this.state()) === state, within);
  }

  // What the reader's script would get.
  async ask(path) {
    const response = await fetch(this.base + path, { headers: { accept: "application/json" } });
    assert.equal(response.status, 200, path);
    return response.json();
  }

  rowIds() {
    return this.page.locator("#rows tr[data-id]").evaluateAll((rows) => rows.map((row) => row.dataset.id));
  }

  query() {
    return new URL(this.page.url()).searchParams;
  }

  // Nothing serious for people who use the page in another way.
  async assertAccessible(what) {
    await this.page.evaluate(AXE);
    const { violations } = await this.page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    const told = serious.map(({ id, help, nodes }) => {
      const places = nodes.slice(0, 4).map((node) => `${node.target} ${node.html.slice(0, 160)} ${node.any[0]?.message ?? node.all[0]?.message ?? ""}`);
      return `${what}: ${id} (${help}), ${nodes.length}: ${places.join(" | ")}`;
    });
    this.breaches.push(...told);
  }

  // Nothing sticks out to the right.
  async assertFits(what) {
    const wide = await this.page.evaluate(() => {
      if (document.documentElement.scrollWidth <= window.innerWidth) return null;
      const out = [...document.body.querySelectorAll("*")].filter((element) => element.getBoundingClientRect().right > window.innerWidth + 1);
      return out.slice(0, 5).map((element) => `${element.tagName}.${element.className}#${element.id} ${Math.round(element.getBoundingClientRect().right)}`);
    });
    if (wide) this.breaches.push(`${what} is wider than the window: ${wide}`);
  }

  // What stands in a cell stays in it: figures of neighbours do not overlap.
  async assertCellsHold(what, table) {
    const out = await this.page.locator(`${table} :is(td, th)`).evaluateAll((cells) => cells.flatMap((cell) => {
      const range = document.createRange();
      range.selectNodeContents(cell);
      const { left, right } = cell.getBoundingClientRect();
      const rects = [...range.getClientRects()].filter(({ width }) => width > 1);
      const isOut = getComputedStyle(cell).overflow === "visible" && rects.some((rect) => rect.right > right + 1 || rect.left < left - 1);
      return isOut ? [`${cell.dataset.cell ?? cell.className}: ${cell.textContent.trim().slice(0, 40)}`] : [];
    }));
    if (out.length > 0) this.breaches.push(`${what}: sticks out of its cell: ${out.slice(0, 6).join(" | ")}`);
  }

  async assertNothingRan(what) {
    const ran = await this.page.evaluate(() => "ran" in window);
    if (ran) this.breaches.push(`${what}: a title became a script`);
  }

  async photograph(name) {
    // Three screens of a phone are enough to judge a list of hundreds of rows.
    const whole = await this.page.evaluate(() => document.documentElement.scrollHeight);
    const { width, height } = this.page.viewportSize();
    const clip = { x: 0, y: 0, width, height: Math.min(whole, 3 * height) };
    await this.page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png`, fullPage: true, clip });
  }

  assertLawful() {
    assert.deepEqual(this.breaches, []);
  }
}
