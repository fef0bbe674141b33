// One opportunity: both legs, every line between the gap and the profit, what speaks against it, and the score.

import { Failure, ask } from "./api.js";
import { ageOf, byId, chip, gain, link, meter, node, picture, setText, shopLink } from "./dom.js";
import { day, decimal, fill, instant, money, percent, share, shop, signed, whole, wholePercent, word } from "./format.js";
import { run } from "./frame.js";
import { words } from "./words.js";

const page = byId("opportunity");
const id = page.dataset.id;
const asin = id.split(":")[0];

/** Lines whose rate is units of a currency per euro; all others are shares. */
const EXCHANGES = ["purchase_cost_eur", "proceeds_eur"];

const figure = (name, value, detail, kind) =>
  node("div", { class: kind ?? null }, node("dt", {}, name), node("dd", {}, value), detail ? node("dd", { class: "fine" }, detail) : null);

function showHead(item) {
  const title = item.title ?? item.asin;
  setText(byId("title"), title);
  document.title = `${item.source_market} → ${item.target_market} · ${title}`;
  setText(byId("brand"), item.brand ? `${item.brand} ·` : "");
  const standing = item.is_active ? fill(words.open_since, { time: instant(item.opened_at) }) : fill(words.closed_because, { reason: word("closed", item.closed_reason) });
  setText(byId("standing"), standing);
  const box = byId("picture");
  if (box.dataset.url !== String(item.image_url)) {
    box.dataset.url = String(item.image_url);
    box.replaceChildren(picture(item.image_url));
  }
}

function showFigures(item) {
  const ledger = item.ledger;
  byId("figures").replaceChildren(
    figure(words.gap, money(item.margin, "EUR"), fill(words.of_price, { percent: percent(item.margin_percentage) })),
    figure(words.column_profit, money(item.profit, "EUR"), item.profit === null ? words.profit_unknown : words.profit_means, gain(item.profit)),
    figure(words.column_roi, percent(item.roi_percentage), ledger ? fill(words.of_capital, { amount: money(ledger.capital, "EUR") }) : null, gain(item.roi_percentage)),
    figure(words.break_even, ledger ? money(ledger.break_even_price, item.target_currency) : "–", words.break_even_means),
    figure(words.buffer, percent(item.buffer_percentage), words.buffer_means, gain(item.buffer_percentage)),
    figure(words.max_purchase, ledger ? money(ledger.max_purchase_price, item.source_currency) : "–", words.max_purchase_means),
    figure(words.confidence, wholePercent(item.confidence), words.confidence_means),
  );
}

function legCard(name, market, amount, currency, euros, observed, url) {
  return node(
    "div",
    { class: "leg-card" },
    node("h3", {}, `${name} `, chip(market), ` ${shop(market)}`),
    node("p", { class: "leg-price" }, money(amount, currency), currency === "EUR" ? null : node("span", { class: "euros" }, money(euros, "EUR"))),
    node("p", { class: "fine" }, `${words.observed} `, ageOf(observed), ` ${words.ago_word} · `, shopLink(url, market, `${words.open_at_amazon} ↗`)),
  );
}

function showLegs(item) {
  byId("legs").replaceChildren(
    legCard(words.buy_leg, item.source_market, item.source_price, item.source_currency, item.source_price_eur, item.source_observed_at, item.buy_url),
    legCard(words.sell_leg, item.target_market, item.target_price, item.target_currency, item.target_price_eur, item.target_observed_at, item.sell_url),
  );
}

function rateOf(line) {
  if (line.rate === null) return "";
  if (EXCHANGES.includes(line.name)) return fill(words.per_euro, { rate: decimal(line.rate) });
  return share(line.rate);
}

/** The amount as it changes the profit: what goes out with a minus. */
function amountOf(line) {
  if (line.effect === "note") return "";
  if (line.effect === "sum") return money(line.amount, line.currency);
  const out = line.effect === "subtracts" && line.amount !== 0;
  return signed(out ? -line.amount : line.amount, line.currency);
}

