// What `y` and the buttons copy, and the short message that says so.
import { signal } from "@preact/signals";

/** The command of the present view; a page sets it by `useCommand`. */
export const command = signal("");

/** A short message at the foot of the page; empty: none. */
export const said = signal("");

let timer = 0;

/** Shows a short message for three seconds. */
export function say(text: string): void {
  said.value = text;
  clearTimeout(timer);
  timer = window.setTimeout(() => (said.value = ""), 3000);
}

/** Copies a text and says so. */
export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied: ${text.length > 60 ? `${text.slice(0, 59)}…` : text}`);
  } catch {
    say(`The browser does not allow copying. The text: ${text}`);
  }
}
