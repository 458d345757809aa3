// The words of the design for what the API says, as the command line has them.
import { type Exchange, Outcome, type Running, Running_Phase } from "../api/gen/ccrelay/v1/exchanges_pb.ts";
import { Billing, Breaker_State, type Window } from "../api/gen/ccrelay/v1/providers_pb.ts";
import { costOfOne, elapsed } from "./format.ts";

export type Tone = "" | "q" | "q2" | "ok" | "warn" | "fail" | "acc";

/** A word with its icon and its colour. */
export interface Word {
  icon: string;
  text: string;
  tone: Tone;
}

const ID_PREFIX = "req_ccrelay_"; // of all ids: left out where people read them
const WAITED_MS = 100; // a shorter wait is not worth a word
const SESSION_SHOWN = 6; // characters

export function shortId(id: string): string {
  return id.startsWith(ID_PREFIX) ? id.slice(ID_PREFIX.length) : id;
}

/** The whole id of a short one. */
export function fullId(id: string): string {
  return id.startsWith(ID_PREFIX) ? id : ID_PREFIX + id;
}

/** A session in as many characters as tables show. */
export function shortSession(session: string): string {
  return session.slice(0, SESSION_SHOWN);
}

/** A model without what all have in common: `claude-`, the date at its end. */
export function shortModel(name: string): string {
  return name.replace(/^claude-/, "").replace(/(.)-\d{8}$/, "$1");
}

type Origin = Pick<Exchange, "project" | "session" | "kind" | "trafficClass" | "agent">;

/** Whose exchange it is: the project, else the beginning of the session. */
export function originOf(one: Origin): string {
  return one.project || shortSession(one.session);
}

/** What it is for: `main`, `subagent`, `count_tokens`. */
export function purposeOf(one: Origin): string {
  return one.kind === "messages" || !one.kind ? one.trafficClass || one.kind || "messages" : one.kind;
}

/** The name of the sub-agent, where it is one. */
export function agentOf(one: Origin): string {
  return one.trafficClass === "subagent" ? one.agent : "";
}

const OUTCOMES: Partial<Record<Outcome, Word>> = {
  [Outcome.OK]: { icon: "ok", text: "ok", tone: "q" },
  [Outcome.FAILOVER]: { icon: "hop", text: "failover", tone: "warn" },
  [Outcome.CLIENT_LEFT]: { icon: "left", text: "client left", tone: "q2" },
  [Outcome.REFUSED]: { icon: "err", text: "refused", tone: "warn" },
  [Outcome.LOST]: { icon: "err", text: "lost", tone: "fail" },
};

/** How an exchange went. */
export function outcomeOf(one: Exchange): Word {
  if (one.outcome === Outcome.PASSED_ON) {
    return { icon: "err", text: one.status ? `${one.status} passed on` : "passed on", tone: "warn" };
  }
  if (one.outcome === Outcome.OK && one.queuedMs >= WAITED_MS) {
    return { icon: "wait", text: `waited ${elapsed(one.queuedMs)}`, tone: "q2" };
  }
  const word = OUTCOMES[one.outcome] ?? { icon: "ok", text: "unknown", tone: "q" };
  const isUnanswered = one.outcome === Outcome.REFUSED || one.outcome === Outcome.LOST;
  return isUnanswered && one.status >= 400 ? { ...word, text: `${word.text} ${one.status}` } : word;
}

const PHASES: Partial<Record<Running_Phase, Word>> = {
  [Running_Phase.PREPARING]: { icon: "wait", text: "preparing", tone: "q2" },
  [Running_Phase.QUEUED]: { icon: "wait", text: "waiting for room", tone: "q2" },
  [Running_Phase.CONNECTING]: { icon: "live", text: "connecting", tone: "acc" },
  [Running_Phase.AWAITING]: { icon: "live", text: "await head", tone: "acc" },
  [Running_Phase.HOLDING]: { icon: "live", text: "hold", tone: "acc" },
  [Running_Phase.STREAMING]: { icon: "live", text: "streaming", tone: "acc" },
};

/** What an exchange under way does. */
export function phaseOf(one: Running): Word {
  return PHASES[one.phase] ?? { icon: "live", text: "under way", tone: "acc" };
}

/** What an exchange cost: `$0.037`, `free`, `?` without a price, `-` where there is nothing. */
export function costOf(one: Exchange): string {
  if (one.cost?.billing === Billing.FREE || one.kind === "count_tokens" || one.kind === "models") return "free";
  const hasTokens = tokensOf(one) > 0;
  if (!one.cost?.known) return hasTokens ? "?" : "-";
  if (!hasTokens && !one.cost.micros) return "-";
  return costOfOne(one.cost.micros);
}

/** Whether a plan pays for it. */
export function isPlan(one: Exchange): boolean {
  return one.cost?.billing === Billing.PLAN && one.cost.known;
}

export function tokensOf(one: Exchange): number {
  const used = one.tokens;
  if (!used) return 0;
  return Number(used.input + used.output + used.cacheRead + used.cacheWrite5m + used.cacheWrite1h);
}

export interface BreakerWord extends Word {
  icon: "closed" | "half" | "open";
}

const BREAKERS: Partial<Record<Breaker_State, BreakerWord>> = {
  [Breaker_State.CLOSED]: { icon: "closed", text: "closed", tone: "q2" },
  [Breaker_State.OPEN]: { icon: "open", text: "open", tone: "fail" },
  [Breaker_State.HALF_OPEN]: { icon: "half", text: "half-open", tone: "warn" },
};

export function breakerOf(state: Breaker_State): BreakerWord {
  return BREAKERS[state] ?? { icon: "closed", text: "not known", tone: "q" };
}

/** `5-hour window`, `7-day window, sonnet`. */
export function windowTitle(name: string): string {
  const found = /^(\d+)([hd])(?:_(.+))?$/.exec(name);
  if (!found) return `${name.replaceAll("_", " ")} per minute`;
  const model = found[3] ? `, ${found[3].replaceAll("_", " ")}` : "";
  return `${found[1]}-${found[2] === "h" ? "hour" : "day"} window${model}`;
}

/** `5 h`, `7 d`: a window where there is little room. */
export function windowShort(name: string): string {
  return name.replace(/^(\d+)([hd])/, "$1 $2").replaceAll("_", " ");
}

/** Whether a window is one of hours or days, which a forecast makes sense for. */
export function isLong(one: Window): boolean {
  return one.lengthS >= 3600 || /^\d+[hd](_|$)/.test(one.name);
}

/** Whether a window runs out before its reset, or is full. */
export function needsLook(one: Window): boolean {
  if (one.utilization >= 1 || one.status === "allowed_warning" || one.status === "rejected") return true;
  if ((one.utilizationAtReset ?? 0) > 1) return true;
  return runsOut(one);
}

/** Whether a window is full before its reset, if use goes on as now. */
export function runsOut({ fullAtMs: full, resetsAtMs: reset }: Window): boolean {
  return full > 0n && (!reset || full < reset);
}

/** Which step of the chart ramp a model has: opus, sonnet, haiku, all others. */
export function rampOf(model: string): "opus" | "sonnet" | "haiku" | "glm" {
  const found = /opus|sonnet|haiku/.exec(model)?.[0];
  return found ? (found as "opus" | "sonnet" | "haiku") : "glm";
}
