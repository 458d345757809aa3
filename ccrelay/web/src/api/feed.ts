// Exchanges as they end: a bounded list that is kept whole over losses of the connection.
import { type Signal, signal } from "@preact/signals";
import { api, type Problem, problemOf } from "./client.ts";
import type { Exchange } from "./gen/ccrelay/v1/exchanges_pb.ts";
import { keepOpen } from "./live.ts";

/** At most so many exchanges are kept in the page. */
export const KEPT = 10_000;
const PAGE = 1000; // the most that one List answers
const FIRST = 200; // at first; older ones come as they are scrolled to
// That a stream begins with; the same for all tabs, so that they share it.
const LAST = 100;
const STORED_MS = 2_000; // after which what has ended is in the ledger
const DRAW_EVERY_MS = 100;
const MISSED_EVERY_MS = 5_000;

/** See `Feed.snapshot`. */
export interface Snapshot {
  readonly rows: readonly Exchange[];
  readonly total: number;
  readonly prepended: number;
  readonly evicted: number;
}

/** Exchanges that match a filter, newest first, live. */
export class Feed {
  /** Changes whenever `rows` did, at most once a frame. */
  readonly version: Signal<number> = signal(0);
  /** Whether the first exchanges are there. */
  readonly ready: Signal<boolean> = signal(false);
  /** Why they could not be read; null: they could. */
  readonly problem: Signal<Problem | null> = signal(null);
  /** How many were left out because the page or the relay had no time for them. */
  readonly missed: Signal<number> = signal(0);
  /** Whether there may be older ones in the ledger. */
  readonly hasOlder: Signal<boolean> = signal(true);

  /** In order of their end, oldest first; read by `at`. A deque over an array. */
  #rows: Exchange[] = [];
  #ids = new Set<string>();
  #frame = 0;
  #drawnAt = -Infinity;
  #token = "";
  #loading = false;
  /** Whether the ledger was read once. */
  #isRead = false;
  #lastFill = 0;
  #close: () => void;
  #prepended = 0;
  #evicted = 0;
  /** How many ended since the feed was opened: positions of rows that stay while rows follow. */
  total = 0;

