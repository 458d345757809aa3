// A difference of two texts, line by line.
import { counts, diff, folded, type DiffLine, type Fold } from "./diff.ts";
import { Pieces } from "./editor.tsx";

interface Props {
  before: string;
  after: string;
  format: string;
  label: string;
}

export function DiffView({ before, after, format, label }: Props) {
  const all = diff(before, after);
  const shown = folded(all);
  if (!shown.length) return <p class="q2 dv-none">No line differs.</p>;
  return (
    <pre class="code dv" tabIndex={0} role="region" aria-label={label}>
      {shown.map((one) => (one.kind === "fold" ? <FoldRow fold={one} /> : <Row line={one} format={format} />))}
    </pre>
  );
}

function FoldRow({ fold }: { fold: Fold }) {
  return (
    <span class="dv-fold">
      {fold.lines} unchanged {fold.lines === 1 ? "line" : "lines"}
    </span>
  );
}

const SIGNS = { same: " ", add: "+", del: "-" };

function Row({ line, format }: { line: DiffLine; format: string }) {
  return (
    <span class={`dv-ln ${line.kind}`}>
      <span class="dv-no">{line.before || ""}</span>
      <span class="dv-no">{line.after || ""}</span>
      <span class="dv-sign">{SIGNS[line.kind]}</span>
      <Pieces text={line.text} format={format} />
    </span>
  );
}

/** `2 lines added, 1 removed`. */
export function countsWords(before: string, after: string): string {
  const { added, removed } = counts(diff(before, after));
  if (!added && !removed) return "no line differs";
  const parts = [];
  if (added) parts.push(`${added} ${added === 1 ? "line" : "lines"} added`);
  if (removed) parts.push(`${removed} removed`);
  return parts.join(", ");
}
