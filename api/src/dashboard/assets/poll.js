// Does something now and every few seconds: not while nobody looks, and less often while it fails.

const EVERY_MS = 5_000;
const SLOWEST_MS = 60_000;

/** Calls `work` again and again. The function that is returned calls it at once. */
export function poll(work) {
  let timer = null;
  let failures = 0;
  let turn = 0;

  async function run() {
    clearTimeout(timer);
    timer = null;
    const mine = ++turn;
    let isWell = false;
    try {
      isWell = await work(() => mine === turn);
    } catch (error) {
      console.error(error);
    }
    if (mine !== turn) return;
    failures = isWell ? 0 : failures + 1;
    schedule();
  }

  function schedule() {
    if (document.hidden) return;
    timer = setTimeout(run, Math.min(EVERY_MS * 2 ** Math.max(0, failures - 1), SLOWEST_MS));
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      clearTimeout(timer);
      timer = null;
    } else if (timer === null) {
      run();
    }
  });
  window.addEventListener("online", run);
  run();
  return run;
}
