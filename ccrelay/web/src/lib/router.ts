// Addresses of the page: `#/exchanges/ID?filter=outcome:failover`.
import { computed, signal } from "@preact/signals";

export const PAGES = [
  ["now", "Now", "n"],
  ["exchanges", "Exchanges", "e"],
  ["usage", "Usage", "u"],
  ["sessions", "Sessions", "s"],
  ["providers", "Providers", "p"],
  ["routing", "Routing", "r"],
  ["config", "Config", "c"],
] as const;

export type PageName = (typeof PAGES)[number][0] | "setup";

export interface Route {
  page: PageName;
  /** What is open on the page; empty: nothing. */
  id: string;
  query: URLSearchParams;
}

function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [name = "", ...rest] = path.split("/");
  const known = name === "setup" || PAGES.some(([page]) => page === name);
  return {
    page: known ? (name as PageName) : "now",
    id: known ? decode(rest.join("/")) : "",
    query: new URLSearchParams(query),
  };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const route = signal<Route>(parse(location.hash));

/** The page alone: what reads it is not drawn again when the rest of the address changes. */
export const pageName = computed(() => route.value.page);

addEventListener("hashchange", () => {
  route.value = parse(location.hash);
});

type Query = Record<string, string | undefined> | URLSearchParams;

/** The address of a page; empty values of the query are left out. */
export function href(page: PageName, id = "", query: Query = {}): string {
  const given = query instanceof URLSearchParams ? [...query] : Object.entries(query);
  const kept = given.filter((pair): pair is [string, string] => Boolean(pair[1]));
  const text = kept.length ? `?${new URLSearchParams(kept)}` : "";
  return `#/${page}${id ? `/${encodeURIComponent(id)}` : ""}${text}`;
}

/** Goes to a page; `replace` leaves no entry in the history. */
export function go(page: PageName, id = "", query: Query = {}, replace = false): void {
  const to = href(page, id, query);
  if (to === location.hash) return;
  if (replace) {
    history.replaceState(null, "", to);
    route.value = parse(to);
  } else {
    location.hash = to;
  }
}

/** Sets one value in the query of the present address, without an entry in the history. */
export function setQuery(name: string, value: string): void {
  const query = new URLSearchParams(route.value.query);
  if (value) query.set(name, value);
  else query.delete(name);
  go(route.value.page, route.value.id, query, true);
}
