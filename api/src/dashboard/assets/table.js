// Keeps the rows of a table in step with a list: rows are made once, moved where the order changed, and only the cells that
// changed are written.

import { node } from "./dom.js";

/** A row of `painters`: name of the cell to what makes its children. */
export function makeRow(painters, attributes, item) {
  const row = node("tr", attributes);
  for (const [name, { heading, isHeader }] of Object.entries(painters)) {
    row.append(node(isHeader ? "th" : "td", { "data-cell": name, "data-label": heading, class: name, scope: isHeader ? "row" : null }));
  }
  paintRow(painters, row, item);
  return row;
}

/** Writes the cells whose content is another. */
export function paintRow(painters, row, item) {
  const cells = Object.entries(painters);
  cells.forEach(([, { signature, paint }], index) => {
    const cell = row.children[index];
    const mark = JSON.stringify(signature(item));
    if (cell.dataset.mark === mark) return;
    const hadFocus = cell.contains(document.activeElement);
    cell.replaceChildren(...paint(item));
    cell.dataset.mark = mark;
    if (hadFocus) cell.querySelector("a, button")?.focus({ preventScroll: true });
  });
}

/** Puts rows into this order and takes away all others. The focus stays where it is, if its row does: moving a row loses it. */
export function arrange(body, rows) {
  const wanted = new Set(rows);
  const focused = body.contains(document.activeElement) ? document.activeElement : null;
  for (const row of [...body.children]) if (!wanted.has(row)) row.remove();
  rows.forEach((row, index) => {
    if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
  });
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
}
