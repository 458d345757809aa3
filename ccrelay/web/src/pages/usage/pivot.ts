// Sums by time and group, as series of a stacked chart.

export interface Sum {
  billedMicros: bigint;
  planMicros: bigint;
}

export interface Row<T extends Sum> {
  group: string[];
  totals?: T | undefined;
}

export interface Series {
  /** Value of the group; null: all that is not among the largest. */
  name: string | null;
  /** Dollars per slot, at list price. */
  values: number[];
  total: number;
}

export interface Pivot {
  series: Series[];
  /** Dollars per slot over all series. */
  totals: number[];
}

/** The ramp of the design has as many steps. */
export const SERIES_MAX = 4;

/** Cost at list price, dollars. */
export function dollarsOf(sum: Sum | undefined): number {
  return sum ? Number(sum.billedMicros + sum.planMicros) / 1e6 : 0;
}

/**
 * Series of `[slot, group]` rows, the largest first; the ones after the fourth are one series.
 *
 * Those that are `apart` come last, where all have a series. Rows of slots that are not asked for (the clocks of relay and browser differ) are put at the
 * nearest end, so that no money is lost from the picture.
 */
export function pivot<T extends Sum>(
  rows: readonly Row<T>[],
  slots: readonly string[],
  isApart: (name: string) => boolean = () => false,
): Pivot {
  const index = new Map(slots.map((slot, i) => [slot, i]));
  const byName = new Map<string, Series>();
  const totals = slots.map(() => 0);
  for (const row of rows) {
    const slot = row.group[0] ?? "";
    const at = index.get(slot) ?? (slot < (slots[0] ?? "") ? 0 : slots.length - 1);
    if (at < 0) continue;
    const name = row.group[1] ?? "";
    const dollars = dollarsOf(row.totals);
    let series = byName.get(name);
    if (!series) byName.set(name, (series = { name, values: slots.map(() => 0), total: 0 }));
    series.values[at] = (series.values[at] ?? 0) + dollars;
    series.total += dollars;
    totals[at] = (totals[at] ?? 0) + dollars;
  }
  const ordered = [...byName.values()].sort((a, b) => b.total - a.total || compare(a.name, b.name));
  if (ordered.length <= SERIES_MAX) {
    const last = (one: Series): number => Number(isApart(one.name ?? ""));
    return { series: ordered.sort((a, b) => last(a) - last(b)), totals };
  }
  const kept = ordered.slice(0, SERIES_MAX - 1);
  const rest: Series = { name: null, values: slots.map(() => 0), total: 0 };
  for (const one of ordered.slice(SERIES_MAX - 1)) {
    one.values.forEach((value, i) => (rest.values[i] = (rest.values[i] ?? 0) + value));
    rest.total += one.total;
  }
  return { series: [...kept, rest], totals };
}

function compare(a: string | null, b: string | null): number {
  return (a ?? "") < (b ?? "") ? -1 : 1;
}

/** Sums from the bottom up, as a stacked chart draws them: the last one is the whole. */
export function stacked(series: readonly Series[]): number[][] {
  const found: number[][] = [];
  series.forEach((one, i) => {
    const below = found[i - 1];
    found.push(one.values.map((value, j) => value + (below?.[j] ?? 0)));
  });
  return found;
}

/** A step of 1, 2 or 5 times a power of ten, so that an axis up to `max` has about `lines` lines. */
export function niceStep(max: number, lines = 5): number {
  if (!(max > 0)) return 1;
  const raw = max / lines;
  const power = 10 ** Math.floor(Math.log10(raw));
  const factor = [1, 2, 5, 10].find((one) => one * power >= raw * 0.999) ?? 10;
  return factor * power;
}
