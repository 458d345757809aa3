// Exchanges with their attempts, read once each: for hand-overs in lanes and rows.
import { signal } from "@preact/signals";
import { api } from "./client.ts";
import type { ExchangesGetResponse } from "./gen/ccrelay/v1/exchanges_pb.ts";

const KEPT = 300;
const AT_ONCE = 2;
const WAITING = 50;
const STILL_MS = 120;

const known = new Map<string, ExchangesGetResponse | null>(); // null: on its way, or not to be had
const waiting: string[] = [];
let busy = 0;
let timer = 0;

/** Changes when one came. */
export const detailsVersion = signal(0);

/** The details of an exchange that is over; asks for them and returns null where they are not there. */
export function detailOf(id: string): ExchangesGetResponse | null {
  detailsVersion.value; // so that who reads this is drawn again
  const found = known.get(id);
  if (found !== undefined) return found;
  known.set(id, null);
  waiting.push(id);
  // What is asked for faster than it is answered is not looked at any more.
  if (waiting.length > WAITING) known.delete(waiting.shift() ?? "");
  if (known.size > KEPT) {
    const oldest = known.keys().next().value;
    if (oldest !== undefined) known.delete(oldest);
  }
  // Not while rows fly by: what is still wanted then is asked for.
  clearTimeout(timer);
  timer = window.setTimeout(next, STILL_MS);
  return null;
}

function next(): void {
  if (busy >= AT_ONCE) return;
  const id = waiting.pop(); // the newest first: it is looked at
  if (id === undefined) return;
  if (!known.has(id)) return next();
  busy += 1;
  api.exchanges
    .get({ id })
    .then(
      (answer) => {
        known.set(id, answer);
        detailsVersion.value += 1;
      },
      () => {
        // It stays as it is: a row without its first target.
      },
    )
    .finally(() => {
      busy -= 1;
      next();
    });
  next(); // as many as may be at once
}
