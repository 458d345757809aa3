// State of the relay as it changes: one stream of its status, kept open.
import { effect, signal } from "@preact/signals";
import { goOn, pause } from "../lib/pause.ts";
import { api, isSignedOut, problemOf } from "./client.ts";
import type { Provider } from "./gen/ccrelay/v1/providers_pb.ts";
import type { Status, WatchStatusResponse } from "./gen/ccrelay/v1/relay_pb.ts";
import { lookAgain, signIn } from "./session.ts";

export type Link =
  | { state: "connecting" }
  | { state: "live" }
  /** `since`: the last word of the relay; both by the clock of the browser, milliseconds. */
  | { state: "lost"; since: number; nextTryAt: number; problem: string };

/** Whether the relay answers. */
export const link = signal<Link>({ state: "connecting" });

/** How often the relay came back after a loss: what was read before is to be read again. */
export const recoveries = signal(0);

/** The newest state; null: none came yet. After a loss the last one stays. */
export const status = signal<Status | null>(null);

/** By how much the clock of the relay is ahead of the browser's, milliseconds. */
let skew = 0;

/** Time of the relay, milliseconds since 1970. */
export function now(): number {
  return Date.now() + skew;
}

/** Time of the relay, set once a second while the page is seen; for countdowns. */
export const tick = signal(Date.now());
setInterval(() => {
  if (!document.hidden) tick.value = now();
}, 1000);

/** Whether the page is seen; streams are closed while it is not. */
export const seen = signal(!document.hidden);
document.addEventListener("visibilitychange", () => (seen.value = !document.hidden));

const WAITS_MS = [500, 1000, 2000, 4000, 8000];
const SILENT_MS = 15_000; // the state changes more often; ask after so long
const ANSWER_MS = 5_000;

/** Tries at once instead of at `nextTryAt`. */
export const retryNow = goOn;

/**
 * Keeps a stream open while `isWanted`: opens it again when it ends, and later and later when it
 * fails. That it ends in good order is no loss: streams may take turns.
 * Returns a function that ends it.
 */
export function keepOpen(
  open: (signal: AbortSignal) => Promise<void>,
  onLost: (error: {}, nextTryAt: number) => void = () => {},
  isWanted: () => boolean = () => true,
): () => void {
  let current: AbortController | null = null;
  async function run(control: AbortController): Promise<void> {
    let failures = 0;
    while (!control.signal.aborted) {
      const began = performance.now();
      let error: {} | null = null;
      try {
        await open(control.signal);
      } catch (caught) {
        error = caught ?? new Error("the stream ended");
      }
      if (control.signal.aborted) return;
      if (error && isSignedOut(error)) await lookAgain();
      if (control.signal.aborted) return;
      if (!error || performance.now() - began > 10_000) failures = 0;
      const wait = WAITS_MS[Math.min(failures, WAITS_MS.length - 1)] ?? 8000;
      if (error) {
        failures += 1;
        onLost(error, Date.now() + wait);
      }
      await pause(wait, control.signal);
    }
  }
  const stop = effect(() => {
    const wanted = seen.value && signIn.value === "in" && isWanted();
    if (wanted && !current) {
      current = new AbortController();
      void run(current);
    } else if (!wanted && current) {
      current.abort();
      current = null;
    }
  });
  return () => {
    stop();
    current?.abort();
  };
}

function merge(before: Status | null, message: WatchStatusResponse): Status | null {
  const next = message.status;
  if (!next) return before;
  if (message.whole || !before) return next;
  const changed = new Map(next.providers.map((one) => [one.name, one]));
  const gone = new Set(message.removedProviders);
  const kept: Provider[] = before.providers
    .filter((one) => !gone.has(one.name))
    .map((one) => changed.get(one.name) ?? one);
  const known = new Set(kept.map((one) => one.name));
  next.providers = [...kept, ...next.providers.filter((one) => !known.has(one.name))];
  return next;
}

let lastWord = 0;

function heard(next: Status | null): void {
  lastWord = Date.now();
  if (next) {
    skew = Number(next.atMs) - Date.now();
    if (Math.abs(skew) < 1000) skew = 0; // the way of a message is no difference of clocks
    status.value = next;
    tick.value = now();
  }
  if (link.value.state === "lost") recoveries.value += 1;
  if (link.value.state !== "live") link.value = { state: "live" };
}

/**
 * Ends a stream that has gone silent because the other side is gone without a word, or only the
 * stream is: then the relay still answers a question, and nothing is lost.
 */
async function watchSilence(control: AbortController, onAnswer: () => void): Promise<void> {
  while (!control.signal.aborted) {
    await pause(SILENT_MS / 3, control.signal);
    if (control.signal.aborted || Date.now() - lastWord < SILENT_MS) continue;
    try {
      const answer = await api.relay.getStatus({}, { timeoutMs: ANSWER_MS, signal: control.signal });
      if (Date.now() - lastWord < SILENT_MS) continue; // it spoke meanwhile: a computer woke up
      heard(answer.status ?? null);
      onAnswer();
    } catch {
      // As below.
    }
    control.abort();
  }
}

async function watchStatus(signal: AbortSignal): Promise<void> {
  const control = new AbortController();
  const end = (): void => control.abort();
  signal.addEventListener("abort", end);
  lastWord = Date.now();
  let isOver = false;
  void watchSilence(control, () => (isOver = true));
  try {
    const stream = api.relay.watchStatus({ intervalMs: 500 }, { signal: control.signal });
    for await (const message of stream) heard(merge(status.value, message));
  } catch (error) {
    if (!isOver) throw error;
  } finally {
    signal.removeEventListener("abort", end);
    control.abort();
  }
}

/** Begins to follow the relay; called once. */
export function follow(): void {
  keepOpen(watchStatus, (error, nextTryAt) => {
    const since = link.value.state === "lost" ? link.value.since : lastWord || Date.now();
    link.value = { state: "lost", since, nextTryAt, problem: problemOf(error).text };
  });
}
