// Prices of all marketplaces over time, drawn by Plotly from what the API says.

import { byId, setText } from "./dom.js";
import { fill, money, shop } from "./format.js";
import { words } from "./words.js";

const DAY_MS = 86_400_000;
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];

/** Waits for Plotly, which comes after everything else. */
function plotly() {
  if (window.Plotly) return Promise.resolve(window.Plotly);
  return new Promise((resolve, reject) => {
    const script = byId("plotly");
    script.addEventListener("load", () => resolve(window.Plotly));
    script.addEventListener("error", () => reject(new Error("plotly")));
  });
}

/** A colour of the stylesheet as it is now: the palette has two values for each name. */
function style(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  byId("chart").parentElement.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

/** Names of months and days, and how numbers are written, in the page's language. */
function inOurLanguage(library) {
  const name = document.documentElement.lang;
  if (name === "en") return library;
  const month = (style) => Array.from({ length: 12 }, (_, index) => new Date(2026, index, 1).toLocaleDateString(name, { month: style }));
  // The first of February 2026 is a Sunday.
  const weekday = (style) => Array.from({ length: 7 }, (_, index) => new Date(2026, 1, 1 + index).toLocaleDateString(name, { weekday: style }));
  const format = { months: month("long"), shortMonths: month("short"), days: weekday("long"), shortDays: weekday("short"), date: "%d.%m.%Y", decimal: ",", thousands: "." };
  library.register({ moduleType: "locale", name, dictionary: {}, format });
  return library;
}

/** When the first price is from. */
const earliest = (history) => Object.values(history?.markets ?? {}).map((series) => series.points[0]?.at).filter(Boolean).sort()[0];

/** A marketplace's prices as steps: each holds until the next, and a gap is time without an offer. */
function trace([market, series], index) {
  const points = series.points.filter((point) => point.amount === null || point.amount_eur !== null);
  return {
    type: "scatter",
    mode: "lines",
    name: `${market} · ${shop(market)}`,
    x: points.map((point) => point.at),
    y: points.map((point) => point.amount_eur),
    text: points.map((point) => (point.amount === null ? "" : money(point.amount, series.currency))),
    hovertemplate: "%{text}<extra>%{fullData.name}</extra>",
    line: { shape: "hv", width: 2, dash: DASHES[Math.floor(index / 6) % DASHES.length], color: style(`--series-${(index % 6) + 1}`) },
    connectgaps: false,
  };
}

function layout(range) {
  const ink = style("--ink");
  const line = style("--line");
  const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, tickfont: { color: style("--soft") } };
  return {
    margin: { l: 64, r: 12, t: 8, b: 36 },
    height: 380,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: ink },
    hovermode: "x unified",
    hoverlabel: { bgcolor: style("--card"), bordercolor: line, font: { color: ink } },
    showlegend: true,
    legend: { orientation: "h", y: -0.14, font: { color: ink } },
    xaxis: { ...axis, type: "date", ...(range ? { range } : { autorange: true }) },
    yaxis: { ...axis, ...(document.documentElement.lang === "en" ? { tickprefix: "€" } : { ticksuffix: " €" }) },
    dragmode: "zoom",
  };
}

/** A chart in `#chart` with the controls of `#range`; `show` draws what the API says of an article's history. */
export function chart() {
  const place = byId("chart");
  const controls = byId("range");
  let library = null;
  let drawn = null;
  let history = null;
  let range = null;
  /** Grows with each range that is chosen; between two, the reader's own zoom is kept. */
  let choice = 0;

  async function draw() {
    if (history === null) return;
    const markets = Object.entries(history.markets).filter(([, series]) => series.points.length > 0);
    place.hidden = markets.length === 0;
    for (const control of controls.elements) control.disabled = markets.length === 0;
    if (markets.length === 0) {
      setText(byId("chart-state"), words.no_history);
      return;
    }
    try {
      library ??= inOurLanguage(await plotly());
    } catch {
      setText(byId("chart-state"), words.no_chart);
      return;
    }
    const config = { responsive: true, displaylogo: false, locale: document.documentElement.lang, modeBarButtonsToRemove: ["toImage", "lasso2d", "select2d"], scrollZoom: false };
    await library.react(place, markets.map(trace), { ...layout(range), uirevision: choice }, config);
    setText(byId("chart-state"), "");
    setText(byId("chart-summary"), fill(words.chart_means, { markets: markets.map(([market]) => market).join(", ") }));
  }

  const iso = (millis) => new Date(millis).toISOString().slice(0, 10);

  function choose(from, to) {
    range = from && to ? [from, to] : null;
    choice += 1;
    draw();
  }

  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-days]");
    if (!button) return;
    const days = Number(button.dataset.days);
    const now = Date.now();
    controls.elements.from.value = days ? iso(now - days * DAY_MS) : "";
    controls.elements.to.value = days ? iso(now) : "";
    for (const other of controls.querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
    choose(days ? new Date(now - days * DAY_MS).toISOString() : null, days ? new Date(now).toISOString() : null);
  });
  controls.addEventListener("change", () => {
    const { from, to } = controls.elements;
    if (!from.value && !to.value) return choose(null, null);
    for (const other of controls.querySelectorAll("button")) other.setAttribute("aria-pressed", false);
    choose(from.value || earliest(history), `${to.value || iso(Date.now())}T23:59:59`);
  });
  document.addEventListener("themechange", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  return {
    show(document) {
      const mark = JSON.stringify(document);
      if (mark === drawn) return;
      drawn = mark;
      history = document;
      draw();
    },
  };
}
