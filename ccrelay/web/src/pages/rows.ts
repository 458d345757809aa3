// `j` and `k` in lists: the focus goes from row to row. A row is marked by `data-row`.

/** Moves the focus to the next (1) or previous (-1) row; from elsewhere to the first or last one. */
export function moveRow(by: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>("main [data-row]")];
  if (!rows.length) return;
  const here = document.activeElement?.closest("[data-row], tr") ?? null;
  const at = rows.findIndex((one) => one === here || (here?.contains(one) ?? false));
  const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1);
  rows[next]?.focus();
}
