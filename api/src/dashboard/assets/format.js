// Amounts, numbers and times as the reader writes them. Nothing is computed with money here.

import { words } from "./words.js";

const page = document.documentElement.lang;
/** The reader's own variety of the page's language: `en-GB` writes dates in another way than `en-US`. */
const locale = navigator.languages.find((language) => language.split("-")[0] === page) ?? page;

const formats = new Map();
const currencies = new Map();
function format(name, options) {
  if (!formats.has(name)) formats.set(name, new Intl.NumberFormat(locale, options));
  return formats.get(name);
}

/** A text with `{name}` replaced by the values. */
export const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

/** What is not known. */
export const NONE = "–";

const isNone = (value) => value === null || value === undefined;

export function money(amount, currency) {
  if (isNone(amount)) return NONE;
  if (!currencies.has(currency)) currencies.set(currency, new Intl.NumberFormat(locale, { style: "currency", currency }));
  return currencies.get(currency).format(amount);
}

/** With a sign, also above zero. */
export function signed(amount, currency) {
  if (isNone(amount)) return NONE;
  const name = `+${currency}`;
  if (!currencies.has(name)) currencies.set(name, new Intl.NumberFormat(locale, { style: "currency", currency, signDisplay: "exceptZero" }));
  return currencies.get(name).format(amount);
}

/** A number that is percent already. */
export const percent = (value) =>
  isNone(value) ? NONE : format("percent", { style: "unit", unit: "percent", minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(value);

/** The same where room is scarce: what is large has no decimals, what is huge is rounded. */
export function shortPercent(value) {
  if (isNone(value) || Math.abs(value) < 1_000) return percent(value);
  if (Math.abs(value) < 100_000) return wholePercent(value);
  return format("huge percent", { style: "unit", unit: "percent", notation: "compact", maximumFractionDigits: 0 }).format(value);
}

/** Without decimals. */
export const wholePercent = (value) =>
  isNone(value) ? NONE : format("whole percent", { style: "unit", unit: "percent", maximumFractionDigits: 0 }).format(value);

export const whole = (value) => (isNone(value) ? NONE : format("whole", { maximumFractionDigits: 0 }).format(value));

export const decimal = (value) => (isNone(value) ? NONE : format("decimal", { maximumFractionDigits: 6 }).format(value));

/** A share of one, as percent with as many decimals as it has. */
export const share = (value) => (isNone(value) ? NONE : format("share", { style: "percent", maximumFractionDigits: 2 }).format(value));

const date = new Intl.DateTimeFormat(locale, { dateStyle: "medium" });
const dateTime = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
const clock = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });

/** A day, `2026-01-09`. */
export const day = (text) => (isNone(text) ? NONE : date.format(new Date(`${text}T12:00:00`)));
export const instant = (text) => (isNone(text) ? NONE : dateTime.format(new Date(text)));
export const time = (millis) => clock.format(new Date(millis));

function unit(value, name) {
  return format(name, { style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: 0 }).format(value);
}

/** How long something is, in its greatest unit. */
export function span(seconds) {
  const length = Math.max(0, seconds);
  if (length < 90) return unit(Math.round(length), "second");
  if (length < 5_400) return unit(Math.round(length / 60), "minute");
  if (length < 129_600) return unit(Math.round(length / 3_600), "hour");
  return unit(Math.round(length / 86_400), "day");
}

/** How old something is, in words: `3 min`. */
export const age = (text) => span((Date.now() - Date.parse(text)) / 1_000);

/** Shop names: `amazon.de`. */
const SHOPS = {
  DE: "amazon.de", FR: "amazon.fr", IT: "amazon.it", ES: "amazon.es", UK: "amazon.co.uk", US: "amazon.com", CA: "amazon.ca",
  JP: "amazon.co.jp", IN: "amazon.in", MX: "amazon.com.mx", BR: "amazon.com.br",
};
export const shop = (market) => SHOPS[market] ?? market;

/** A word that belongs to a code of the API, else the code itself. */
export const word = (prefix, code) => words[`${prefix}_${String(code).toLowerCase()}`] ?? code;
