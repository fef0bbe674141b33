// One article: every marketplace side by side, its prices over time, its routes.

import { Failure, ask } from "./api.js";
import { chart } from "./chart.js";
import { ageOf, byId, chip, gain, link, node, picture, setText, shopLink } from "./dom.js";
import { fill, money, percent, shop, whole, wholePercent, word } from "./format.js";
import { run } from "./frame.js";
import { words } from "./words.js";

const asin = byId("article").dataset.asin;
const drawing = chart();

function showHead(product) {
  const title = product.title ?? product.asin;
  setText(byId("title"), title);
  document.title = title;
  setText(byId("about"), [product.brand, product.category, product.asin].filter(Boolean).join(" · "));
  const shops = Object.entries(product.amazon_urls).flatMap(([market, url]) => [shopLink(url, market, `${shop(market)} ↗`), " "]);
  byId("shops").replaceChildren(...shops);
  const box = byId("picture");
  if (box.dataset.url !== String(product.image_url)) {
    box.dataset.url = String(product.image_url);
    box.replaceChildren(picture(product.image_url));
  }
}

const local = (amount, currency) => (amount === null || amount === undefined || !currency ? "–" : money(amount, currency));

const between = (low, high, currency) => (typeof low === "number" ? [local(low, currency), small(`– ${local(high, currency)}`)] : ["–"]);

const small = (text) => node("span", { class: "euros" }, text);

/** The columns of the markets' table: heading, and what stands in it for one marketplace. */
const COLUMNS = [
  [words.price, ({ price }) => (price ? [node("strong", {}, money(price.amount, price.currency)), price.currency === "EUR" ? null : small(money(price.amount_eur, "EUR")), small(word("kind", price.kind))] : [node("span", { class: "fine" }, words.no_price)])],
  [words.observed, ({ price }) => (price ? [ageOf(price.observed_at)] : ["–"])],
  [words.availability, ({ competition }) => [competition?.amazon_in_stock === true ? words.amazon_in : competition?.amazon_in_stock === false ? words.amazon_out : "–"]],
  [words.rank, ({ competition, rank }) => [
    rank ? node("span", { title: competition?.sales_rank_category ?? null }, `#${whole(rank)}`) : "–",
    competition?.monthly_sold ? small(fill(words.sold_a_month, { count: whole(competition.monthly_sold) })) : null,
  ]],
  [words.offers, ({ competition }) => [whole(competition?.offers_new), typeof competition?.offers_fba === "number" ? small(fill(words.of_them_fba, { count: whole(competition.offers_fba) })) : null]],
  [words.box_holder, ({ competition }) => {
    const [first] = competition?.sellers ?? [];
    return first ? [first.is_amazon ? "Amazon" : node("code", {}, first.seller_id), small(wholePercent(first.buy_box_percentage))] : ["–"];
  }],
  [words.means, ({ statistics, currency }) => [local(statistics?.avg30, currency), small(local(statistics?.avg90, currency))]],
  [words.range90, ({ statistics, currency }) => between(...(statistics?.history ? [statistics.history.p10, statistics.history.p90] : [statistics?.min, statistics?.max]), currency)],
  [words.out_of_stock, ({ statistics }) => [wholePercent(statistics?.out_of_stock_percentage_90)]],
  [words.trend, ({ statistics }) => [percent(statistics?.history?.robust_trend_percentage_per_30_days)]],
  [words.market_score, ({ competition }) => [wholePercent(competition?.score?.value)]],
];

function showMarkets(product) {
  const markets = Object.keys(product.amazon_urls);
  byId("markets-head").replaceChildren(node("th", { scope: "col" }, words.market), ...COLUMNS.map(([name], index) => node("th", { scope: "col", class: index === 0 || index > 2 ? "number" : null }, name)));
  const rows = markets.map((market) => {
    const price = product.current_prices[market];
    const facts = {
      price,
      competition: product.competition[market],
      statistics: product.price_statistics[market],
      currency: price?.currency,
      rank: product.sales_rank[market],
    };
    const cells = COLUMNS.map(([name, paint], index) => node("td", { "data-label": name, class: index === 0 || index > 2 ? "number" : null }, ...paint(facts).filter((child) => child !== null)));
    return node("tr", { "data-market": market }, node("th", { scope: "row" }, chip(market), " ", shopLink(product.amazon_urls[market], market, shop(market))), ...cells);
  });
  byId("markets-rows").replaceChildren(...rows);
}

function routeRow(item) {
  const traps = [...new Set((item.traps ?? []).map((trap) => trap.reason))];
  const confidence = item.confidence === null ? null : node("span", { class: "confidence", title: words.confidence_means }, `${wholePercent(item.confidence)} `);
  const cell = (label, ...children) => node("td", { "data-label": label, class: "number" }, ...children);
  return node(
    "tr",
    { "data-route": `${item.source_market}:${item.target_market}`, "data-active": item.is_active, class: item.is_active ? null : "inactive" },
    node("th", { scope: "row" }, link(`/o/${item.id}`, `${item.source_market} → ${item.target_market}`)),
    cell(words.column_buy, money(item.source_price, item.source_currency)),
    cell(words.column_sell, money(item.target_price, item.target_currency)),
    cell(words.column_margin, money(item.margin, "EUR")),
    cell(words.column_percent, percent(item.margin_percentage)),
    node("td", { "data-label": words.column_profit, class: `number ${gain(item.profit)}` }, money(item.profit, "EUR")),
    cell(words.column_roi, percent(item.roi_percentage)),
    node("td", { "data-label": words.column_traps }, confidence, ...traps.map((reason) => node("span", { class: "badge trap", title: word("trap_means", reason) }, word("trap", reason)))),
    node("td", { "data-label": words.standing }, item.is_active ? words.open : word("closed", item.closed_reason)),
  );
}

function showRoutes(open, closed) {
  const rows = [...open.items, ...closed.items].map(routeRow);
  if (rows.length === 0) rows.push(node("tr", {}, node("td", { colspan: 9, class: "fine" }, words.no_routes)));
  byId("routes-rows").replaceChildren(...rows);
}

const marks = new Map();
function once(name, document, show) {
  const mark = JSON.stringify(document);
  if (marks.get(name) === mark) return;
  marks.set(name, mark);
  show();
}

run(async () => {
  const [product, open, closed, history] = await Promise.all([
    ask(`/products/${asin}`),
    ask(`/opportunities?asin=${asin}&limit=100`),
    ask(`/opportunities?asin=${asin}&active=false&limit=100`),
    ask(`/products/${asin}/history`).catch((failure) => failure),
  ]);
  return {
    answers: [product, open, closed],
    show: () => {
      once("product", product.body, () => {
        showHead(product.body);
        showMarkets(product.body);
      });
      once("routes", [open.body, closed.body], () => showRoutes(open.body, closed.body));
      if (!(history instanceof Failure)) drawing.show(history.body);
      else drawing.show({ markets: {} });
      const prices = Object.keys(product.body.current_prices).length;
      return ["ready", fill(words.product_ready, { prices: whole(prices), routes: whole(open.body.items.length) })];
    },
  };
});
