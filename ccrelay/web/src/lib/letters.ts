// Letters that stand for providers where there is little room: the same ones everywhere.

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/** Letters that stand for providers, as the command line gives them (`ccrelay/config/letters.py`). */
export function lettersOf(names: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  const taken = new Set<string>();
  for (const name of names) {
    const wanted = [...name.toUpperCase()].filter((char) => LETTERS.includes(char));
    const letter = [...wanted, ...LETTERS].find((char) => !taken.has(char)) ?? "?";
    taken.add(letter);
    found.set(name, letter);
  }
  return found;
}
