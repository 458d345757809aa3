// The small components of the design: icons, states, targets, figures, commands.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { status } from "../api/live.ts";
import { readOnly } from "../api/session.ts";
import { copy } from "../lib/copy.ts";
import { parts } from "../lib/format.ts";
import { lettersOf } from "../lib/letters.ts";

export type Tone = "" | "q" | "q2" | "ok" | "warn" | "fail" | "acc";

/** An icon of the sprite in index.html: `ok`, `hop`, `wait`, ... */
export function Icon({ name, small = false }: { name: string; small?: boolean }) {
  return (
    <svg class={small ? "ic ic-s" : "ic"} aria-hidden="true">
      <use href={`#i-${name}`} />
    </svg>
  );
}

/** The switch that stands for a breaker: `closed`, `half`, `open`. */
export function BreakerIcon({ name }: { name: "closed" | "half" | "open" }) {
  return (
    <svg class="ic ic-w" viewBox="0 0 28 16" aria-hidden="true">
      <use href={`#i-${name}`} />
    </svg>
  );
}

/** A mark, a word, and colour only when something is not as usual. */
export function State({ icon, tone = "q", children }: { icon: string; tone?: Tone; children: ComponentChildren }) {
  return (
    <span class={`state ${tone}`}>
      <Icon name={icon} />
      {children}
    </span>
  );
}

let lettersFor = "";
let letters = new Map<string, string>();

/** The letter of a provider; `?` where it is not configured any more. */
export function letterOf(provider: string): string {
  const names = status.value?.providers.map((one) => one.name) ?? [];
  const joined = names.join("\n");
  if (joined !== lettersFor) {
    lettersFor = joined;
    letters = lettersOf(names);
  }
  return letters.get(provider) ?? "?";
}

/** A letter in a frame, as it stands for a provider. */
export function Mark({ provider }: { provider: string }) {
  return (
    <span class="mg" aria-hidden="true">
      {letterOf(provider)}
    </span>
  );
}

/**
 * A target, `provider/key`, by its letter.
 * `brief`: the provider is for screen readers only; `faded`: the target before the last one.
 */
export function Target(props: { provider: string; name: string; brief?: boolean; faded?: boolean }) {
  const { provider, name, brief = false, faded = false } = props;
  if (!provider) return <span class="q">-</span>;
  return (
    <span class="tgt">
      <Mark provider={provider} />
      {brief && <span class="vh">{provider}/</span>}
      <span class={faded ? "q" : undefined}>
        {!brief && !faded && <i>{provider}/</i>}
        {name}
      </span>
    </span>
  );
}

/** A figure of which the unit is grey: `0.93 s`. */
export function Figure({ text }: { text: string }) {
  const [figure, unit] = parts(text.replaceAll(" ", "\u00a0"));
  return (
    <>
      {figure}
      {unit && <span class="u">{unit}</span>}
    </>
  );
}

/** A live figure that keeps its width, in characters. */
export function LiveFigure({ text, width }: { text: string; width: number }) {
  return <span class={`live-n w${Math.min(Math.max(width, 1), 12)}`}>{text}</span>;
}

export function Kbd({ children }: { children: ComponentChildren }) {
  return <kbd aria-hidden="true">{children}</kbd>;
}

/** What to type, with a button that copies it. */
export function Cmd({ text }: { text: string }) {
  return (
    <div class="cmd">
      <span tabIndex={0}>{text}</span>
      <button type="button" class="btn" onClick={() => void copy(text)}>
        <Icon name="copy" small /> Copy
      </button>
    </div>
  );
}

/** A button that changes the relay: pale, and without effect, where the page is read-only. */
export function ActButton(props: {
  onClick: () => void;
  children: ComponentChildren;
  primary?: boolean;
  disabled?: boolean;
  label?: string;
}) {
  const isOff = readOnly.value || props.disabled === true;
  return (
    <button
      type="button"
      class={`btn act${props.primary ? " primary" : ""}`}
      aria-disabled={isOff}
      aria-label={props.label}
      title={readOnly.value ? "This page is read-only." : undefined}
      onClick={() => {
        if (!isOff) props.onClick();
      }}
    >
      {props.children}
    </button>
  );
}

/** A choice of few, side by side: ranges, groups. */
export function Segments<T extends string>(props: {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onPick: (value: T) => void;
}) {
  return (
    <div class="seg" role="group" aria-label={props.label}>
      {props.options.map(([value, text]) => (
        <button
          key={value}
          type="button"
          aria-current={value === props.value ? "true" : undefined}
          onClick={() => props.onPick(value)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}

/** Whether a time has passed since the component appeared: skeletons come after 150 ms. */
export function useLate(ms = 150): boolean {
  const [isLate, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), ms);
    return () => clearTimeout(timer);
  }, []);
  return isLate;
}
