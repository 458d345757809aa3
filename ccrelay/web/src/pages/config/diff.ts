// Line differences of two texts (Myers' O(ND) algorithm, with the common ends taken off first).

export interface DiffLine {
  kind: "same" | "add" | "del";
  text: string;
  /** Line number in the old text, from 1; 0: it is not there. */
  before: number;
  /** Line number in the new text, from 1; 0: it is not there. */
  after: number;
}

/** A run of unchanged lines that is not shown. */
export interface Fold {
  kind: "fold";
  lines: number;
}

/** More edits than this are shown as one block taken out and one put in. */
const EDITS_MAX = 1500;

export function lines(text: string): string[] {
  const found = text.split("\n");
  if (found.at(-1) === "") found.pop();
  return found;
}

export function diff(before: string, after: string): DiffLine[] {
  const a = lines(before);
  const b = lines(after);
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let endA = a.length;
  let endB = b.length;
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) {
    endA--;
    endB--;
  }
  const found: DiffLine[] = [];
  for (let i = 0; i < start; i++) found.push(same(a, i, i));
  found.push(...middle(a, b, start, endA, endB));
  for (let i = endA; i < a.length; i++) found.push(same(a, i, i - endA + endB));
  return found;
}

function same(a: string[], i: number, j: number): DiffLine {
  return { kind: "same", text: a[i] ?? "", before: i + 1, after: j + 1 };
}

function del(a: string[], i: number): DiffLine {
  return { kind: "del", text: a[i] ?? "", before: i + 1, after: 0 };
}

function add(b: string[], j: number): DiffLine {
  return { kind: "add", text: b[j] ?? "", before: 0, after: j + 1 };
}

function middle(a: string[], b: string[], start: number, endA: number, endB: number): DiffLine[] {
  const n = endA - start;
  const m = endB - start;
  const trace = n && m ? search(a, b, start, n, m) : null;
  if (!trace) {
    const found: DiffLine[] = [];
    for (let i = start; i < endA; i++) found.push(del(a, i));
    for (let j = start; j < endB; j++) found.push(add(b, j));
    return found;
  }
  return walkBack(a, b, start, n, m, trace);
}

/** The furthest points per diagonal after each number of edits; null: too many edits. */
function search(a: string[], b: string[], start: number, n: number, m: number): Int32Array[] | null {
  const max = Math.min(n + m, EDITS_MAX);
  const size = 2 * max + 3;
  const zero = max + 1;
  const v = new Int32Array(size);
  const trace: Int32Array[] = [];
  for (let d = 0; d <= max; d++) {
    trace.push(v.slice(zero - d - 1, zero + d + 2));
    for (let k = -d; k <= d; k += 2) {
      const down = k === -d || (k !== d && (v[zero + k - 1] ?? 0) < (v[zero + k + 1] ?? 0));
      let x = down ? (v[zero + k + 1] ?? 0) : (v[zero + k - 1] ?? 0) + 1;
      while (x < n && x - k < m && a[start + x] === b[start + x - k]) x++;
      v[zero + k] = x;
      if (x >= n && x - k >= m) return trace;
    }
  }
  return null;
}

function walkBack(
  a: string[],
  b: string[],
  start: number,
  n: number,
  m: number,
  trace: Int32Array[],
): DiffLine[] {
  const found: DiffLine[] = [];
  let x = n;
  let y = m;
  for (let d = trace.length - 1; d >= 0; d--) {
    const v = trace[d] as Int32Array;
    const at = (k: number): number => v[k + d + 1] ?? 0;
    const k = x - y;
    const down = k === -d || (k !== d && at(k - 1) < at(k + 1));
    const previous = down ? k + 1 : k - 1;
    const fromX = d === 0 ? 0 : at(previous);
    const fromY = d === 0 ? 0 : fromX - previous;
    while (x > fromX && y > fromY) {
      x--;
      y--;
      found.push(same(a, start + x, start + y));
    }
    if (d === 0) break;
    if (down) found.push(add(b, start + --y));
    else found.push(del(a, start + --x));
  }
  return found.reverse();
}

/** What is shown of a difference: changes with `context` lines around them, the rest folded. */
export function folded(all: DiffLine[], context = 3): (DiffLine | Fold)[] {
  const near = new Uint8Array(all.length);
  all.forEach((line, i) => {
    if (line.kind === "same") return;
    for (let j = Math.max(0, i - context); j <= Math.min(all.length - 1, i + context); j++) near[j] = 1;
  });
  const found: (DiffLine | Fold)[] = [];
  let hidden = 0;
  all.forEach((line, i) => {
    if (!near[i]) {
      hidden++;
      return;
    }
    if (hidden) found.push({ kind: "fold", lines: hidden });
    hidden = 0;
    found.push(line);
  });
  if (hidden && found.length) found.push({ kind: "fold", lines: hidden });
  return found;
}

export function counts(all: DiffLine[]): { added: number; removed: number } {
  let added = 0;
  let removed = 0;
  for (const line of all) {
    if (line.kind === "add") added++;
    else if (line.kind === "del") removed++;
  }
  return { added, removed };
}
