// Words of a filter, as `ccrelay exchanges --filter` reads them.

/** `provider=zai`, `project="two words"`: the whole text, whatever it holds. */
export function term(field: string, value: string): string {
  if (/^[\w./@+-]+$/.test(value)) return `${field}=${value}`;
  return `${field}="${value.replace(/[\\"]/g, "\\$&")}"`;
}
