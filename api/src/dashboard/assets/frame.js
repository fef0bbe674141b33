// What every page does: language, theme, the banner of what is degraded, and whether its own numbers are fresh.

import { Failure, ask } from "./api.js";
import { byId, refreshAges, setText } from "./dom.js";
import { fill, span, time, word } from "./format.js";
import { poll } from "./poll.js";
import { words } from "./words.js";

const YEAR_SECONDS = 31_536_000;
const main = byId("content");

function remember(name, value) {
  document.cookie = `${name}=${value}; Path=/; Max-Age=${value ? YEAR_SECONDS : 0}; SameSite=Lax`;
}

byId("language").addEventListener("change", (event) => {
  remember("language", event.target.value);
  const address = new URL(location.href);
  address.searchParams.delete("lang");
  location.replace(address);
});

byId("theme").addEventListener("change", (event) => {
  const theme = event.target.value === "auto" ? "" : event.target.value;
  remember("theme", theme);
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  document.dispatchEvent(new CustomEvent("themechange"));
});

/** Says how the page stands: `loading`, `ready`, `empty`, `stale` or `failed`, and in a sentence what is going on. */
export function say(state, sentence) {
  if (main.dataset.state !== state) main.dataset.state = state;
  const line = byId("state");
  if (line) setText(line, sentence);
}

function showHealth(health) {
  const banner = byId("banner");
  const unwell = Object.entries(health?.components ?? {}).filter(([, component]) => component.status !== "up");
  const text = unwell.map(([name, component]) => `${word("component", name)}: ${word("condition", component.status)}`).join(" · ");
  if (health === null) setText(banner, words.banner_unreachable);
  else if (unwell.length > 0) setText(banner, fill(words.banner_degraded, { components: text }));
  banner.hidden = health !== null && unwell.length === 0;
  banner.classList.toggle("bad", health === null || health.status === "down");
}

/**
 * Runs a page: `fetchPage` asks for what it needs and says how to show it, again and again. The page's own state is what
 * `show` returns (`[state, sentence]`), unless what was asked is stale or not to be had.
 */
export function run(fetchPage) {
  let lastWell = null;
  return poll(async (isCurrent) => {
    const asked = (path) => ask(path).catch((failure) => failure);
    // Liveness has the same document as health and is never a failure: nothing red in the browser's log.
    const page = fetchPage(isCurrent).catch((failure) => {
      if (failure instanceof Failure) return failure;
      throw failure;
    });
    const [health, stats, answer] = await Promise.all([asked("/health/live"), asked("/stats"), page]);
    if (!isCurrent()) return true;
    showHealth(health instanceof Failure ? null : health.body);
    if (!(stats instanceof Failure)) byId("simulated").hidden = !stats.body.simulated;
    refreshAges();
    if (answer instanceof Failure) {
      showFailure(answer, lastWell);
      return answer.status === 404;
    }
    const { answers, show } = answer;
    const [state, sentence] = show(stats instanceof Failure ? null : stats.body);
    const all = [...answers, stats].filter((one) => !(one instanceof Failure));
    if (all.some((one) => one.isStale)) {
      const oldest = Math.max(...all.map((one) => one.age));
      say("stale", fill(words.stale, { age: span(oldest), time: time(Date.now() - oldest * 1_000) }));
    } else if (stats instanceof Failure) {
      showFailure(stats, lastWell);
      return false;
    } else {
      lastWell = Date.now();
      say(state, sentence);
    }
    return true;
  });
}

function showFailure(failure, lastWell) {
  if (failure.status === 404) return say("empty", words.not_known);
  const why = failure.status === 0 ? words.unreachable : failure.message || fill(words.answered, { status: failure.status });
  say("failed", fill(lastWell === null ? words.failed_first : words.failed, { why, time: time(lastWell ?? Date.now()) }));
}