function lineRow(line) {
  const note = line.note === null ? null : node("span", { class: "fine note" }, words[`note_${slug(line.note)}`] ?? line.note);
  if (line.effect === "note") {
    return node("tr", { "data-line": line.name, "data-effect": "note" }, node("th", { scope: "row", colspan: 5 }, `⚠ ${words.line_warning}: `, note));
  }
  // A sum has no source of its own.
  const isSum = line.effect === "sum" && !EXCHANGES.includes(line.name);
  const assumed = line.assumed && !isSum ? node("span", { class: "badge assumed", title: words.assumed_means }, words.assumed) : null;
  return node(
    "tr",
    { "data-line": line.name, "data-effect": line.effect, "data-assumed": line.assumed, class: line.effect === "sum" ? "sum" : null },
    node("th", { scope: "row" }, line.effect === "sum" ? "= " : "", word("line", line.name), note ? node("br") : null, note),
    node("td", { class: "number", "data-label": words.amount }, amountOf(line)),
    node("td", { class: "number", "data-label": words.rate }, rateOf(line)),
    node("td", { class: "source", "data-label": words.line_origin }, isSum || line.source === "computed" ? "" : word("origin", line.source), " ", assumed),
    node("td", { "data-label": words.as_of }, line.date === null || isSum ? "" : day(line.date)),
  );
}

/** A note's first words as a name. */
const slug = (note) => note.toLowerCase().replace(/[^a-z]+/g, "_").split("_").slice(0, 4).join("_").replace(/_$/, "");

function showLedger(item) {
  const ledger = item.ledger;
  const means = ledger === null
    ? words.no_ledger
    : fill(words.ledger_means, { margin: money(item.margin, "EUR"), profit: money(ledger.profit, "EUR"), regime: word("regime", ledger.regime) });
  const isRegimeAssumed = ledger?.lines.some((line) => line.name === "purchase_cost" && line.assumed);
  setText(byId("ledger-means"), isRegimeAssumed ? `${means} ${words.regime_assumed}` : means);
  byId("lines").replaceChildren(...(ledger?.lines ?? []).map(lineRow));
  byId("ledger").hidden = ledger === null;
}

/** What was measured, where the product tells: the number behind a reason. */
function evidence(trap, item, product) {
  const market = trap.market ?? item.target_market;
  const competition = product?.competition?.[market];
  const statistics = product?.price_statistics?.[market];
  const price = product?.current_prices?.[market];
  const history = statistics?.history;
  switch (trap.reason) {
    case "price_outlier":
      return history && price
        ? fill(words.evidence_price_outlier, { price: money(price.amount, price.currency), low: money(history.p1, price.currency), high: money(history.p99, price.currency) })
        : null;
    case "box_held_by_one": {
      const [first] = competition?.sellers ?? [];
      return first ? fill(words.evidence_box_held_by_one, { seller: first.is_amazon ? "Amazon" : first.seller_id, share: percent(first.buy_box_percentage) }) : null;
    }
    case "often_out_of_stock": {
      const out = statistics?.out_of_stock_percentage_90;
      return typeof out === "number" ? fill(words.evidence_often_out_of_stock, { share: wholePercent(out) }) : null;
    }
    case "offer_flood":
      return typeof competition?.offers_new === "number" ? fill(words.evidence_offer_flood, { count: whole(competition.offers_new) }) : null;
    case "stale_leg": {
      const observed = market === item.source_market ? item.source_observed_at : item.target_observed_at;
      return fill(words.evidence_stale_leg, { time: instant(observed) });
    }
    default:
      return null;
  }
}

function trapItem(trap, item, product) {
  const where = trap.market === null ? "" : ` · ${trap.market}`;
  const found = evidence(trap, item, product);
  return node(
    "li",
    { "data-trap": trap.reason },
    node("span", { class: "badge trap" }, word("trap", trap.reason), where),
    node("span", { class: "takes" }, fill(words.takes, { weight: wholePercent(trap.weight) })),
    node("p", {}, word("trap_means", trap.reason), found ? ` ${found}` : null),
  );
}

