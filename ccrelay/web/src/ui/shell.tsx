// What stands around every page: bar, tabs, dock, banners, list of keys.
import { effect } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { link, retryNow, status } from "../api/live.ts";
import { readOnly } from "../api/session.ts";
import { copy, said } from "../lib/copy.ts";
import { clock, count } from "../lib/format.ts";
import { sheetOpen } from "../lib/keys.ts";
import { href, PAGES, pageName } from "../lib/router.ts";
import { THEMES, theme } from "../lib/theme.ts";
import { Icon, Kbd, LiveFigure } from "./basic.tsx";

export function Shell({ children }: { children: ComponentChildren }) {
  const main = useRef<HTMLElement>(null);
  // The shell is drawn once: a page that is handed through components that are drawn again keeps
  // trees of elements that are gone.
  useEffect(() => effect(() => void main.current?.classList.toggle("stale", link.value.state === "lost")), []);
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault(); // the part behind `#` is the address of the page
          document.getElementById("main")?.focus();
        }}
      >
        Skip to content
      </a>
      <Bar />
      <main id="main" tabIndex={-1} ref={main}>
        {children}
      </main>
      <LostBanner />
      <ReadOnlyBanner />
      <Said />
      <KeySheet />
      <Dock />
    </>
  );
}

function Bar() {
  const page = pageName.value;
  return (
    <header class="bar">
      <a class="brand" href={href("now")} aria-label="ccrelay, Now">
        <svg viewBox="0 0 22 18" aria-hidden="true">
          <path class="b1" d="M2 5h7" />
          <path class="b2" d="M9 5v8h11" />
          <path class="b1" d="M2 13h3M15 5h5" />
        </svg>
        ccrelay
      </a>
      <nav class="tabs" aria-label="Pages">
        {PAGES.map(([name, title]) => (
          <a key={name} href={href(name)} data-t={title} aria-current={name === page ? "page" : undefined}>
            {title}
          </a>
        ))}
      </nav>
      <div class="bar-end">
        {readOnly.value && <span class="tag line">Read-only</span>}
        <LinkState />
        <Address />
        <ThemeSwitch />
        <button
          type="button"
          class="key-hint"
          title="Keyboard"
          aria-label="Keyboard"
          onClick={() => (sheetOpen.value = true)}
        >
          ?
        </button>
      </div>
    </header>
  );
}

function LinkState() {
  const state = link.value.state;
  if (state === "lost") {
    return (
      <span class="link-state">
        <span class="dot fail" />
        <span class="fail">Not connected</span>
      </span>
    );
  }
  if (state === "connecting") {
    return (
      <span class="link-state">
        <span class="dot idle" />
        <span>Connecting</span>
      </span>
    );
  }
  const streams = status.value?.inFlight ?? 0;
  return (
    <span class="link-state">
      <span class="dot" />
      <span>
        Live
        <span class="live-long opt-b">
          , <LiveFigure text={count(streams)} width={1} /> {streams === 1 ? "stream" : "streams"}
        </span>
      </span>
    </span>
  );
}

