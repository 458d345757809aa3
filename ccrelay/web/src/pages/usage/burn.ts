// How a window of a plan was used until now, and whether it lasts.

export interface WindowFacts {
  utilization: number;
  resetsAtMs: number;
  lengthS: number;
  fullAtMs: number;
  /** Used part at the reset; undefined: not known. */
  atReset: number | undefined;
}

export interface Burn {
  startMs: number;
  endMs: number;
  /** Time and used part, in order; the last is now. */
  points: [number, number][];
  /** End of the forecast: when it is full, else the reset. Null: there is no forecast. */
  forecast: [number, number] | null;
  /** When it is full before its reset, milliseconds since 1970; 0: it lasts, or not known. */
  fullAtMs: number;
}

/**
 * The picture of a window. Providers tell the used part of now only, so its way there is drawn by
 * what the relay spent per hour, scaled to what the provider says; without such hours as a line.
 *
 * Returns null where start or end are not known.
 */
export function burn(
  window: WindowFacts,
  hours: readonly { atMs: number; cost: number }[],
  nowMs: number,
): Burn | null {
  const { resetsAtMs: endMs, lengthS } = window;
  if (!endMs || !lengthS || endMs <= nowMs) return null;
  const startMs = endMs - lengthS * 1000;
  const inside = hours
    .filter((one) => one.atMs + 3_600_000 > startMs && one.atMs < nowMs && one.cost > 0)
    .sort((a, b) => a.atMs - b.atMs);
  const whole = inside.reduce((sum, one) => sum + one.cost, 0);
  const points: [number, number][] = [[startMs, 0]];
  let spent = 0;
  for (const one of inside) {
    const used = whole ? (spent / whole) * window.utilization : 0;
    const from = Math.max(one.atMs, startMs);
    if (from > (points.at(-1)?.[0] ?? 0)) points.push([from, used]);
    spent += one.cost;
    const to = Math.min(one.atMs + 3_600_000, nowMs);
    points.push([to, (spent / whole) * window.utilization]);
  }
  if ((points.at(-1)?.[0] ?? 0) < nowMs) points.push([nowMs, window.utilization]);
  const fullAtMs = window.fullAtMs && window.fullAtMs < endMs ? window.fullAtMs : 0;
  let forecast: [number, number] | null = null;
  if (fullAtMs > nowMs) forecast = [fullAtMs, 1];
  else if (window.atReset !== undefined && !fullAtMs) forecast = [endMs, window.atReset];
  return { startMs, endMs, points, forecast, fullAtMs };
}
