// The list of opportunities: what is asked for stands in the address, what comes moves nothing that is looked at.

import { Failure, ask } from "./api.js";
import { ageOf, byId, chip, gain, link, node, picture, setText, shopLink } from "./dom.js";
import { age, fill, money, percent, shop, shortPercent, whole, wholePercent, word } from "./format.js";
import { run, say } from "./frame.js";
import { arrange, makeRow, paintRow } from "./table.js";
import { words } from "./words.js";

const NAMES = [
  "q", "min_margin", "min_profit", "min_roi", "min_buffer", "min_confidence", "trap", "without_traps", "source_market", "target_market",
  "asin", "brand", "category", "active", "sort", "limit", "cursor",
];
const DEFAULT_SORT = "-margin_percentage";
const DEFAULT_LIMIT = "50";
/** A change stays marked for this long. */
const MARKED_MS = 12_000;
/** So many rows that went away are looked up, to tell those that closed from those on another page. */
const MOST_LOOKED_UP = 10;
const TYPING_MS = 250;

const form = byId("filters");
const table = byId("opportunities");
const body = byId("rows");
const fresh = byId("fresh");
const range = form.elements.min_margin;
const sortChoice = byId("sort-choice");

/** What is asked, by the API's names. */
let view = read();
/** Cursors of the pages before this one, as far as they are known. */
let trail = history.state?.trail ?? [];
/** Rows by id: the item, its row, and until when it is marked. */
const shown = new Map();
/** The newest list while the reader looks at an older one. */
let waiting = null;
/** The question that the rows answer. */
let answered = null;
let nextCursor = null;
let facetsAt = 0;

function read() {
  const given = new URLSearchParams(location.search);
  return new Map(NAMES.filter((name) => given.get(name)).map((name) => [name, given.get(name)]));
}

/** The address of a view; what is the default stays out. */
function search() {
  const query = new URLSearchParams([...view].filter(([, value]) => value !== ""));
  const language = new URLSearchParams(location.search).get("lang");
  if (language) query.set("lang", language);
  return query.size > 0 ? `?${query}` : "";
}

function question() {
  const query = new URLSearchParams([...view]);
  if (!query.has("limit")) query.set("limit", DEFAULT_LIMIT);
  return `/opportunities?${query}`;
}

/** Takes over a change: another address, another question. */
function go(change, { replace = false, keepsPage = false } = {}) {
  change(view);
  if (!keepsPage) {
    view.delete("cursor");
    trail = [];
  }
  for (const [name, value] of [...view]) if (value === "") view.delete(name);
  history[replace ? "replaceState" : "pushState"]({ trail }, "", `${location.pathname}${search()}`);
  showView();
  byId("content").setAttribute("aria-busy", "true");
  refresh();
}

/** Shows the view in the controls. */
function showView() {
  for (const control of form.elements) {
    if (!control.name || control === range) continue;
    const value = view.get(control.name) ?? (control.name === "limit" ? DEFAULT_LIMIT : "");
    if (control.tagName === "SELECT" && value && ![...control.options].some((option) => option.value === value)) {
      control.add(new Option(value, value));
    }
    if (document.activeElement !== control || control.tagName === "SELECT") control.value = value;
  }
  range.value = view.get("min_margin") ?? range.min;
  showMargin();
  const sort = view.get("sort") ?? DEFAULT_SORT;
  for (const button of table.querySelectorAll("button[data-sort]")) {
    const isThis = sort.replace(/^-/, "") === button.dataset.sort;
    const heading = button.closest("th");
    if (isThis) heading.setAttribute("aria-sort", sort.startsWith("-") ? "descending" : "ascending");
    else heading.removeAttribute("aria-sort");
  }
  sortChoice.value = sort;
}

function showMargin() {
  const value = Number(range.value);
  setText(byId("margin-shown"), value > Number(range.min) ? fill(words.at_least, { value: percent(value) }) : words.any);
}

// Controls.

let typing = null;
function later(change) {
  clearTimeout(typing);
  typing = setTimeout(() => go(change, { replace: true }), TYPING_MS);
}

