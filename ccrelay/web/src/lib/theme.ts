// Light, dark, or as the system; kept by the browser.
import { effect, signal } from "@preact/signals";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const NAME = "ccrelay.theme";

function kept(): Theme {
  try {
    const value = localStorage.getItem(NAME);
    return THEMES.find((one) => one === value) ?? "system";
  } catch {
    return "system"; // storage is switched off
  }
}

export const theme = signal<Theme>(kept());

effect(() => {
  const root = document.documentElement;
  if (theme.value === "system") delete root.dataset.theme;
  else root.dataset.theme = theme.value;
  try {
    localStorage.setItem(NAME, theme.value);
  } catch {
    // as above
  }
});

/** The next of system, light, dark. */
export function nextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "system";
}
