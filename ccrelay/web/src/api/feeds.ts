// The feeds that pages share, so that going back to a page shows what was there.
import { route } from "../lib/router.ts";
import { Feed } from "./feed.ts";

let recent: Feed | null = null;

/** What Now shows: all exchanges, as they end. */
export function recentFeed(): Feed {
  recent ??= new Feed("", 0, () => route.value.page === "now");
  return recent;
}

let explored: Feed | null = null;

/** What Exchanges shows; one at a time. */
export function exploredFeed(filter: string, sinceMs: number): Feed {
  if (explored?.filter !== filter || explored.sinceMs !== sinceMs) {
    explored?.close();
    explored = new Feed(filter, sinceMs, () => route.value.page === "exchanges");
  }
  return explored;
}
