// Waits that a signal, or the word to go on, ends early.

const ends = new Set<() => void>();

/** Waits so many milliseconds at most. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      ends.delete(done); // a page is open for days
      resolve();
    }
    signal.addEventListener("abort", done);
    ends.add(done);
  });
}

/** Ends all waits. */
export function goOn(): void {
  for (const end of [...ends]) end();
}
