// Figures, money and times in the words of the command line (`ccrelay/cli/format_*.py`).

/** A number of the API: int64 fields are bigint. */
export type Num = number | bigint;

/** `1,084`; with words `1 stream`, `3 streams`. */
export function count(value: Num, one = "", many = ""): string {
  const number = Number(value);
  const text = Math.round(number).toLocaleString("en-US");
  if (!one) return text;
  return `${text} ${number === 1 ? one : many || `${one}s`}`;
}

/** `999`, `551.6k`, `20.31M`. */
export function tokens(value: Num): string {
  const [figure, unit] = tokenParts(value);
  return figure + unit;
}

/** Tokens as figure and unit, for columns where the unit is grey. */
export function tokenParts(value: Num): [string, string] {
  const number = Number(value);
  const size = Math.abs(number);
  if (size < 1_000) return [`${number}`, ""];
  if (size < 999_950) return [fixed(number / 1e3, 1), "k"];
  return [fixed(number / 1e6, 2), "M"];
}

/** Bytes as `512 B`, `3.4 kB`, `12 MB`. */
export function size(value: Num): string {
  let amount = Number(value);
  if (amount < 1_000) return `${amount} B`;
  for (const unit of ["kB", "MB", "GB", "TB"]) {
    amount /= 1_000;
    if (amount < 999.5 || unit === "TB") {
      return `${amount < 9.95 ? amount.toFixed(1) : fixed(amount, 0)} ${unit}`;
    }
  }
  return "";
}

