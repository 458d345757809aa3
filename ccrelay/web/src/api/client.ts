// The management API.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { Config } from "./gen/ccrelay/v1/config_pb.ts";
import { Exchanges } from "./gen/ccrelay/v1/exchanges_pb.ts";
import { Providers } from "./gen/ccrelay/v1/providers_pb.ts";
import { Relay } from "./gen/ccrelay/v1/relay_pb.ts";
import { Routing } from "./gen/ccrelay/v1/routing_pb.ts";
import { Setup } from "./gen/ccrelay/v1/setup_pb.ts";
import { Usage } from "./gen/ccrelay/v1/usage_pb.ts";
import { pageTransport } from "./transport.ts";

// Browsers send a cookie to every port of its host; what is stored here, only pages of this origin read.
export const KEY = "ccrelay.page-key";
let own = "";

/** The key that signing in gave to this page; "1" when there is none. */
export function pageKey(): string {
  try {
    return localStorage.getItem(KEY) || own || "1";
  } catch {
    return own || "1"; // storage is switched off: signed in until the tab is closed
  }
}

export function keepPageKey(key: string): void {
  own = key;
  try {
    localStorage.setItem(KEY, key);
  } catch {
    // As above.
  }
}

const transport = pageTransport(location.origin, pageKey);

export const api = {
  relay: createClient(Relay, transport),
  exchanges: createClient(Exchanges, transport),
  providers: createClient(Providers, transport),
  usage: createClient(Usage, transport),
  routing: createClient(Routing, transport),
  config: createClient(Config, transport),
  setup: createClient(Setup, transport),
};

/** What went wrong with a call, for people. */
export interface Problem {
  code: Code;
  /** What the relay said. */
  text: string;
  /** Whether it did not answer at all. */
  gone: boolean;
  /** Id of the call in the log of the relay; empty: none was told. */
  id: string;
}

/** What is said of a relay that says nothing. */
export const SILENT = "The relay does not answer.";

/** Reads any error of a call. */
export function problemOf(error: unknown): Problem {
  const known = ConnectError.from(error);
  // A fetch that fails is a TypeError; what stands between the two answers with an HTTP status.
  const isSilent = known.cause instanceof TypeError; // each browser has other words for it
  const gone = known.code === Code.DeadlineExceeded || isSilent || /^HTTP 5\d\d/.test(known.rawMessage);
  return {
    code: known.code,
    text: isSilent ? SILENT : known.rawMessage || "no reason was told",
    gone,
    id: known.metadata.get("request-id") ?? known.metadata.get("x-request-id") ?? "",
  };
}

/** Whether a call failed because the page is not signed in. */
export function isSignedOut(error: unknown): boolean {
  return ConnectError.from(error).code === Code.Unauthenticated;
}
