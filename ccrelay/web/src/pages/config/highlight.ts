// Colours for lines of a configuration: names of settings, comments, references, fingerprints.

export interface Piece {
  text: string;
  /** Class of `tokens.css`: `k` name, `c` comment, `fpv` secret that is not shown, "" the rest. */
  kind: "" | "k" | "c" | "fpv";
}

const MASK = /<masked hmac:[0-9a-f]{8}(?:-[0-9]+)?>|\b(?:hmac|sha256):[0-9a-f]{4,}…?|\$\{[^{}\n]*\}/g;
const YAML_NAME = /(^[ \t]*(?:- +)*|[{,][ \t]*)((?:"[^"\n]*"|'[^'\n]*'|[\w$][\w.$/*-]*)(?=[ \t]*:(?:[ \t]|$)))/g;
const TOML_NAME = /(^[ \t]*|[{,][ \t]*)((?:"[^"\n]*"|'[^'\n]*'|[\w.-]+)(?=[ \t]*=)|\[{1,2}[^\]\n]*\]{1,2}[ \t]*$)/g;
/** Longer lines are shown without colours: no setting is as long. */
const LINE_MAX = 2000;

/** Where a comment begins; the length of the line: nowhere. */
export function commentAt(line: string, isToml: boolean): number {
  let quote = "";
  for (let i = 0; i < line.length; i++) {
    const char = line[i];
    if (quote) {
      if (char === "\\" && quote === '"') i++;
      else if (char === quote) quote = "";
    } else if (char === '"' || char === "'") {
      // In YAML a quote within a plain word is none: `it's`.
      if (isToml || /[\s[{,:(-]/.test(line[i - 1] ?? " ")) quote = char;
    } else if (char === "#" && (isToml || i === 0 || /\s/.test(line[i - 1] ?? ""))) {
      return i;
    }
  }
  return line.length;
}

export function highlight(line: string, format = "yaml"): Piece[] {
  if (line.length > LINE_MAX) return [{ text: line, kind: "" }];
  const isToml = format === "toml";
  const end = commentAt(line, isToml);
  const code = line.slice(0, end);
  const found: Piece[] = [];
  const put = (text: string, kind: Piece["kind"]): void => {
    if (text) found.push({ text, kind });
  };
  let at = 0;
  for (const match of code.matchAll(isToml ? TOML_NAME : YAML_NAME)) {
    const from = match.index + (match[1] ?? "").length;
    values(code.slice(at, from), put);
    put(match[2] ?? "", "k");
    at = from + (match[2] ?? "").length;
  }
  values(code.slice(at), put);
  put(line.slice(end), "c");
  return found;
}

function values(text: string, put: (text: string, kind: Piece["kind"]) => void): void {
  let at = 0;
  for (const match of text.matchAll(MASK)) {
    put(text.slice(at, match.index), "");
    put(match[0], "fpv");
    at = match.index + match[0].length;
  }
  put(text.slice(at), "");
}