/** The base URL for clients: what `listen` says, with the scheme left out. */
function Address() {
  const listen = status.value?.listen[0];
  if (!listen) return null;
  const url = /^https?:\/\//.test(listen) ? listen : `http://${listen}`;
  return (
    <button type="button" class="addr opt-a" title="Copy the base URL" onClick={() => void copy(url)}>
      <span>{listen.replace(/^https?:\/\//, "")}</span> <Icon name="copy" small />
    </button>
  );
}

const THEME_LOOK = {
  system: ["As the system", "auto"],
  light: ["Light", "sun"],
  dark: ["Dark", "moon"],
} as const;

function ThemeSwitch() {
  return (
    <div class="seg icons" role="radiogroup" aria-label="Theme">
      {THEMES.map((one) => (
        <label key={one} title={THEME_LOOK[one][0]} class={theme.value === one ? "on" : undefined}>
          <input
            type="radio"
            name="theme"
            checked={theme.value === one}
            onChange={() => (theme.value = one)}
          />
          <span class="vh">{THEME_LOOK[one][0]}</span>
          <Icon name={THEME_LOOK[one][1]} />
        </label>
      ))}
    </div>
  );
}

function LostBanner() {
  const lost = link.value;
  const [at, setAt] = useState(Date.now());
  useEffect(() => {
    if (lost.state !== "lost") return;
    const timer = setInterval(() => setAt(Date.now()), 250);
    return () => clearInterval(timer);
  }, [lost.state]);
  if (lost.state !== "lost") return null;
  const left = Math.max(0, Math.ceil((lost.nextTryAt - Math.max(at, Date.now())) / 1000));
  return (
    <div class="banner lost" role="status">
      <span class="dot fail" />
      <span class="grow">
        <b>The relay does not answer.</b>{" "}
        <span class="q2" aria-hidden="true">
          {status.value ? `Shown is what it said at ${clock(lost.since)}. ` : ""}Next try in{" "}
          <LiveFigure text={`${left} s`} width={3} />.
        </span>
      </span>
      <button type="button" class="btn" onClick={retryNow}>
        Try now
      </button>
    </div>
  );
}

/** Leaves after 8 seconds; the tag in the bar stays. */
function ReadOnlyBanner() {
  const [isShown, setShown] = useState(true);
  useEffect(() => {
    const timer = setTimeout(() => setShown(false), 8000);
    return () => clearTimeout(timer);
  }, []);
  if (!readOnly.value || !isShown || link.value.state === "lost") return null;
  return (
    <div class="banner soft" role="status">
      <span class="grow">
        <b>Read-only.</b>{" "}
        <span class="q2">
          Look at everything; change things with <code>ccrelay</code> on the machine itself.
        </span>
      </span>
      <button type="button" class="btn" onClick={() => setShown(false)}>
        Close
      </button>
    </div>
  );
}

function Said() {
  return (
    <div class="said" role="status" aria-live="polite">
      {said.value && <span>{said.value}</span>}
    </div>
  );
}

const MAP: readonly [string, readonly (readonly [string, ...string[]])[]][] = [
  ["Go", PAGES.map(([, title, letter]) => [title, "g", letter] as const)],
  [
    "Lists",
    [
      ["Next, previous row", "j", "k"],
      ["Open, close", "Enter", "Esc"],
      ["Fold, unfold", "Space"],
      ["Filter", "/"],
      ["Follow, hold still", "f"],
    ],
  ],
  [
    "Anywhere",
    [
      ["Copy the command for this view", "y"],
      ["Time range", "[", "]"],
      ["Theme", "t"],
      ["This list", "?"],
    ],
  ],
];

function KeySheet() {
  const close = useRef<HTMLButtonElement>(null);
  const isOpen = sheetOpen.value;
  useLayoutEffect(() => {
    if (!isOpen) return;
    const before = document.activeElement;
    close.current?.focus();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, [isOpen]);
  if (!isOpen) return null;
  const shut = (): void => void (sheetOpen.value = false);
  return (
    <div
      class="sheet"
      role="dialog"
      aria-modal="true"
      aria-labelledby="keys-title"
      onClick={(event) => {
        if (event.target === event.currentTarget) shut();
      }}
      onKeyDown={(event) => {
        if (event.key === "Tab") event.preventDefault(); // one control: the focus stays
      }}
    >
      <div>
        <div class="row sheet-head">
          <h2 id="keys-title" class="grow">
            Keyboard
          </h2>
          <button type="button" class="btn" ref={close} onClick={shut}>
            Close <Kbd>Esc</Kbd>
          </button>
        </div>
        <ul class="keys">
          {MAP.flatMap(([title, rows]) => [
            <li class="t" key={title}>
              {title}
            </li>,
            ...rows.map(([what, ...keys]) => (
              <li key={what}>
                {what}
                <span>
                  {keys.map((key) => (
                    <kbd key={key}>{key}</kbd>
                  ))}
                </span>
              </li>
            )),
          ])}
        </ul>
      </div>
    </div>
  );
}

const IN_DOCK = 5;

function Dock() {
  const page = pageName.value;
  const more = useRef<HTMLDetailsElement>(null);
  const shut = (): void => more.current?.removeAttribute("open");
  return (
    <nav class="dock" aria-label="Pages, short">
      {PAGES.slice(0, IN_DOCK).map(([name, title]) => (
        <a key={name} href={href(name)} aria-current={name === page ? "page" : undefined}>
          <Icon name={`p-${name}`} />
          <span>{title}</span>
        </a>
      ))}
      <details ref={more}>
        <summary>
          <Icon name="p-more" />
          <span>More</span>
        </summary>
        <div>
          {PAGES.slice(IN_DOCK).map(([name, title]) => (
            <a key={name} href={href(name)} onClick={shut} aria-current={name === page ? "page" : undefined}>
              {title}
            </a>
          ))}
        </div>
      </details>
    </nav>
  );
}
