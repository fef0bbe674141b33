// Asks the public API. What has not changed since it was last asked costs a 304.

const MOST_HELD = 60;
const held = new Map();

/** Why there is no answer; `status` is 0 where the API cannot be reached. */
export class Failure extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/**
 * Asks for a document. `isStale` says that the catalog is away and the document was held, `age` how old it is in seconds.
 *
 * The browser's own cache is passed by: it would keep the warning of a stale answer after the catalog is back.
 */
export async function ask(path) {
  const known = held.get(path);
  const headers = { accept: "application/json" };
  if (known) headers["if-none-match"] = known.etag;
  let response;
  try {
    response = await fetch(path, { headers, cache: "no-store" });
  } catch {
    throw new Failure(0, "");
  }
  const isKnown = response.status === 304;
  let body = known?.body;
  if (!isKnown) {
    body = await response.json().catch(() => null);
    if (!response.ok || body === null) throw new Failure(response.status, body?.detail ?? "");
    keep(path, response.headers.get("etag"), body);
  }
  return {
    body,
    isNew: !isKnown,
    isStale: (response.headers.get("warning") ?? "").startsWith("110"),
    age: Number(response.headers.get("age") ?? 0),
  };
}

function keep(path, etag, body) {
  held.delete(path);
  if (!etag) return;
  held.set(path, { etag, body });
  if (held.size > MOST_HELD) held.delete(held.keys().next().value);
}
