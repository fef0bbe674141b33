// How everything that runs is doing.

import { Failure, ask } from "./api.js";
import { ageOf, byId, chip, node, setText } from "./dom.js";
import { age, day, decimal, fill, instant, span, whole, word } from "./format.js";
import { run } from "./frame.js";
import { words } from "./words.js";

function component([name, { status, since, reason }]) {
  return node(
    "li",
    { "data-component": name, "data-status": status },
    node("span", { class: "dot", "aria-hidden": "true" }),
    node("strong", {}, word("component", name)),
    node("span", { class: "condition" }, word("condition", status)),
    since === null ? null : node("span", { class: "fine" }, `${words.since} ${instant(since)} (`, ageOf(since), ")"),
    reason === null ? null : node("p", { class: "reason", title: reason }, reason),
  );
}

function showHealth(health) {
  const whole = Object.entries(health.components);
  const order = ["down", "degraded", "up"];
  whole.sort(([a, { status: one }], [b, { status: other }]) => order.indexOf(one) - order.indexOf(other) || a.localeCompare(b));
  byId("components").replaceChildren(...whole.map(component));
}

function figure(name, value) {
  setText(document.querySelector(`[data-figure="${name}"]`), value);
}

function showFeed(stats) {
  const { feed } = stats;
  const groups = Object.entries(feed.lag ?? {});
  figure("lag", groups.length === 0 ? "–" : whole(groups.reduce((sum, [, lag]) => sum + lag, 0)));
  setText(byId("lag-groups"), groups.length === 0 ? words.lag_unknown : groups.map(([group, lag]) => `${group} ${whole(lag)}`).join(" · "));
  figure("dlq", whole(feed.dlq_total));
  setText(byId("dlq-of"), fill(words.dlq_of, { total: whole(feed.records_total) }));
  figure("tokens", whole(feed.tokens_left));
  figure("refill", feed.refill_rate === null ? "–" : fill(words.per_minute, { count: whole(feed.refill_rate) }));
  figure("oldest", feed.oldest_leg === null ? "–" : age(feed.oldest_leg));
  figure("data", stats.simulated ? words.data_simulated : words.data_real);
  setText(byId("data-means"), stats.simulated ? words.simulated_means : words.data_real_means);
}

function showRates(rates) {
  if (rates === null) {
    setText(byId("rates-of"), words.no_rates);
    return byId("rates-rows").replaceChildren();
  }
  const of = fill(words.rates_of, { origin: word("origin", rates.origin), date: day(rates.date) });
  setText(byId("rates-of"), rates.stale ? `${of} ${words.rates_stale}` : of);
  byId("rates-rows").replaceChildren(
    ...Object.entries(rates.rates).map(([currency, rate]) => node("tr", { "data-currency": currency }, node("th", { scope: "row" }, currency), node("td", { class: "number" }, decimal(rate)))),
  );
}

function showFreshness(markets) {
  byId("freshness-rows").replaceChildren(
    ...Object.entries(markets).map(([market, { products, last_updated: updated }]) =>
      node("tr", { "data-market": market }, node("th", { scope: "row" }, chip(market)), node("td", { class: "number" }, whole(products)), node("td", {}, updated === null ? "–" : ageOf(updated))),
    ),
  );
}

/** The last few runs of each job. */
const MOST_OF_A_JOB = 5;

function showRuns(runs) {
  const jobs = new Map();
  for (const one of runs) jobs.set(one.job, [...(jobs.get(one.job) ?? []), one]);
  const rows = [...jobs.keys()].sort().flatMap((job) =>
    jobs.get(job).slice(0, MOST_OF_A_JOB).map((one, index) => {
      const took = one.finished_at === null ? "–" : span((Date.parse(one.finished_at) - Date.parse(one.started_at)) / 1_000);
      return node(
        "tr",
        { "data-run": one.id, "data-status": one.status, class: index > 0 ? "earlier" : null },
        node("th", { scope: "row" }, index > 0 ? node("span", { class: "hidden" }, job) : job),
        node("td", { "data-label": words.run_status }, node("span", { class: `badge run-${one.status}` }, word("run", one.status))),
        node("td", { "data-label": words.run_started }, instant(one.started_at)),
        node("td", { class: "number", "data-label": words.run_took }, took),
        node("td", { class: "number", "data-label": words.run_attempts }, whole(one.attempts)),
        node("td", { class: "number", "data-label": words.run_products }, whole(one.products)),
        node("td", { class: "number", "data-label": words.run_tokens }, whole(one.tokens)),
        node("td", { class: "reason", "data-label": words.run_error }, one.error ?? ""),
      );
    }),
  );
  if (rows.length === 0) rows.push(node("tr", {}, node("td", { colspan: 8, class: "fine" }, words.no_runs)));
  byId("runs-rows").replaceChildren(...rows);
}

const marks = new Map();
function once(name, document, show) {
  const mark = JSON.stringify(document);
  if (marks.get(name) === mark) return;
  marks.set(name, mark);
  show(document);
}

run(async () => {
  const [health, runs, stats] = await Promise.all(["/health/live", "/runs?limit=200", "/stats"].map((path) => ask(path).catch((failure) => failure)));
  if (health instanceof Failure) throw health;
  return {
    answers: [runs, stats].filter((answer) => !(answer instanceof Failure)),
    show: () => {
      once("health", health.body.components, () => showHealth(health.body));
      if (!(stats instanceof Failure)) {
        showFeed(stats.body);
        once("rates", stats.body.exchange_rates, showRates);
        once("markets", stats.body.markets, showFreshness);
      }
      if (!(runs instanceof Failure)) once("runs", runs.body.items, showRuns);
      return ["ready", word("system", health.body.status)];
    },
  };
});
