"use strict";

// Asks the public API every few seconds and shows what it says. All text goes in as text, never as markup.

const EVERY_MS = 5000;
const IMAGE_HOSTS = ["m.media-amazon.com", "images-na.ssl-images-amazon.com"];
const element = (id) => document.getElementById(id);
const filters = element("filters");
const language = navigator.language || "en";
const percent = new Intl.NumberFormat(language, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const whole = new Intl.NumberFormat(language);
let shown = new Map();
let timer = null;
let latest = 0;

const money = (amount, currency) => new Intl.NumberFormat(language, { style: "currency", currency }).format(amount);

function age(instant) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(instant)) / 1000));
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} d ago`;
}

function node(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function link(url, text) {
  const made = node("a", "", text);
  if (/^https:\/\/www\.amazon\./.test(url)) {
    made.href = url;
    made.rel = "noopener noreferrer";
    made.target = "_blank";
  }
  return made;
}

function picture(url) {
  const cell = node("td", "picture");
  const placeholder = () => cell.replaceChildren(node("span"));
  let host = "";
  try { host = new URL(url).host; } catch { /* no image, or none that may be shown */ }
  if (!IMAGE_HOSTS.includes(host)) {
    placeholder();
    return cell;
  }
  const image = node("img");
  image.alt = "";
  image.loading = "lazy";
  image.addEventListener("error", placeholder);
  image.src = url;
  cell.append(image);
  return cell;
}

function price(market, url, amount, currency, euros) {
  const cell = node("td", "price");
  cell.append(link(url, market), " ", money(amount, currency));
  if (currency !== "EUR") cell.append(node("div", "detail", money(euros, "EUR")));
  return cell;
}

function row(item, isNew) {
  const line = node("tr", isNew ? "fresh" : "");
  const product = node("td", "product");
  product.append(node("div", "title", item.title || item.asin), node("div", "detail", [item.brand, item.asin].filter(Boolean).join(" · ")));
  const margin = node("td", "number");
  margin.append(node("div", "gain", `${percent.format(item.margin_percentage)} %`), node("div", "detail", money(item.margin, "EUR")));
  const seen = node("td", "detail");
  seen.append(node("div", "", `buy ${age(item.source_observed_at)}`), node("div", "", `sell ${age(item.target_observed_at)}`));
  line.append(
    picture(item.image_url),
    product,
    price(item.source_market, item.buy_url, item.source_price, item.source_currency, item.source_price_eur),
    price(item.target_market, item.sell_url, item.target_price, item.target_currency, item.target_price_eur),
    margin,
    seen,
  );
  return line;
}

async function ask(path) {
  const response = await fetch(path, { headers: { accept: "application/json" } });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail || `the API answers ${response.status}`);
  return { body, isStale: (response.headers.get("warning") || "").startsWith("110") };
}

function showFigures(stats) {
  element("simulated").hidden = !stats.simulated;
  element("figure-active").textContent = whole.format(stats.opportunities_active);
  element("figure-best").textContent = stats.best_margin_percentage === null ? "–" : `${percent.format(stats.best_margin_percentage)} %`;
  element("figure-mean").textContent = stats.average_margin_percentage === null ? "–" : `${percent.format(stats.average_margin_percentage)} %`;
  element("figure-products").textContent = whole.format(stats.products_total);
  element("figure-updated").textContent = stats.last_updated === null ? "–" : age(stats.last_updated);
  for (const select of [filters.elements.source_market, filters.elements.target_market]) {
    const known = new Set([...select.options].map((option) => option.value));
    for (const market of Object.keys(stats.markets)) {
      if (!known.has(market)) select.add(new Option(market, market));
    }
  }
}

function showRows(list, isFirst) {
  const before = shown;
  shown = new Map(list.items.map((item) => [item.id, item.margin_percentage]));
  element("rows").replaceChildren(...list.items.map((item) => row(item, !isFirst && before.get(item.id) !== item.margin_percentage)));
  element("empty").hidden = list.items.length > 0;
  const total = `${list.total.relation === "gte" ? "more than " : ""}${whole.format(list.total.value)}`;
  element("state").textContent = `${whole.format(list.items.length)} of ${total}, as of ${new Date().toLocaleTimeString(language)}`;
}

function showNotice(text) {
  element("notice").textContent = text;
  element("notice").hidden = !text;
}

async function refresh(isFirst) {
  clearTimeout(timer);
  const turn = ++latest;
  const query = new URLSearchParams([...new FormData(filters)].filter(([, value]) => value !== ""));
  try {
    const [stats, list] = await Promise.all([ask("stats"), ask(`opportunities?${query}`)]);
    if (turn !== latest) return;
    showFigures(stats.body);
    showRows(list.body, isFirst);
    const stale = stats.isStale || list.isStale ? "The catalog is away: these are the last known numbers." : "";
    showNotice([stale, list.body.notice].filter(Boolean).join(" "));
  } catch (error) {
    if (turn !== latest) return;
    showNotice(`Cannot be refreshed: ${error.message}. Trying again.`);
    element("state").textContent = "not up to date";
  }
  timer = setTimeout(() => refresh(false), EVERY_MS);
}

filters.addEventListener("input", () => refresh(true));
filters.addEventListener("submit", (event) => event.preventDefault());
refresh(true);
