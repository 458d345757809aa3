// A field for the words of a filter. The relay reads them; it says what it does not know.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../ui/basic.tsx";

interface Props {
  value: string;
  /** What the relay says of it; empty: it can be read. */
  problem: string;
  placeholder: string;
  onChange: (text: string) => void;
  /** What stands right of it. */
  children?: ComponentChildren;
}

const AFTER_MS = 400;

export function FilterLine({ value, problem, placeholder, onChange, children }: Props) {
  const [text, setText] = useState(value);
  const timer = useRef(0);
  useEffect(() => {
    setText(value);
  }, [value]);
  const send = (typed: string, afterMs: number): void => {
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => onChange(typed.trim()), afterMs);
  };
  useEffect(() => () => clearTimeout(timer.current), []);
  return (
    <div class="filter">
      <label class="field">
        <Icon name="find" />
        <span class="vh">Filter</span>
        <input
          type="text"
          value={text}
          placeholder={placeholder}
          spellcheck={false}
          autocomplete="off"
          aria-invalid={problem !== ""}
          aria-describedby="filter-problem"
          onInput={(event) => {
            setText(event.currentTarget.value);
            send(event.currentTarget.value, AFTER_MS);
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter") send(event.currentTarget.value, 0);
            if (event.key !== "Escape") return;
            if (text) {
              setText("");
              send("", 0);
            } else event.currentTarget.blur();
          }}
        />
      </label>
      <span id="filter-problem" class="fail" role="status">
        {problem}
      </span>
      {children && <div class="fl-end">{children}</div>}
    </div>
  );
}
