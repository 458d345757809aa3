// Words that are safe on a command line.

const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/;

/** One word of a POSIX shell. */
export function quote(word: string): string {
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A command of words; empty ones are left out. */
export function shell(...words: (string | false | undefined)[]): string {
  return words.filter((word): word is string => Boolean(word)).map(quote).join(" ");
}
