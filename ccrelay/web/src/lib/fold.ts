// Rows of the table of exchanges: one each, bursts of count_tokens folded into one.
import type { Exchange } from "../api/gen/ccrelay/v1/exchanges_pb.ts";

/** One row: an exchange, or the newest of several; `kids`: all of a burst, newest first. */
export interface Row {
  one: Exchange;
  kids: readonly Exchange[];
  /** Whether it stands below the row of its burst. */
  isKid: boolean;
}

function belongs(one: Exchange, other: Exchange): boolean {
  return (
    one.kind === "count_tokens" &&
    other.kind === "count_tokens" &&
    (one.project || one.session) === (other.project || other.session) &&
    one.provider === other.provider &&
    one.key === other.key &&
    one.model === other.model
  );
}

/** Rows, the latest to begin first, of exchanges in the order of their end. `open`: ids of bursts that are unfolded. */
export function rowsOf(ended: readonly Exchange[], open: ReadonlySet<string>): Row[] {
  const rows: Row[] = [];
  // They come in the order in which they ended; a table is read by when they began.
  const exchanges = ended.toSorted((a, b) => Number(a.startedAtMs - b.startedAtMs));
  for (let at = exchanges.length - 1; at >= 0; ) {
    const one = exchanges[at];
    if (!one) break;
    let end = at - 1;
    if (one.kind === "count_tokens") {
      for (let next = exchanges[end]; next && belongs(one, next); next = exchanges[end]) end -= 1;
    }
    const kids = at - end > 1 ? exchanges.slice(end + 1, at + 1).reverse() : [];
    rows.push({ one, kids, isKid: false });
    // A burst is known by its oldest exchange, which stays while others follow.
    const oldest = kids.at(-1);
    if (oldest && open.has(oldest.id)) {
      for (const kid of kids) rows.push({ one: kid, kids: [], isKid: true });
    }
    at = end;
  }
  return rows;
}
