// What the page says of a decision.
import type { Candidate, ExplainResponse } from "../../api/gen/ccrelay/v1/routing_pb.ts";
import type { Key, Provider } from "../../api/gen/ccrelay/v1/providers_pb.ts";
import { Breaker_State, Key_State } from "../../api/gen/ccrelay/v1/providers_pb.ts";
import { costOfOne, count, countdown, latency, percent } from "../../lib/format.ts";
import { isUsable } from "../providers/words.ts";

const HOW: Record<string, string> = {
  "simple-shuffle": "at random, by weight and room",
  "round-robin": "in turn, by weight",
  "least-busy": "the fewest under way",
  failover: "the first by priority",
  "cost-based": "the cheapest, caches counted in",
  "latency-based": "the quickest first event",
  "model-based": "the one listed for the model",
};

/** How a strategy chooses, in a few words; empty: it is not known here. */
export function howOf(strategy: string): string {
  return HOW[strategy] ?? "";
}

const NAMES: Record<string, string> = {
  failover: "Failover by priority",
  "least-busy": "The least busy target",
  "cost-based": "The cheapest target",
  "latency-based": "The quickest target",
  "round-robin": "All targets in turn",
  "simple-shuffle": "Targets at random, by weight",
  "model-based": "The target of the model",
};

/** `Failover by priority, 4 rules before it`. */
export function headline(strategy: string, rules: number): string {
  const name = NAMES[strategy] ?? (strategy ? `Strategy ${strategy}` : "Routing");
  return rules ? `${name}, ${count(rules, "rule")} before it` : `${name}, no rules`;
}

const WHY: Record<string, string> = {
  limit: "No room",
  cooldown: "Cooldown",
  breaker_open: "Breaker open",
  key_refused: "Key refused",
  max_concurrent: "Busy",
  tried: "Tried already",
};

/** Why a target cannot be taken now, with the time until it can. */
export function whyNot(one: Candidate, nowMs: number): string {
  const word = WHY[one.why] ?? (one.why || "Not now");
  const left = Number(one.availableAtMs) - nowMs;
  return left > 0 ? `${word}, another ${countdown(left / 1000)}` : word;
}

/** What is known of a candidate: room, exchanges, first event, price of the turn. */
export function facts(one: Candidate): string {
  const parts = [
    one.room !== undefined ? `room ${percent(one.room)}` : "",
    one.inFlight ? `${one.inFlight} under way` : "",
    one.firstEventMs > 0 ? `first event ${latency(one.firstEventMs)}` : "",
    priceOf(one),
  ];
  return parts.filter(Boolean).join(", ");
}

function priceOf(one: Candidate): string {
  if (one.newMicros === undefined) return "";
  const cold = `turn ${costOfOne(one.newMicros)}`;
  if (one.cachedMicros === undefined || one.cachedMicros === one.newMicros) return cold;
  return `${cold}, from cache ${costOfOne(one.cachedMicros)}`;
}

/** What the chosen target costs: from the cache, where it is there. */
export function priceOfChosen(answer: ExplainResponse): string {
  const one = answer.candidates.find((each) => each.target === answer.target);
  const micros = answer.affinityTarget === answer.target ? one?.cachedMicros : one?.newMicros;
  return micros === undefined ? "" : `, for about ${costOfOne(micros)}`;
}

const REASONS = ["with open breaker", "in cooldown", "full", "refused", "disabled", "not told"];

/** What keeps a target from being used, for as long as it may last the longest; empty: nothing. */
function keptBy(provider: Provider, key: Key): string {
  if (!provider.enabled || key.state === Key_State.DISABLED) return "disabled";
  if (key.state === Key_State.REFUSED) return "refused";
  if (provider.breaker?.state === Breaker_State.OPEN) return "with open breaker";
  if (key.state === Key_State.COOLDOWN) return "in cooldown";
  if (key.state === Key_State.FULL) return "full";
  return isUsable(key) ? "" : "not told";
}

/** Targets that can be used, of all, and what keeps the others. */
export function candidatesNow(providers: readonly Provider[]): [string, string] {
  const keys = providers.flatMap((one) => one.keys.map((key) => [one, key] as const));
  const found = keys.map(([one, key]) => keptBy(one, key)); // one reason each, so that they add up
  const number = (reason: string): number => found.filter((one) => one === reason).length;
  const parts = REASONS.filter(number).map((reason) => `${number(reason)} ${reason}`);
  return [`${number("")} of ${count(keys.length, "target")}`, parts.join(", ") || "all can be used"];
}
