// What is said of providers and keys, in the words of `ccrelay keys` and `ccrelay providers`.
import {
  Breaker_State,
  Key_State,
  type Breaker,
  type Key,
  type Provider,
  type Window,
} from "../../api/gen/ccrelay/v1/providers_pb.ts";
import { clock, count, countdown, moment, percent, span, tokens } from "../../lib/format.ts";
import { runsOut } from "../../lib/words.ts";

const STATES: [Key_State, string][] = [
  [Key_State.IN_USE, "in use"],
  [Key_State.IDLE, "idle"],
  [Key_State.COOLDOWN, "in cooldown"],
  [Key_State.FULL, "full"],
  [Key_State.REFUSED, "refused"],
  [Key_State.DISABLED, "disabled"],
];

/** `3 providers, 5 keys: 3 in use, 1 idle, 1 in cooldown`. */
export function headline(providers: readonly Provider[]): string {
  const keys = providers.flatMap((one) => one.keys);
  const parts = STATES.map(([state, word]) => {
    const number = keys.filter((key) => key.state === state).length;
    return number ? `${number} ${word}` : "";
  }).filter(Boolean);
  const start = `${count(providers.length, "provider")}, ${count(keys.length, "key")}`;
  return parts.length ? `${start}: ${parts.join(", ")}` : start;
}

/** What the breakers do, and whether every model has a target. */
export function subline(providers: readonly Provider[], answering: boolean | undefined): string {
  const number = (state: Breaker_State): number =>
    providers.filter((one) => one.breaker?.state === state).length;
  const open = number(Breaker_State.OPEN);
  const half = number(Breaker_State.HALF_OPEN);
  const off = providers.filter((one) => !one.enabled).length;
  const facts = [
    open ? `${count(open, "breaker")} open` : "",
    half ? `${count(half, "breaker")} half-open` : "",
    off ? `${count(off, "provider")} disabled` : "",
  ].filter(Boolean);
  const first = facts.length ? `${facts.join(", ")}.` : "All breakers are closed.";
  if (answering === undefined) return first;
  return answering
    ? `${first} For every model a target can be used now.`
    : `${first} For some models no target can be used now.`;
}

export interface Said {
  word: string;
  /** Class of `.state`. */
  tone: "" | "q" | "q2" | "warn" | "fail";
  /** Icon without `i-`; empty: a dash. */
  icon: string;
  /** What is left of a cooldown, `0:47`; empty: nothing. */
  left: string;
}

export function keyState(key: Key, nowMs: number): Said {
  const until = Number(key.cooldownUntilMs);
  const left = until > nowMs ? countdown((until - nowMs) / 1000) : "";
  switch (key.state) {
    case Key_State.IN_USE:
      return { word: "in use", tone: "q2", icon: "ok", left: "" };
    case Key_State.IDLE:
      return { word: "idle", tone: "q", icon: "", left: "" };
    case Key_State.COOLDOWN:
      return { word: "cooldown", tone: "warn", icon: "rest", left };
    case Key_State.FULL:
      return { word: "full", tone: "warn", icon: "wait", left };
    case Key_State.REFUSED:
      return { word: "refused", tone: "fail", icon: "err", left: "" };
    case Key_State.DISABLED:
      return { word: "disabled", tone: "q", icon: "left", left: "" };
    default:
      return { word: "not told", tone: "q", icon: "", left: "" };
  }
}

/** What is known of a breaker, without the countdown to its probe. */
export function breakerNote(breaker: Breaker | undefined, nowMs: number): string {
  if (!breaker) return "";
  const since = Number(breaker.sinceMs);
  const failures = count(breaker.failures, "failure");
  switch (breaker.state) {
    case Breaker_State.OPEN: {
      const at = since ? `open since ${sinceWords(since, nowMs)}` : "";
      const times = breaker.failures > 1 ? `opened ${breaker.failures} times in a row` : "";
      return [at, times].filter(Boolean).join("; ");
    }
    case Breaker_State.HALF_OPEN:
      return "one request at a time is let through, to see";
    default:
      return breaker.failures ? `${failures} in a row` : "no failure since the last answer";
  }
}

function sinceWords(atMs: number, nowMs: number): string {
  return new Date(atMs).toDateString() === new Date(nowMs).toDateString()
    ? clock(atMs)
    : moment(atMs, nowMs);
}

const PER_MINUTE: Record<string, string> = {
  requests: "requests/min",
  tokens: "tokens/min",
  input_tokens: "input/min",
  output_tokens: "output/min",
};

/** Limits per minute; the others are windows of plans. */
function isPerMinute(window: Window): boolean {
  return window.name in PER_MINUTE;
}

/** The fullest limit per minute, `24.1k of 400k input/min`; empty: there is none. */
export function tightest(key: Key): string {
  const [first] = key.windows
    .filter((one) => isPerMinute(one) && one.limit > 0n)
    .sort((a, b) => b.utilization - a.utilization);
  if (!first) return "";
  const unit = PER_MINUTE[first.name] ?? first.name;
  const amount = (value: bigint): string => tokens(value).replace(/\.00?(?=[kM])/, "");
  return `${amount(first.used)} of ${amount(first.limit)} ${unit}`;
}

/** How a window ends if use goes on as now; empty: that is not known. */
export function forecast(window: Window, nowMs: number): string {
  if (window.utilization >= 1) return "used up";
  if (runsOut(window)) {
    const text = `runs out ${moment(window.fullAtMs, nowMs)}`;
    if (!window.resetsAtMs) return text;
    return `${text}, ${early(Number(window.resetsAtMs - window.fullAtMs) / 1000)} early`;
  }
  if (window.utilizationAtReset !== undefined) {
    return `lasts, ${percent(window.utilizationAtReset)} by the reset`;
  }
  return "";
}

function early(seconds: number): string {
  const hours = Math.round(seconds / 3600);
  return hours >= 1 && hours < 72 ? `${hours} h` : span(seconds);
}

/** Whether a key can be sent requests now. */
export function isUsable(key: Key): boolean {
  return key.state === Key_State.IDLE || key.state === Key_State.IN_USE;
}

/** What stops when a provider or one of its keys is disabled; empty: nothing that runs. */
export function stops(
  providers: readonly Provider[],
  provider: Provider,
  key: Key | undefined,
): string {
  const usable = providers.flatMap((one) =>
    one.enabled ? one.keys.filter(isUsable).map((each) => [one, each] as const) : [],
  );
  const left = usable.filter(
    ([one, each]) => one.name !== provider.name || (key && each.fingerprint !== key.fingerprint),
  );
  const flight = (key ? [key] : provider.keys).reduce((sum, one) => sum + one.inFlight, 0);
  const parts = [];
  if (flight) parts.push(`${count(flight, "exchange")} under way will finish.`);
  if (usable.length > left.length && !left.length) {
    parts.push("No other key can be used now: requests will fail until one can.");
  }
  return parts.join(" ");
}