form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", (event) => {
  const control = event.target;
  if (control === range) {
    showMargin();
    const value = Number(range.value) > Number(range.min) ? range.value : "";
    later((view) => view.set("min_margin", value));
  } else if (control.tagName === "INPUT" && control.validity.valid) {
    const value = control.value.trim();
    later((view) => view.set(control.name, value));
  }
});
form.addEventListener("change", (event) => {
  const control = event.target;
  if (control.tagName !== "SELECT") return;
  const value = control.name === "limit" && control.value === DEFAULT_LIMIT ? "" : control.value;
  go((view) => view.set(control.name, value));
});
form.addEventListener("reset", (event) => {
  event.preventDefault();
  const sort = view.get("sort");
  for (const control of form.elements) if (control.tagName === "INPUT" && control !== range) control.value = "";
  go((view) => {
    view.clear();
    if (sort) view.set("sort", sort);
  });
});
table.tHead.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-sort]");
  if (!button) return;
  const now = button.closest("th").getAttribute("aria-sort");
  const isDescending = now ? now === "ascending" : button.dataset.first === "descending";
  const sort = `${isDescending ? "-" : ""}${button.dataset.sort}`;
  go((view) => view.set("sort", sort === DEFAULT_SORT ? "" : sort));
});
sortChoice.addEventListener("change", () => go((view) => view.set("sort", sortChoice.value === DEFAULT_SORT ? "" : sortChoice.value)));
byId("next").addEventListener("click", () => {
  if (nextCursor === null) return;
  trail = [...trail, view.get("cursor") ?? ""];
  go((view) => view.set("cursor", nextCursor), { keepsPage: true });
  table.scrollIntoView({ block: "start" });
});
byId("previous").addEventListener("click", () => {
  // A shared address of a later page tells nothing of those before it: then it goes to the first.
  const cursor = trail.at(-1) ?? "";
  trail = trail.slice(0, -1);
  go((view) => view.set("cursor", cursor), { keepsPage: true });
});
fresh.addEventListener("click", () => {
  const list = waiting;
  waiting = null;
  if (list) showRows(list, true);
  body.querySelector('[data-change="new"] a')?.focus({ preventScroll: true });
  table.scrollIntoView({ block: "start" });
});
window.addEventListener("popstate", (event) => {
  view = read();
  trail = event.state?.trail ?? [];
  showView();
  refresh();
});

for (const button of table.querySelectorAll("button[data-sort]")) {
  for (const sign of button.dataset.first === "descending" ? ["-", ""] : ["", "-"]) {
    sortChoice.add(new Option(`${button.textContent} ${sign ? "↓" : "↑"}`, `${sign}${button.dataset.sort}`));
  }
}

const more = byId("more");
more.addEventListener("click", () => {
  const isOpen = more.getAttribute("aria-expanded") !== "true";
  more.setAttribute("aria-expanded", isOpen);
  form.classList.toggle("open", isOpen);
});

// Rows.

const price = (market, amount, currency, euros) => {
  const local = node("span", { class: "price" }, money(amount, currency));
  return [chip(market), " ", local, ...(currency === "EUR" ? [] : [node("span", { class: "euros" }, money(euros, "EUR"))])];
};

const trapBadges = (item) => {
  if (item.traps === null) return [node("span", { class: "fine" }, words.not_assessed)];
  const confidence = node("span", { class: "confidence", title: words.confidence_means }, wholePercent(item.confidence));
  // The heaviest first.
  const reasons = [...new Set([...item.traps].sort((one, other) => other.weight - one.weight).map((trap) => trap.reason))];
  const badges = reasons.slice(0, 2).map((reason) => node("span", { class: "badge trap", title: word("trap_means", reason) }, word("trap", reason)));
  const rest = reasons.slice(2);
  if (rest.length > 0) {
    const names = rest.map((reason) => word("trap", reason)).join(", ");
    badges.push(node("span", { class: "badge trap", title: names }, `+${rest.length}`, node("span", { class: "hidden" }, ` ${names}`)));
  }
  return [confidence, node("span", { class: "badges" }, ...badges)];
};

const isOld = (item, market) => (item.traps ?? []).some((trap) => trap.reason === "stale_leg" && trap.market === market);

const leg = (item, market, name, observed) =>
  node(
    "span",
    { class: `leg${isOld(item, market) ? " old" : ""}`, title: isOld(item, market) ? words.trap_means_stale_leg : null },
    `${name} `,
    ageOf(observed),
    isOld(item, market) ? node("span", { class: "hidden" }, ` (${words.trap_stale_leg})`) : null,
  );