function showTrust(item, product) {
  if (item.traps === null) return byId("trust").replaceChildren(node("p", {}, words.not_assessed));
  const found = item.traps.length === 0 ? node("p", {}, words.no_traps) : node("ul", { class: "traps" }, ...item.traps.map((trap) => trapItem(trap, item, product)));
  const unchecked = item.unchecked.map((reason) => word("trap", reason)).join(", ");
  byId("trust").replaceChildren(
    node("p", { class: "confidence-line" }, meter(item.confidence, words.confidence), " ", node("strong", {}, percent(item.confidence)), ` ${words.confidence}`),
    found,
    node("p", { class: "fine" }, unchecked ? fill(words.unchecked, { reasons: unchecked }) : words.all_checked),
  );
}

function factor(name, value, means) {
  return node("tr", {}, node("th", { scope: "row" }, name, node("span", { class: "fine note" }, means)), node("td", {}, meter(value, name)), node("td", { class: "number" }, value === null || value === undefined ? words.not_known_50 : wholePercent(value)));
}

function showScore(item, product) {
  const score = item.score;
  if (score === null) return byId("score").replaceChildren(node("p", {}, words.no_score));
  const market = product?.competition?.[item.target_market]?.score;
  const rows = [
    factor(words.score_market, score.market, words.score_market_means),
    ...(market
      ? ["demand", "openness", "room", "stability", "availability"].map((name) => {
          const row = factor(word("score", name), market[name], word("score_means", name));
          row.className = "inner";
          return row;
        })
      : []),
    factor(words.score_safety, score.safety, words.score_safety_means),
    factor(words.score_cheapness, score.cheapness, words.score_cheapness_means),
    factor(words.confidence, score.confidence, words.score_confidence_means),
  ];
  byId("score").replaceChildren(
    node("p", { class: "confidence-line" }, meter(score.value, words.score), " ", node("strong", {}, decimal(score.value)), ` ${words.of_100}`),
    node("table", { class: "factors" }, node("caption", { class: "fine" }, words.score_means), node("tbody", {}, ...rows)),
  );
}

function showOthers(item) {
  const others = item.alternatives;
  if (others.length === 0) return byId("others").replaceChildren(node("p", { class: "fine" }, words.no_other_routes));
  const rows = others.map((other) =>
    node(
      "tr",
      {},
      node("th", { scope: "row" }, link(`/o/${other.id}`, `${other.source_market} → ${other.target_market}`)),
      node("td", { class: "number" }, money(other.margin, "EUR")),
      node("td", { class: `number ${gain(other.profit)}` }, money(other.profit, "EUR")),
      node("td", { class: "number" }, percent(other.roi_percentage)),
    ),
  );
  const head = [words.column_route, words.column_margin, words.column_profit, words.column_roi].map((name, index) => node("th", { scope: "col", class: index > 0 ? "number" : null }, name));
  byId("others").replaceChildren(node("table", { class: "grid" }, node("caption", { class: "hidden" }, words.other_routes), node("thead", {}, node("tr", {}, ...head)), node("tbody", {}, ...rows)));
}

let painted = null;

run(async () => {
  const [answer, product] = await Promise.all([ask(`/opportunities/${id}`), ask(`/products/${asin}`).catch((failure) => failure)]);
  return {
    answers: [answer],
    show: () => {
      const item = answer.body;
      const article = product instanceof Failure ? null : product.body;
      const mark = JSON.stringify([item, article?.revision]);
      if (mark !== painted) {
        painted = mark;
        showHead(item);
        showFigures(item);
        showLegs(item);
        showLedger(item);
        showTrust(item, article);
        showScore(item, article);
        showOthers(item);
      }
      return ["ready", item.is_active ? words.one_ready : words.one_closed];
    },
  };
});
