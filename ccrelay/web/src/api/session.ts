// Signing in: a one-time code behind `#` becomes a cookie that scripts cannot read.
import { signal } from "@preact/signals";
import { keepPageKey, PAGE_HEADER, pageKey } from "./client.ts";

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
}

// A second link in the same tab changes the part behind `#` only.
addEventListener("hashchange", () => {
  if (/[#&]k=/.test(location.hash)) void openSession();
});
