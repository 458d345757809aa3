// Loading, empty and error; disconnected and read-only are banners of the shell.
import type { ComponentChildren } from "preact";
import { type Problem, SILENT } from "../api/client.ts";
import { Cmd } from "./basic.tsx";

/** A grey bar in the size of what it stands for. `w`: width in steps of 10 percent or a size. */
export function Sk({ w = "m", h = "s" }: { w?: "xs" | "s" | "m" | "l" | "full"; h?: "s" | "l" }) {
  return <span class={`sk sk-${w} sk-h${h}`} />;
}

/** Rows of a table that are not there yet. */
export function SkRows({ rows = 8 }: { rows?: number }) {
  return (
    <>
      {Array.from({ length: rows }, (_, at) => (
        <div class="sk-row" key={at}>
          <Sk w="s" />
          <Sk w={at % 3 ? "l" : "m"} />
          <span class="grow" />
          <Sk w="s" />
          <Sk w="xs" />
        </div>
      ))}
    </>
  );
}

export function Loading({ children }: { children: ComponentChildren }) {
  return (
    <div role="status" aria-busy="true" aria-label="Loading">
      {children}
    </div>
  );
}

/** Nothing yet: one sentence, one command. `whole`: the page has nothing else. */
export function Empty(props: { title: string; children?: ComponentChildren; command?: string; art?: boolean; whole?: boolean }) {
  const Title = props.whole ? "h1" : "h2";
  return (
    <div class="blank">
      {props.art && (
        <svg class="art" viewBox="0 0 620 72" preserveAspectRatio="none" aria-hidden="true">
          <line x1="0" y1="12" x2="620" y2="12" />
          <line x1="0" y1="36" x2="620" y2="36" />
          <line x1="0" y1="60" x2="620" y2="60" />
          <line class="nowline" x1="500" y1="0" x2="500" y2="72" />
        </svg>
      )}
      <Title>{props.title}</Title>
      {props.children && <p>{props.children}</p>}
      {props.command && <Cmd text={props.command} />}
    </div>
  );
}

/** What the relay said, what still works, an id. `whole`: the page has nothing else. */
export function Failed(props: {
  title: string;
  whole?: boolean;
  problem: Problem;
  onRetry: () => void;
  command?: string;
  children?: ComponentChildren;
}) {
  const Title = props.whole ? "h1" : "h2";
  return (
    <div class="blank" role="alert">
      <Title>{props.title}</Title>
      <p>
        {props.problem.text === SILENT ? (
          SILENT
        ) : (
          <>
            {props.problem.gone ? "The relay does not answer: " : "The relay answered, and said: "}
            <code>{props.problem.text}</code>.
          </>
        )}{" "}
        {props.children}
      </p>
      <div class="row wrap">
        <button type="button" class="btn primary" onClick={props.onRetry}>
          Try again
        </button>
        {props.problem.id && (
          <span class="q2">
            Request id <code>{props.problem.id}</code>
          </span>
        )}
      </div>
      {props.command && <Cmd text={props.command} />}
    </div>
  );
}
