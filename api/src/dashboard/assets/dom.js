// Makes elements. Texts go in as text, addresses only where they lead to Amazon or stay here.

import { age, fill, instant, shop } from "./format.js";
import { words } from "./words.js";

const IMAGES = "https://m.media-amazon.com/";

export const byId = (id) => document.getElementById(id);

/** An element with attributes (`class`, `data-…`; false and null are left out) and children (texts or elements). */
export function node(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Sets a text only if it is another: nothing is announced again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A link to a page of ours. */
export const link = (path, ...children) => node("a", { href: path }, ...children);

/** A link to a page of Amazon's; the text alone where it is none. */
export function shopLink(url, market, text, attributes = {}) {
  if (!/^https:\/\/www\.amazon\.[a-z.]+\//.test(url ?? "")) return node("span", attributes, text);
  const label = fill(words.opens_shop, { shop: shop(market) });
  return node("a", { ...attributes, href: url, rel: "noopener noreferrer", target: "_blank", title: label }, text);
}

/** A product's image in a box of fixed size; a placeholder where there is none or it does not load. */
export function picture(url) {
  const box = node("span", { class: "picture-box", "aria-hidden": "true" });
  if (typeof url === "string" && url.startsWith(IMAGES)) {
    const image = node("img", { alt: "", loading: "lazy", decoding: "async", referrerpolicy: "no-referrer" });
    image.addEventListener("error", () => image.remove());
    image.src = url;
    box.append(image);
  }
  return box;
}

/** How old something is; `refreshAges` keeps it true. */
export function ageOf(at, attributes = {}) {
  return node("time", { ...attributes, datetime: at, "data-age": true, title: instant(at) }, age(at));
}

/** Brings all ages up to date. */
export function refreshAges() {
  for (const element of document.querySelectorAll("time[data-age]")) setText(element, age(element.dateTime));
}

/** Names a marketplace. */
export const chip = (market) => node("abbr", { class: "chip", title: shop(market) }, market);

/** A bar with its value from 0 to 100. */
export function meter(value, label) {
  return node("meter", { min: 0, max: 100, value: value ?? 0, "aria-label": label });
}

/** The class of an amount that is left: nothing left is neither good nor bad. */
export const gain = (amount) => (amount > 0 ? "good" : amount < 0 ? "bad" : "");
