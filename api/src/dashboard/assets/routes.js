// The matrix: bought in the row, sold in the column.

import { Failure, ask } from "./api.js";
import { byId, chip, node } from "./dom.js";
import { fill, percent, shop, whole } from "./format.js";
import { run } from "./frame.js";
import { words } from "./words.js";

/** How strong a cell is coloured: 0 to 4 by its share of the greatest number. */
const strength = (count, greatest) => (count === 0 ? 0 : Math.max(1, Math.ceil((4 * count) / greatest)));

function cell(route, greatest) {
  const name = `${route.source_market}:${route.target_market}`;
  if (route.opportunities === 0) return node("td", { "data-route": name, "data-strength": 0 }, node("span", { class: "fine" }, words.no_gaps));
  const label = fill(words.route_label, { source: shop(route.source_market), target: shop(route.target_market), count: whole(route.opportunities) });
  return node(
    "td",
    { "data-route": name, "data-strength": strength(route.opportunities, greatest) },
    node(
      "a",
      { href: `/?source_market=${route.source_market}&target_market=${route.target_market}` },
      node("span", { class: "hidden" }, `${label}, `),
      node("strong", { "aria-hidden": "true" }, whole(route.opportunities)),
      node("span", {}, fill(words.best_of, { percent: percent(route.best_margin_percentage) })),
      node("span", {}, fill(words.mean_of, { percent: percent(route.average_margin_percentage) })),
    ),
  );
}

function showMatrix(routes) {
  const sources = [...new Set(routes.map((route) => route.source_market))];
  const targets = [...new Set(routes.map((route) => route.target_market))];
  const markets = [...new Set([...sources, ...targets])];
  const greatest = Math.max(1, ...routes.map((route) => route.opportunities));
  const heading = (market, scope) => node("th", { scope }, chip(market), node("span", { class: "fine shop" }, ` ${shop(market)}`));
  byId("matrix-head").replaceChildren(node("tr", {}, node("th", { scope: "col", class: "corner" }, words.matrix_corner), ...markets.map((market) => heading(market, "col"))));
  const rows = markets.map((source) =>
    node(
      "tr",
      {},
      heading(source, "row"),
      ...markets.map((target) => {
        const route = routes.find((route) => route.source_market === source && route.target_market === target);
        return route ? cell(route, greatest) : node("td", { class: "same", "aria-label": words.same_market });
      }),
    ),
  );
  byId("matrix-rows").replaceChildren(...rows);
}

let painted = null;

run(async () => {
  const stats = await ask("/stats").catch((failure) => failure);
  if (stats instanceof Failure) throw stats;
  return {
    answers: [stats],
    show: () => {
      const routes = stats.body.routes;
      const mark = JSON.stringify(routes);
      const focused = document.activeElement?.closest?.("[data-route]")?.dataset.route;
      if (mark !== painted) {
        painted = mark;
        showMatrix(routes);
        if (focused) document.querySelector(`[data-route="${focused}"] a`)?.focus({ preventScroll: true });
      }
      const count = stats.body.opportunities_active;
      if (count === 0) return ["empty", words.empty];
      const used = routes.filter((route) => route.opportunities > 0).length;
      return ["ready", fill(words.routes_ready, { count: whole(count), used: whole(used), routes: whole(routes.length) })];
    },
  };
});