  constructor(
    readonly filter: string,
    readonly sinceMs: number = 0,
    isWanted: () => boolean = () => true,
  ) {
    this.#close = keepOpen(
      (signal) => this.#tail(signal),
      (error) => {
        const problem = error ? problemOf(error) : null;
        if (problem && !problem.gone) this.problem.value = problem;
      },
      isWanted,
    );
  }

  /** Ends the stream. */
  close(): void {
    this.#close();
    clearTimeout(this.#frame);
  }

  get length(): number {
    return this.#rows.length;
  }

  /** The exchange at a position, 0: the newest. */
  at(index: number): Exchange | undefined {
    return this.#rows[this.#rows.length - 1 - index];
  }

  /** All, oldest first. Not to be changed. */
  rows(): readonly Exchange[] {
    return this.#rows;
  }

  /** The exchanges of now, for a view that stands still while others follow. */
  snapshot(): Snapshot {
    return { rows: [...this.#rows], total: this.total, prepended: this.#prepended, evicted: this.#evicted };
  }

  /** A snapshot with the older exchanges that were read since. */
  extended(from: Snapshot): readonly Exchange[] {
    const older = this.#prepended - from.prepended;
    if (!older || this.#evicted !== from.evicted) return from.rows;
    return [...this.#rows.slice(0, older), ...from.rows];
  }

  find(id: string): Exchange | undefined {
    return this.#ids.has(id) ? this.#rows.findLast((one) => one.id === id) : undefined;
  }

  async #tail(signal: AbortSignal): Promise<void> {
    // The stream begins with the last ones: what ended a moment ago is not in the ledger yet. Only
    // a gap that is longer is read from there, and once more when all of it is there.
    if (!this.#isRead) void this.#fill(signal);
    let isFirst = this.#isRead && this.length > 0;
    const stream = api.exchanges.tail({ filter: this.filter, last: LAST }, { signal });
    for await (const message of stream) {
      if (isFirst && message.exchanges.length && !message.exchanges.some((one) => this.#ids.has(one.id))) {
        void this.#fill(signal);
        setTimeout(() => !signal.aborted && void this.#fill(signal), STORED_MS);
      }
      isFirst = false;
      this.#add(message.exchanges);
      if (message.exchanges.length) this.ready.value = true;
      if (message.dropped) void this.#fillLater(Number(message.dropped), signal);
    }
  }

  /** Reads what ended while nothing was heard: pages of the ledger until a known one. */
  async #fill(signal: AbortSignal): Promise<void> {
    try {
      const isFirst = !this.#isRead;
      let token = "";
      for (let read = 0; read < KEPT; ) {
        const pageSize = isFirst ? FIRST : PAGE;
        const since = BigInt(Math.round(this.sinceMs));
        const answer = await api.exchanges.list(
          { filter: this.filter, pageSize, pageToken: token, sinceMs: since },
          { signal },
        );
        const isKnown = answer.exchanges.some((one) => this.#ids.has(one.id));
        this.#add(answer.exchanges.toReversed());
        token = answer.nextPageToken;
        read += answer.exchanges.length;
        if (isFirst) {
          this.#token = token;
          this.hasOlder.value = token !== "";
        }
        if (isFirst || isKnown || !token) break;
      }
      this.problem.value = null;
      this.#isRead = true;
      this.ready.value = true;
    } catch (error) {
      if (signal.aborted) return;
      this.problem.value = problemOf(error);
    }
  }

  async #fillLater(dropped: number, signal: AbortSignal): Promise<void> {
    // A page that cannot keep up must not ask for still more.
    if (performance.now() - this.#lastFill < MISSED_EVERY_MS || dropped > PAGE) {
      this.missed.value += dropped;
      return;
    }
    this.#lastFill = performance.now();
    await this.#fill(signal);
  }

  /** Reads older exchanges, to be called as the end of the list comes near. */
  async older(): Promise<void> {
    if (this.#loading || !this.hasOlder.value || this.length >= KEPT) return;
    this.#loading = true;
    try {
      const answer = await api.exchanges.list({
        filter: this.filter,
        pageSize: PAGE,
        pageToken: this.#token,
        sinceMs: BigInt(Math.round(this.sinceMs)),
      });
      this.#token = answer.nextPageToken;
      this.hasOlder.value = this.#token !== "";
      const fresh = answer.exchanges.toReversed().filter((one) => !this.#ids.has(one.id));
      const taken = fresh.slice(Math.max(0, fresh.length - (KEPT - this.length)));
      for (const one of taken) this.#ids.add(one.id);
      this.#rows = [...taken, ...this.#rows];
      this.#prepended += taken.length;
      this.#changed();
    } catch (error) {
      this.problem.value = problemOf(error);
    } finally {
      this.#loading = false;
    }
  }

  #add(exchanges: readonly Exchange[]): void {
    const fresh = exchanges.filter((one) => !this.#ids.has(one.id) && this.#isInRange(one));
    if (!fresh.length) return;
    const first = fresh[0];
    const last = this.#rows.at(-1);
    for (const one of fresh) this.#ids.add(one.id);
    this.#rows.push(...fresh);
    this.total += fresh.length;
    // What was read from the ledger may be older than what the stream has told meanwhile.
    if (first && last && endOf(first) < endOf(last)) this.#rows.sort((a, b) => endOf(a) - endOf(b));
    const over = this.#rows.length - KEPT;
    if (over > KEPT / 20) {
      for (const one of this.#rows.splice(0, over)) this.#ids.delete(one.id);
      this.#evicted += over;
      this.hasOlder.value = false;
    }
    this.#changed();
  }

  #isInRange(one: Exchange): boolean {
    return !this.sinceMs || Number(one.startedAtMs) >= this.sinceMs;
  }

  #changed(): void {
    if (this.#frame) return;
    // With a frame, but no more often than people can read.
    const wait = Math.max(0, this.#drawnAt + DRAW_EVERY_MS - performance.now());
    this.#frame = window.setTimeout(() => {
      requestAnimationFrame(() => {
        this.#frame = 0;
        this.#drawnAt = performance.now();
        this.version.value += 1;
      });
    }, wait);
  }
}

/** When an exchange ended, milliseconds since 1970. */
export function endOf(one: Exchange): number {
  return Number(one.startedAtMs) + one.durationMs;
}
