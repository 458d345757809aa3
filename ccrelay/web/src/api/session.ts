// Signing in: a one-time code behind `#` becomes a cookie that scripts cannot read.
import { signal } from "@preact/signals";
import { KEY, keepPageKey, pageKey } from "./client.ts";
import { PAGE_HEADER } from "./transport.ts";

export type SignIn =
  | "asking"
  | "in"
  /** The relay knows no cookie of this browser. */
  | "out"
  /** A code was given that is used up, wrong or too old. */
  | "refused"
  /** The relay does not answer. */
  | "gone";

export const signIn = signal<SignIn>("asking");

const AGAIN_MS = 2_000;

/** Whether the page may change nothing. */
export const readOnly = signal(false);

/** Takes the code out of the address, so that neither history nor bookmarks keep it. */
function takeCode(): string {
  const found = /[#&]k=([^&]+)/.exec(location.hash);
  if (!found) return "";
  history.replaceState(null, "", location.pathname + location.search);
  return found[1] ?? "";
}

async function ask(code: string): Promise<Response> {
  const headers: Record<string, string> = { [PAGE_HEADER]: pageKey() };
  if (!code) return fetch("session", { headers, credentials: "same-origin", cache: "no-store" });
  headers["content-type"] = "application/json";
  const body = JSON.stringify({ code });
  return fetch("session", { method: "POST", headers, body, credentials: "same-origin" });
}

/** Signs in with the code in the address, else with the cookie that is there. */
export async function openSession(): Promise<void> {
  const code = takeCode();
  try {
    let answer = await ask(code);
    // A link that was used before is no reason to turn away a browser that is signed in.
    const refused = Boolean(code) && !answer.ok;
    if (refused) answer = await ask("");
    if (answer.ok) {
      const told = (await answer.json()) as { read_only?: boolean; page_key?: string };
      if (told.page_key) keepPageKey(told.page_key);
      readOnly.value = told.read_only === true;
      signIn.value = "in";
    } else if (answer.status === 401 || answer.status === 403) {
      signIn.value = refused ? "refused" : "out";
    } else {
      signIn.value = "gone";
    }
  } catch {
    signIn.value = "gone";
  }
  if (signIn.value === "gone") setTimeout(() => signIn.value === "gone" && void openSession(), AGAIN_MS);
}

let looking: Promise<void> | null = null;

/**
 * A call was refused. Another tab may have signed in since, and this browser with it: only where the
 * relay knows no session is the page signed out.
 */
export function lookAgain(): Promise<void> {
  looking ??= ask("")
    .then(async (answer) => {
      if (answer.ok) readOnly.value = ((await answer.json()) as { read_only?: boolean }).read_only === true;
      else if (answer.status === 401 || answer.status === 403) signIn.value = "out";
    })
    .catch(() => {}) // the banner tells of a loss
    .finally(() => (looking = null));
  return looking;
}

/** Whether the tab waits for a session that another tab may have opened. */
function isWaiting(): boolean {
  return signIn.value === "out" || signIn.value === "refused";
}

addEventListener("storage", (event) => {
  if (event.key === KEY && isWaiting()) void openSession();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && isWaiting()) void openSession();
});

// A second link in the same tab changes the part behind `#` only.
addEventListener("hashchange", () => {
  if (/[#&]k=/.test(location.hash)) void openSession();
});