const painters = {
  picture: { heading: "", signature: (item) => item.image_url, paint: (item) => [picture(item.image_url)] },
  title: {
    heading: words.column_title,
    isHeader: true,
    signature: (item) => [item.title, item.brand],
    paint: (item) => [
      node("a", { class: "title", href: `/p/${item.asin}`, title: item.title ?? item.asin }, item.title ?? item.asin),
      node("span", { class: "brand-name" }, item.brand ?? ""),
      node("span", { class: "mark" }),
    ],
  },
  asin: { heading: words.column_asin, signature: (item) => item.asin, paint: (item) => [node("code", {}, item.asin)] },
  buy: {
    heading: words.column_buy,
    signature: (item) => [item.source_market, item.source_price, item.source_price_eur],
    paint: (item) => price(item.source_market, item.source_price, item.source_currency, item.source_price_eur),
  },
  sell: {
    heading: words.column_sell,
    signature: (item) => [item.target_market, item.target_price, item.target_price_eur],
    paint: (item) => price(item.target_market, item.target_price, item.target_currency, item.target_price_eur),
  },
  margin: { heading: words.column_margin, signature: (item) => item.margin, paint: (item) => [link(`/o/${item.id}`, money(item.margin, "EUR"))] },
  percent: { heading: words.column_percent, signature: (item) => item.margin_percentage, paint: (item) => [node("span", { title: percent(item.margin_percentage) }, shortPercent(item.margin_percentage))] },
  profit: {
    heading: words.column_profit,
    signature: (item) => item.profit,
    paint: (item) => {
      if (item.profit === null) return [node("span", { title: words.profit_unknown }, "–")];
      return [node("a", { href: `/o/${item.id}`, class: gain(item.profit) }, money(item.profit, "EUR"))];
    },
  },
  roi: { heading: words.column_roi, signature: (item) => item.roi_percentage, paint: (item) => [node("span", { title: percent(item.roi_percentage) }, shortPercent(item.roi_percentage))] },
  traps: { heading: words.column_traps, signature: (item) => [item.confidence, item.traps], paint: trapBadges },
  ages: {
    heading: words.column_ages,
    signature: (item) => [item.source_observed_at, item.target_observed_at, isOld(item, item.source_market), isOld(item, item.target_market)],
    paint: (item) => [leg(item, item.source_market, words.buy_leg, item.source_observed_at), leg(item, item.target_market, words.sell_leg, item.target_observed_at)],
  },
  links: {
    heading: words.column_links,
    signature: (item) => [item.buy_url, item.sell_url],
    paint: (item) => [
      shopLink(item.buy_url, item.source_market, `${item.source_market} ↗`),
      shopLink(item.sell_url, item.target_market, `${item.target_market} ↗`),
    ],
  },
};

/** Whether rows must stay where they are: the pointer or the focus is among them, or the reader has scrolled into them. */
function isLookedAt() {
  return body.matches(":hover") || body.contains(document.activeElement) || body.getBoundingClientRect().top < -40;
}

function mark(entry, change) {
  entry.row.dataset.change = change;
  entry.until = Date.now() + MARKED_MS;
  setText(entry.row.querySelector(".mark"), word("change", change));
}

function unmark(id, entry) {
  if (entry.row.dataset.change === "closed") {
    entry.row.remove();
    shown.delete(id);
  } else {
    delete entry.row.dataset.change;
    setText(entry.row.querySelector(".mark"), "");
  }
}

function clearMarks() {
  const now = Date.now();
  for (const [id, entry] of shown) {
    if (!entry.row.dataset.change || entry.until > now) continue;
    if (entry.row.dataset.change !== "closed" || !isLookedAt()) unmark(id, entry);
  }
}

/** To another question no row is new, better or closed. Rows that it has as well stay, and with them the focus. */
function dropMarks() {
  for (const [id, entry] of shown) if (entry.row.dataset.change) unmark(id, entry);
}

function entryOf(item, change) {
  const known = shown.get(item.id);
  if (!known) {
    const entry = { item, row: makeRow(painters, { "data-id": item.id }, item), until: 0 };
    shown.set(item.id, entry);
    if (change) mark(entry, "new");
    return entry;
  }
  const before = known.item;
  known.item = item;
  if (known.row.dataset.change === "closed") {
    mark(known, "new");
  } else if (change && item.margin_percentage > before.margin_percentage) {
    mark(known, "improved");
  }
  paintRow(painters, known.row, item);
  return known;
}

/** All rows of a list, in its order. Rows that closed stay where they were until their mark ends. */
function showRows(list, marks) {
  const before = [...body.children];
  const entries = list.items.map((item) => entryOf(item, marks));
  const rows = entries.map((entry) => entry.row);
  before.forEach((row, index) => {
    if (row.dataset.change === "closed" && !rows.includes(row)) rows.splice(Math.min(index, rows.length), 0, row);
  });
  const kept = new Set(rows);
  for (const [id, entry] of shown) if (!kept.has(entry.row)) shown.delete(id);
  arrange(body, rows);
  fresh.hidden = true;
}

/** What changed in rows that are there; none is moved. */
function updateRows(list) {
  let news = 0;
  for (const item of list.items) {
    if (shown.has(item.id)) entryOf(item, true);
    else news += 1;
  }
  waiting = list;
  const here = [...body.children].filter((row) => row.dataset.change !== "closed").map((row) => row.dataset.id);
  const isInOrder = here.length === list.items.length && list.items.every((item, index) => item.id === here[index]);
  fresh.hidden = isInOrder;
  setText(fresh, news === 0 ? words.reordered : fill(news === 1 ? words.one_new : words.some_new, { count: whole(news) }));
}

