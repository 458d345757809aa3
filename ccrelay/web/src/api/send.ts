import type { Ask } from "./hub.ts";

/** Sends a call with the cookie of the page. */
export function send(ask: Ask, signal: AbortSignal): Promise<Response> {
  const { url, headers, body } = ask;
  return fetch(url, { method: "POST", headers, body, signal, credentials: "same-origin", cache: "no-store" });
}
