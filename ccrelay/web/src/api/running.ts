// Exchanges under way.
import { signal } from "@preact/signals";
import { api } from "./client.ts";
import type { Running } from "./gen/ccrelay/v1/exchanges_pb.ts";
import { keepOpen } from "./live.ts";

export interface RunningState {
  rows: Running[];
  total: number;
  /** Time of the relay, milliseconds since 1970. */
  atMs: number;
}

export const running = signal<RunningState>({ rows: [], total: 0, atMs: 0 });

const users = signal(0);

/** Counts a part of the page that shows them; the stream is open while there is one. */
export function watchRunning(): () => void {
  users.value += 1;
  return () => void (users.value -= 1);
}

/** Begins to follow; called once. */
export function followRunning(): void {
  const clear = (): void => {
    if (running.peek().total) running.value = { rows: [], total: 0, atMs: 0 };
  };
  keepOpen(
    async (signal) => {
      const stream = api.exchanges.watchRunning({ intervalMs: 1000 }, { signal });
      for await (const message of stream) {
        running.value = { rows: message.running, total: message.total, atMs: Number(message.atMs) };
      }
    },
    clear,
    () => users.value > 0,
  );
}