/** Marks rows that are no longer there because they closed; others are on another page now. */
async function markClosed(list) {
  const listed = new Set(list.items.map((item) => item.id));
  const gone = [...shown].filter(([id, entry]) => !listed.has(id) && entry.row.dataset.change !== "closed");
  const look = async ([id, entry]) => {
    const detail = await ask(`/opportunities/${id}`).catch((failure) => failure);
    if (detail instanceof Failure || detail.body.is_active || !shown.has(id)) return;
    paintRow(painters, entry.row, detail.body);
    mark(entry, "closed");
  };
  await Promise.all(gone.slice(0, MOST_LOOKED_UP).map(look));
}

// What else is shown.

function showMetrics(stats) {
  if (stats === null) return;
  const figures = {
    active: whole(stats.opportunities_active),
    best: shortPercent(stats.best_margin_percentage),
    mean: shortPercent(stats.average_margin_percentage),
    products: whole(stats.products_total),
    updated: stats.last_updated === null ? "–" : fill(words.ago, { age: age(stats.last_updated) }),
  };
  for (const [name, text] of Object.entries(figures)) setText(document.querySelector(`[data-metric="${name}"]`), text);
  for (const name of ["source_market", "target_market"]) {
    const select = form.elements[name];
    for (const market of Object.keys(stats.markets)) {
      const known = [...select.options].find((option) => option.value === market);
      const label = `${market} · ${shop(market)}`;
      if (!known) select.add(new Option(label, market, false, view.get(name) === market));
      else if (known.text !== label) known.text = label;
    }
  }
}

/** The names that the filters offer; they change slowly. */
async function showFacets() {
  if (Date.now() - facetsAt < 60_000) return;
  const facets = await ask("/opportunities/facets").catch((failure) => failure);
  if (facets instanceof Failure) return;
  facetsAt = Date.now();
  if (!facets.isNew && byId("brands").options.length > 0) return;
  byId("brands").replaceChildren(...facets.body.brands.map(({ name, count }) => node("option", { value: name }, `${name} (${whole(count)})`)));
  const select = form.elements.category;
  const chosen = view.get("category") ?? "";
  const options = facets.body.categories.map(({ name, count }) => new Option(`${name} (${whole(count)})`, name));
  select.replaceChildren(select.options[0], ...options);
  if (chosen && ![...select.options].some((option) => option.value === chosen)) select.add(new Option(chosen, chosen));
  select.value = chosen;
}

function showPages(list) {
  nextCursor = list.next_cursor;
  byId("next").disabled = nextCursor === null;
  byId("previous").disabled = !view.get("cursor");
  setText(byId("page"), !view.get("cursor") || trail.length > 0 ? fill(words.page, { page: whole(trail.length + 1) }) : words.later_page);
}

function sentence(list) {
  const total = `${list.total.relation === "gte" ? "≥ " : ""}${whole(list.total.value)}`;
  if (list.items.length === 0) {
    const isFiltered = [...view.keys()].some((name) => !["sort", "limit", "cursor"].includes(name));
    return [isFiltered ? words.empty_filtered : words.empty, list.notice].filter(Boolean).join(" ");
  }
  return [fill(words.count, { shown: whole(list.items.length), total }), list.notice].filter(Boolean).join(" ");
}

const refresh = run(async (isCurrent) => {
  const path = question();
  let answer;
  try {
    answer = await ask(path);
  } catch (failure) {
    if (failure.status === 400 && view.has("cursor")) {
      // The page it led to is of another question, or of an older program.
      go((view) => view.delete("cursor"), { replace: true });
      return { answers: [], show: () => ["loading", words.loading] };
    }
    throw failure;
  }
  if (isCurrent() && answered === path && answer.isNew) await markClosed(answer.body);
  if (isCurrent()) showFacets();
  return {
    answers: [answer],
    show: (stats) => {
      const list = answer.body;
      showMetrics(stats);
      clearMarks();
      if (answered !== path) {
        dropMarks();
        waiting = null;
        showRows(list, false);
      } else if (isLookedAt()) {
        if (answer.isNew) updateRows(list);
      } else {
        waiting = null;
        showRows(list, true);
      }
      answered = path;
      byId("content").removeAttribute("aria-busy");
      showPages(list);
      return [list.items.length === 0 && body.children.length === 0 ? "empty" : "ready", sentence(list)];
    },
  };
});

showView();
say("loading", words.loading);
