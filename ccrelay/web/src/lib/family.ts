// One session as a tree: the main conversation, its sub-agents, and calls beside them.
import { type Exchange, Outcome } from "../api/gen/ccrelay/v1/exchanges_pb.ts";
import { endOf } from "../api/feed.ts";
import { outcomeOf } from "./words.ts";

/** A conversation of a session, or calls of one kind. */
export interface Branch {
  name: string;
  /** What it is: `subagent`, `background`; empty for the main conversation. */
  kind: string;
  /** Words of a filter that find its exchanges within the session. */
  filter: string;
  exchanges: Exchange[];
  models: string[];
  /** Targets in the order in which they answered, each where it follows another one. */
  targets: [string, string][];
  input: number;
  output: number;
  read: number;
  written: number;
  fresh: number;
  micros: number;
  isPlan: boolean;
}

/** Something that happened: a move, a failover, a long wait, a compaction, an error. */
export interface Happening {
  atMs: number;
  icon: string;
  one: Exchange;
  text: string;
  micros: number;
}

const WAITED_MS = 1000;

/** A text as the filter takes it: in quotation marks. */
export function quoted(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

function branchOf(one: Exchange): { name: string; kind: string; filter: string } {
  if (one.agent) return { name: one.agent, kind: "subagent", filter: `agent=${quoted(one.agent)}` };
  if (one.kind && one.kind !== "messages") return { name: one.kind, kind: "calls", filter: `kind:${one.kind}` };
  const kind = one.trafficClass;
  if (kind === "subagent") return { name: "subagent", kind, filter: "class:subagent" };
  if (!kind || kind === "main" || kind === "compaction") {
    return { name: "main", kind: "", filter: "class:main,compaction,unknown" };
  }
  return { name: kind, kind: "calls", filter: `class:${kind}` };
}

/** Branches of a session: main first, then in the order in which they began. `exchanges`: any order. */
export function branches(exchanges: readonly Exchange[]): Branch[] {
  const sorted = exchanges.toSorted((a, b) => Number(a.startedAtMs - b.startedAtMs));
  const found = new Map<string, Branch>();
  for (const one of sorted) {
    const { name, kind, filter } = branchOf(one);
    let branch = found.get(filter);
    if (!branch) {
      branch = {
        name, kind, filter, exchanges: [], models: [], targets: [],
        input: 0, output: 0, read: 0, written: 0, fresh: 0, micros: 0, isPlan: false,
      }; // prettier-ignore
      found.set(filter, branch);
    }
    add(branch, one);
  }
  return [...found.values()].sort((a, b) => Number(a.kind !== "") - Number(b.kind !== "") || Number(a.kind === "calls") - Number(b.kind === "calls"));
}

function add(branch: Branch, one: Exchange): void {
  branch.exchanges.push(one);
  const model = one.sentModel || one.model;
  if (model && !branch.models.includes(model)) branch.models.push(model);
  const last = branch.targets.at(-1);
  if (one.provider && (last?.[0] !== one.provider || last[1] !== one.key)) branch.targets.push([one.provider, one.key]);
  const used = one.tokens;
  if (used) {
    branch.fresh += Number(used.input);
    branch.written += Number(used.cacheWrite5m + used.cacheWrite1h);
    branch.read += Number(used.cacheRead);
    branch.output += Number(used.output);
    branch.input += promptOf(one);
  }
  if (one.cost?.known) branch.micros += Number(one.cost.micros);
  if (one.cost?.billing === 2) branch.isPlan = true;
}

/** Tokens of a prompt, cache included. */
export function promptOf(one: Exchange): number {
  const used = one.tokens;
  return used ? Number(used.input + used.cacheRead + used.cacheWrite5m + used.cacheWrite1h) : 0;
}

/** What happened in a session, the latest first. */
export function happenings(exchanges: readonly Exchange[]): Happening[] {
  const found: Happening[] = [];
  for (const one of exchanges) {
    const who = one.agent ? `${one.agent}: ` : "";
    const base = { atMs: Number(one.startedAtMs), one };
    const lost = Number(one.cost?.movedMicros ?? 0n);
    if (one.moved || lost) {
      found.push({ ...base, icon: "hop", text: `${who}moved to ${one.key}, left a warm cache`, micros: lost });
    } else if (one.outcome === Outcome.FAILOVER) {
      found.push({ ...base, icon: "hop", text: `${who}${one.key} took over`, micros: 0 });
    }
    if (one.trafficClass === "compaction") {
      found.push({ ...base, icon: "p-sessions", text: `${who}compaction`, micros: Number(one.cost?.micros ?? 0n) });
    }
    if (one.queuedMs >= WAITED_MS) {
      found.push({ ...base, icon: "wait", text: `${who}waited ${(one.queuedMs / 1000).toFixed(1)} s for room at ${one.key}`, micros: 0 });
    }
    if (one.outcome === Outcome.LOST || one.outcome === Outcome.PASSED_ON || one.outcome === Outcome.REFUSED) {
      found.push({ ...base, icon: "err", text: `${who}${outcomeOf(one).text}`, micros: 0 });
    }
  }
  return found.sort((a, b) => b.atMs - a.atMs);
}

/** Where a session began and ended, milliseconds since 1970. */
export function spanOf(exchanges: readonly Exchange[]): [number, number] {
  let first = Infinity;
  let last = 0;
  for (const one of exchanges) {
    first = Math.min(first, Number(one.startedAtMs));
    last = Math.max(last, endOf(one));
  }
  return [first, last];
}
