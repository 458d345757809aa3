// A text area with line numbers, colours and the checker's messages at their lines. The area itself
// is transparent: what is seen is the layer below it, which has the same letters at the same places.
import { Component } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Problem } from "../../api/gen/ccrelay/v1/config_pb.ts";
import { Icon } from "../../ui/basic.tsx";
import { highlight } from "./highlight.ts";

/** Above so many lines there are no colours: they would be slower than typing. */
const COLOURED_MAX = 4000;

interface Mark {
  error: boolean;
  column: number;
  message: string;
}

/** Problems by line; several of one line are told one after the other. */
export function marks(problems: readonly Problem[]): Map<number, Mark> {
  const found = new Map<number, Mark>();
  for (const one of problems) {
    if (!one.line) continue;
    const before = found.get(one.line);
    if (!before) {
      found.set(one.line, { error: one.error, column: one.column, message: told(one) });
    } else if (!before.message.includes(one.message)) {
      before.message += ` · ${told(one)}`;
      before.error ||= one.error;
    }
  }
  return found;
}

/** A problem with its place, as the command says it. */
export function told(problem: Problem): string {
  const isPlaced = !problem.path || problem.message.startsWith(problem.path);
  return isPlaced ? problem.message : `${problem.path}: ${problem.message}`;
}

interface LineProps {
  text: string;
  format: string;
  coloured: boolean;
  error: boolean;
  column: number;
  message: string;
}

/** One line of the layer that is seen; drawn again only when something of it differs. */
class Line extends Component<LineProps> {
  override shouldComponentUpdate(next: LineProps): boolean {
    const now = this.props;
    return (Object.keys(next) as (keyof LineProps)[]).some((name) => next[name] !== now[name]);
  }

  override render() {
    const { text, format, coloured, error, column, message } = this.props;
    const kind = message ? (error ? " bad" : " odd") : "";
    return (
      <span class={`ln${kind}`}>
        {coloured ? <Coloured text={text} format={format} from={message ? column : 0} /> : text}
        {message && <span class="ed-msg">{message}</span>}
      </span>
    );
  }
}

/** A line in colours; from the column of a mistake to the end of its word a wavy line. */
function Coloured({ text, format, from }: { text: string; format: string; from: number }) {
  const start = from - 1;
  const mask = text.indexOf("<masked ");
  // Columns are those of the text with its secrets: behind a mask they are not known.
  const rest = from && (mask < 0 || mask >= start) ? text.slice(start) : "";
  const word = /^("[^"]*"|'[^']*'|<[^>]*>|[^\s:=,\]}]+)/.exec(rest)?.[0] ?? "";
  if (!word) return <Pieces text={text} format={format} />;
  return (
    <>
      <Pieces text={text.slice(0, start)} format={format} />
      <span class="sq">{word}</span>
      <Pieces text={text.slice(start + word.length)} format={format} />
    </>
  );
}

export function Pieces({ text, format }: { text: string; format: string }) {
  return (
    <>
      {highlight(text, format).map((piece) =>
        piece.kind ? <span class={piece.kind}>{piece.text}</span> : piece.text,
      )}
    </>
  );
}

/** A text that is only read, in colours and with line numbers. */
export function Code({ text, format, label }: { text: string; format: string; label: string }) {
  const all = text.replace(/\n$/, "").split("\n");
  return (
    <pre class="code ed-read" tabIndex={0} aria-label={label} role="region">
      {all.map((line, i) => (
        <Line
          key={i}
          text={line}
          format={format}
          coloured={all.length < COLOURED_MAX}
          error={false}
          column={0}
          message=""
        />
      ))}
    </pre>
  );
}

interface EditorProps {
  text: string;
  format: string;
  problems: readonly Problem[];
  readOnly: boolean;
  /** A line to go to; changes of `n` repeat it. */
  goTo: { line: number; column: number; n: number } | null;
  onInput: (text: string) => void;
  onSave: () => void;
}

export function Editor({ text, format, problems, readOnly, goTo, onInput, onSave }: EditorProps) {
  const area = useRef<HTMLTextAreaElement>(null);
  const found = marks(problems);
  const all = text.split("\n");
  useEffect(() => {
    if (goTo && area.current) select(area.current, goTo.line, goTo.column);
  }, [goTo?.n]);
  // The value is set by hand, so that the caret stays where it is while a line is typed.
  useLayoutEffect(() => {
    if (area.current && area.current.value !== text) area.current.value = text;
  }, [text]);
  return (
    <div class="ed">
      <div class="ed-in">
        <pre class="code ed-seen" aria-hidden="true">
          {all.map((line, i) => {
            const mark = found.get(i + 1);
            return (
              <Line
                key={i}
                text={line}
                format={format}
                coloured={all.length < COLOURED_MAX}
                error={mark?.error ?? false}
                column={mark?.column ?? 0}
                message={mark?.message ?? ""}
              />
            );
          })}
        </pre>
        <textarea
          ref={area}
          class="ed-area"
          aria-label="Text of the configuration file"
          aria-describedby="ed-problems"
          wrap="off"
          spellcheck={false}
          autocomplete="off"
          autocapitalize="off"
          readOnly={readOnly}
          onInput={(event) => onInput(event.currentTarget.value)}
          onKeyDown={(event) => onKey(event, onSave)}
        />
      </div>
    </div>
  );
}

/** Tab would leave the area, as it has to: Escape, then Tab. Enter keeps the indentation. */
function onKey(event: KeyboardEvent & { currentTarget: HTMLTextAreaElement }, save: () => void): void {
  if ((event.ctrlKey || event.metaKey) && event.key === "s") {
    event.preventDefault();
    save();
  } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey && !event.isComposing) {
    const area = event.currentTarget;
    const before = area.value.slice(0, area.selectionStart);
    const indent = /(?:^|\n)([ \t]*)[^\n]*$/.exec(before)?.[1] ?? "";
    if (!indent || area.readOnly) return;
    event.preventDefault();
    // `execCommand` is the one way that keeps the browser's undo.
    if (!document.execCommand("insertText", false, `\n${indent}`)) {
      area.setRangeText(`\n${indent}`, area.selectionStart, area.selectionEnd, "end");
      area.dispatchEvent(new InputEvent("input", { bubbles: true }));
    }
  } else if (event.key === "Escape") {
    event.currentTarget.blur();
  }
}

function select(area: HTMLTextAreaElement, line: number, column: number): void {
  const all = area.value.split("\n");
  const start = all.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  const at = start + Math.max(0, column - 1);
  area.focus({ preventScroll: true });
  area.setSelectionRange(at, at);
  const seen = area.previousElementSibling?.children[line - 1];
  seen?.scrollIntoView({ block: "center" });
}

interface ProblemsProps {
  problems: readonly Problem[];
  onGo: (line: number, column: number) => void;
}

/** All problems as a list, each leading to its place. */
export function Problems({ problems, onGo }: ProblemsProps) {
  return (
    <ul class="ed-problems" id="ed-problems" aria-live="polite">
      {problems.map((one) => (
        <li class={one.error ? "fail" : "warn"}>
          <Icon name={one.error ? "err" : "wait"} />
          {one.line ? (
            <button class="btn quiet" type="button" onClick={() => onGo(one.line, one.column)}>
              line {one.line}
              {one.column ? `:${one.column}` : ""}
            </button>
          ) : null}
          <span>{told(one)}</span>
        </li>
      ))}
    </ul>
  );
}