function fixed(number: number, digits: number): string {
  // `toFixed` rounds what the number is, as Python does; `toLocaleString` what it is written as.
  return Number(number.toFixed(digits)).toLocaleString("en-US", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

// Money: from millionths of a dollar. What is not nothing is never written as nothing.

/** Below a cent there are four decimals: `$0.0042`, `<$0.0001`, and only zero is `$0`. */
function smallDollars(number: number): string {
  if (!number) return "$0";
  const steps = Math.floor((Math.abs(number) + 50) / 100);
  if (!steps) return `${number < 0 ? ">-" : "<"}$0.0001`;
  return `${number < 0 ? "-" : ""}$0.${String(steps).padStart(4, "0")}`;
}

function isSmall(amount: number): boolean {
  return amount + 50 < 10_000;
}

/** An amount in cents, `$1,031.07`; a small one `$0.0042`. */
export function dollars(micros: Num): string {
  const number = Number(micros);
  const sign = number < 0 ? "-" : "";
  const amount = Math.abs(number);
  if (isSmall(amount)) return smallDollars(number);
  const cents = Math.floor((amount + 5_000) / 10_000);
  return `${sign}$${fixed(Math.floor(cents / 100), 0)}.${String(cents % 100).padStart(2, "0")}`;
}

/** What caches saved, title and figure; they cost more than they save until they are read again. */
export function savings(micros: Num): [title: string, figure: string] {
  const number = Number(micros);
  return number < 0 ? ["Spent on prompt caches so far", dollars(-number)] : ["Saved by prompt caches", dollars(number)];
}

/** As `dollars`; `-` for nothing. */
export function dollarsOrNone(micros: Num): string {
  return Number(micros) ? dollars(micros) : "-";
}

/** The cost of one exchange in at most eight characters: `$0.037`, `$0.0002`, `<$0.0001`, `$1,031`. */
export function costOfOne(micros: Num): string {
  const number = Number(micros);
  const sign = number < 0 ? "-" : "";
  const amount = Math.abs(number);
  if (isSmall(amount)) return smallDollars(number);
  const mils = Math.floor((amount + 500) / 1_000);
  if (mils < 10_000) return `${sign}$${Math.floor(mils / 1000)}.${String(mils % 1000).padStart(3, "0")}`;
  const cents = Math.floor((amount + 5_000) / 10_000);
  if (cents < 10_000) return `${sign}$${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, "0")}`;
  return `${sign}$${fixed(Math.floor((amount + 500_000) / 1_000_000), 0)}`;
}

/** A price per million tokens: two decimals, more where it has more. */
export function price(micros: Num): string {
  const amount = Math.abs(Number(micros));
  const part = String(amount % 1_000_000).padStart(6, "0").replace(/0+$/, "").padEnd(2, "0");
  return `${Number(micros) < 0 ? "-" : ""}$${fixed(Math.floor(amount / 1_000_000), 0)}.${part}`;
}

// Shares.

/** 0.94 as `94 %`. More than nothing is never `0 %`, less than all never `100 %`. */
export function percent(share: number): string {
  if (!Number.isFinite(share)) return "?";
  if (share > 0 && share < 0.005) return "<1 %";
  let value = Math.floor(share * 100 + 0.5);
  if (value === 100 && share < 1) value = 99;
  return `${fixed(value, 0)} %`;
}

/** Which share of the input came from the prompt cache; `-` without input. */
export function hits(read: Num, written: Num, plain: Num): string {
  const whole = Number(read) + Number(written) + Number(plain);
  return whole ? percent(Number(read) / whole) : "-";
}

// Durations and points in time; times are local.

const DAY_S = 86_400;
export const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
export const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** A number in two digits: `07`. */
export const two = (number: number): string => String(number).padStart(2, "0");

/** Two units of a duration in seconds: `45 s`, `12 min`, `5 h 19 min`, `3 d 18 h`. */
export function span(seconds: number): string {
  const whole = Math.max(0, Math.trunc(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < DAY_S) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${fixed(Math.floor(whole / DAY_S), 0)} d ${Math.floor((whole % DAY_S) / 3600)} h`;
}

/** What is left of a wait in seconds, rounded up: `0:47`, `1:27:52`, `3 d 18 h`. */
export function countdown(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  if (whole >= DAY_S) return span(whole);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}

/** The time to a first event, in milliseconds: `0.93 s`, `12.4 s`; 0: `-`. */
export function latency(ms: number): string {
  if (ms <= 0) return "-";
  if (ms < 9.95) return milliseconds(ms);
  return ms < 9_995 ? `${(ms / 1e3).toFixed(2)} s` : elapsed(ms);
}

/** The time of an exchange, in milliseconds: `12 ms`, `23.1 s`, `16:40`. */
export function elapsed(ms: number): string {
  if (ms > 0 && ms < 50) return milliseconds(ms);
  const seconds = Math.max(0, ms) / 1e3;
  if (seconds < 99.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 999.5) return `${seconds.toFixed(0)} s`;
  if (seconds < 3600) return `${Math.trunc(seconds / 60)}:${two(Math.trunc(seconds) % 60)}`;
  return seconds < 360_000
    ? `${Math.min(seconds / 3600, 9999).toFixed(1)} h`
    : `${(seconds / 3600).toFixed(0)} h`;
}

function milliseconds(ms: number): string {
  return ms >= 0.95 ? `${ms.toFixed(0)} ms` : "<1 ms";
}

/** The time of a phase, in milliseconds: `0.03 ms`, `28 ms`, `0.41 s`, `23.1 s`. */
export function short(ms: number): string {
  if (ms < 0.995) return `${Math.max(0, ms).toFixed(2)} ms`;
  if (ms < 99.5) return `${ms.toFixed(0)} ms`;
  return ms < 9_995 ? `${(ms / 1e3).toFixed(2)} s` : elapsed(ms);
}

/** Figure and unit of a text such as `0.93 s`; without a unit the second is empty. */
export function parts(text: string): [string, string] {
  const at = text.replaceAll("\u00a0", " ").lastIndexOf(" ");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at)];
}

/** `14:32:08`. */
export function clock(atMs: Num): string {
  const at = new Date(Number(atMs));
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** Of an axis: with seconds where minutes would be the same. */
export function axisTime(atMs: Num, spanMs: number): string {
  return spanMs < 4 * 60_000 ? clock(atMs) : minute(atMs);
}

/** `14:32`. */
export function minute(atMs: Num): string {
  return clock(atMs).slice(0, 5);
}

/** A time near now as short as it is clear: `14:19:52`, `Sat 08:00`, `3 Dec 08:00`. */
export function moment(atMs: Num, nowMs: Num = Date.now()): string {
  const at = new Date(Number(atMs));
  const now = new Date(Number(nowMs));
  if (at.toDateString() === now.toDateString()) return clock(atMs);
  const time = minute(atMs);
  if (Math.abs(Number(atMs) - Number(nowMs)) < 6 * DAY_S * 1000) return `${DAYS[at.getDay()]} ${time}`;
  return `${day(atMs, nowMs, false)} ${time}`;
}

/** `Fri 27 Nov`, with the year where it is not this one. */
export function day(atMs: Num, nowMs: Num = Date.now(), weekday = true): string {
  const at = new Date(Number(atMs));
  let text = `${at.getDate()} ${MONTHS[at.getMonth()]}`;
  if (at.getFullYear() !== new Date(Number(nowMs)).getFullYear()) text += ` ${at.getFullYear()}`;
  return weekday ? `${DAYS[at.getDay()]} ${text}` : text;
}

/** Midnight of a day in local time, milliseconds; `back` days before today. */
export function midnight(back = 0, nowMs = Date.now()): number {
  const at = new Date(nowMs);
  return new Date(at.getFullYear(), at.getMonth(), at.getDate() - back).getTime();
}
