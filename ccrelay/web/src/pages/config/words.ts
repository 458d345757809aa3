// What the page says first.
import { moment } from "../../lib/format.ts";

export interface Facts {
  /** Number in force; 0: there is no file. */
  revision: number;
  /** What the last reload said; empty: it did not fail. */
  reloadProblem: string;
  /** Whether the file's text is the one in force; null: not known. */
  isSame: boolean | null;
  appliedAtMs: number;
  origin: string;
  nowMs: number;
}

const ORIGINS: Record<string, string> = {
  start: "started with it",
  file: "the file was changed",
  apply: "applied",
  rollback: "rolled back",
  override: "overrides written",
};

/** How a revision came, in words. */
export function originWords(origin: string): string {
  return ORIGINS[origin] ?? origin;
}

export function headline(facts: Facts): string {
  const number = `number ${facts.revision}`;
  if (facts.reloadProblem) return `The file was not taken over; ${number} stays in force`;
  if (facts.isSame === false) return `The file differs from what is in force, ${number}`;
  return `What the file says is in force: ${number}`;
}

export function subline(facts: Facts): string {
  if (facts.reloadProblem) return "Nothing that runs has changed.";
  if (!facts.appliedAtMs) return "";
  return `Since ${moment(facts.appliedAtMs, facts.nowMs)}: ${originWords(facts.origin)}.`;
}

/** A text as a text area has it, whose lines end by a line feed alone. */
export function asTyped(text: string): string {
  return text.replace(/\r\n?/g, "\n");
}

/** What was typed, with the ends of lines of the file. */
export function withEndsOf(file: string, typed: string): string {
  if (typed === asTyped(file)) return file;
  return file.includes("\r\n") ? typed.replaceAll("\n", "\r\n") : typed;
}

/** Line and column in a message of the checker, `config.yaml:24:5: ...`; null: it has none. */
export function placeOf(message: string): { line: number; column: number } | null {
  const match = /:(\d+)(?::(\d+))?:? /.exec(message);
  return match ? { line: Number(match[1]), column: Number(match[2] ?? 0) } : null;
}
