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
    yaxis: { ...axis, tickprefix: "€ ", rangemode: "normal", fixedrange: false },
    uirevision: "kept",
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

  async function draw() {
    if (history === null) return;
    const markets = Object.entries(history.markets).filter(([, series]) => series.points.length > 0);
    place.hidden = markets.length === 0;
    if (markets.length === 0) {
      setText(byId("chart-state"), words.no_history);
      return;
    }
    try {
      library ??= await plotly();
    } catch {
      setText(byId("chart-state"), words.no_chart);
      return;
    }
    const config = { responsive: true, displaylogo: false, locale: "en", modeBarButtonsToRemove: ["toImage", "lasso2d", "select2d"], scrollZoom: false };
    await library.react(place, markets.map(trace), layout(range), config);
    setText(byId("chart-state"), "");
    setText(byId("chart-summary"), fill(words.chart_means, { markets: markets.map(([market]) => market).join(", ") }));
  }

  const iso = (millis) => new Date(millis).toISOString().slice(0, 10);

  function choose(from, to) {
    range = from && to ? [from, to] : null;
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
    choose(from.value || history?.from, to.value ? `${to.value}T23:59:59` : history?.to);
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
