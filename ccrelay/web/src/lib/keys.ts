// The keyboard map. Nothing that changes the relay has a key of its own.
import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { command, copy, say } from "./copy.ts";
import { go, PAGES } from "./router.ts";
import { nextTheme } from "./theme.ts";

export type KeyMap = Record<string, (event: KeyboardEvent) => void>;

/** Whether the list of keys is open. */
export const sheetOpen = signal(false);

const stack: { current: KeyMap }[] = [];
let prefix = 0; // when `g` was pressed, milliseconds

/**
 * Keys of a page or a part of it; the last one mounted is asked first.
 * Names as `KeyboardEvent.key`: `j`, `Enter`, `Escape`, `ArrowDown`, ` `.
 */
export function useKeys(map: KeyMap): void {
  const held = useRef(map);
  held.current = map;
  useLayoutEffect(() => {
    stack.push(held);
    return () => void stack.splice(stack.indexOf(held), 1);
  }, []);
}

/** Says which command shows the same as the page; `y` copies it. At once: a key may come before the next frame. */
export function useCommand(text: string): void {
  useLayoutEffect(() => {
    command.value = text;
    return () => void (command.value = "");
  }, [text]);
}

const GLOBAL: KeyMap = {
  t: nextTheme,
  "?": () => (sheetOpen.value = true),
  y: () => (command.value ? void copy(command.value) : say("No command shows this view.")),
};

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) &&
    !(target instanceof HTMLInputElement && /^(radio|checkbox|button)$/.test(target.type))
  );
}

/** Whether Enter and Space belong to the element that has the focus. */
function isControl(target: EventTarget | null): boolean {
  return target instanceof Element && Boolean(target.closest("a, button, summary, input, select"));
}

function onKey(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (sheetOpen.value) {
    if (event.key === "Escape" || event.key === "?") {
      sheetOpen.value = false;
      event.preventDefault();
    }
    return;
  }
  if (isTyping(event.target)) return; // fields handle their own keys
  const inPrefix = performance.now() - prefix < 1500;
  prefix = 0;
  if (inPrefix) {
    const page = PAGES.find(([, , letter]) => letter === event.key);
    if (page) {
      event.preventDefault();
      go(page[0]);
      return;
    }
  }
  if (event.key === "g") {
    prefix = performance.now();
    return;
  }
  if ((event.key === "Enter" || event.key === " ") && isControl(event.target)) return;
  const handler = stack.map((held) => held.current[event.key]).findLast(Boolean) ?? GLOBAL[event.key];
  if (!handler) return;
  event.preventDefault();
  handler(event);
}

addEventListener("keydown", onKey);
