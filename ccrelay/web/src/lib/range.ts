// Ranges of time that pages offer; the words are those of `--since`.
import { midnight } from "./format.ts";
import { route, setQuery } from "./router.ts";

export type Range = "15m" | "1h" | "today" | "7d" | "30d";

export const RANGE_TEXT: Record<Range, string> = {
  "15m": "15 min",
  "1h": "1 hour",
  today: "Today",
  "7d": "7 days",
  "30d": "30 days",
};

/** As it ends a sentence: `418 today`. */
export const RANGE_WORDS: Record<Range, string> = {
  "15m": "in 15 minutes",
  "1h": "in an hour",
  today: "today",
  "7d": "in 7 days",
  "30d": "in 30 days",
};

/** The range in the address, else the first choice. */
export function rangeOf(options: readonly Range[], fallback: Range): Range {
  const given = route.value.query.get("since");
  return options.find((one) => one === given) ?? fallback;
}

export function setRange(range: Range, fallback: Range): void {
  setQuery("since", range === fallback ? "" : range);
}

/** Goes to the next shorter (-1) or longer (1) range. */
export function stepRange(options: readonly Range[], fallback: Range, step: number): void {
  const at = options.indexOf(rangeOf(options, fallback)) + step;
  const next = options[Math.min(Math.max(at, 0), options.length - 1)];
  if (next) setRange(next, fallback);
}

/** Where a range begins, milliseconds since 1970; steady within a minute. */
export function sinceMs(range: Range, nowMs = Date.now()): number {
  const minute = Math.floor(nowMs / 60_000) * 60_000;
  switch (range) {
    case "15m":
      return minute - 15 * 60_000;
    case "1h":
      return minute - 60 * 60_000;
    case "today":
      return midnight(0, nowMs);
    case "7d":
      return midnight(6, nowMs);
    case "30d":
      return midnight(29, nowMs);
  }
}
