// Ranges of the page: calendar days in the browser's time, of which today is the last.
import { DAYS, MONTHS, two } from "../../lib/format.ts";

export interface Range {
  /** Its name in the address and for `--since`. */
  id: string;
  /** On its button. */
  label: string;
  /** In the headline: `$1.20 billed ...`. */
  words: string;
  days: number;
}

export const RANGES: readonly Range[] = [
  { id: "today", label: "Today", words: "today", days: 1 },
  { id: "7d", label: "7 days", words: "in 7 days", days: 7 },
  { id: "30d", label: "30 days", words: "in 30 days", days: 30 },
  { id: "90d", label: "90 days", words: "in 90 days", days: 90 },
];

export const RANGE_DEFAULT = "7d";

export function rangeOf(id: string | undefined): Range {
  return RANGES.find((one) => one.id === id) ?? (RANGES[1] as Range);
}

/** The next shorter (-1) or longer (1) range; the same one at the end. */
export function step(range: Range, by: -1 | 1): Range {
  return RANGES[RANGES.indexOf(range) + by] ?? range;
}

/** Midnight of its first day, milliseconds since 1970. */
export function sinceMs(range: Range, nowMs: number): number {
  const day = new Date(nowMs);
  day.setHours(0, 0, 0, 0);
  day.setDate(day.getDate() - (range.days - 1));
  return day.getTime();
}

/** Days of the range as the API names them: `2026-11-30`; of one day its hours, `2026-11-30T14`. */
export function slots(range: Range, nowMs: number): string[] {
  const first = new Date(sinceMs(range, nowMs));
  const found: string[] = [];
  if (range.days === 1) {
    const day = isoDay(first);
    for (let hour = 0; hour < 24; hour++) found.push(`${day}T${two(hour)}`);
    return found;
  }
  for (let i = 0; i < range.days; i++) {
    const day = new Date(first);
    day.setDate(first.getDate() + i);
    found.push(isoDay(day));
  }
  return found;
}

/** The name of a slot under the chart: `Fri 27`, `27 Nov` in long ranges, `14:00` for hours. */
export function slotLabel(slot: string, days: number): string {
  const [day, hour] = slot.split("T");
  if (hour !== undefined) return `${hour}:00`;
  const [year, month, date] = (day ?? "").split("-").map(Number);
  const at = new Date(year ?? 1970, (month ?? 1) - 1, date ?? 1);
  return days <= 14
    ? `${DAYS[at.getDay()]} ${at.getDate()}`
    : `${at.getDate()} ${MONTHS[at.getMonth()]}`;
}

function isoDay(at: Date): string {
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
}
