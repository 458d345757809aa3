// One answer of the API as state of a part of the page.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { isSignedOut, type Problem, problemOf } from "../api/client.ts";
import { link, recoveries } from "../api/live.ts";
import { lookAgain } from "../api/session.ts";

export interface Loaded<T> {
  /** The newest answer; while another one is on its way the one before. */
  data: T | null;
  problem: Problem | null;
  /** Whether nothing came for so long that a skeleton is due (150 ms). */
  isLate: boolean;
  /** Whether a call is under way. */
  isBusy: boolean;
  reload: () => void;
}

const LATE_MS = 150;

/**
 * Calls `ask` now, when `deps` change, when the relay is back, and every `everyMs` while it is live.
 * The last answer stays while a newer one is on its way, also when that fails.
 */
export function useLoad<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  deps: readonly unknown[],
  everyMs = 0,
): Loaded<T> {
  const [state, setState] = useState<{ data: T | null; problem: Problem | null; busy: boolean }>({
    data: null,
    problem: null,
    busy: true,
  });
  const [isLate, setLate] = useState(false);
  const [turn, setTurn] = useState(0);
  const held = useRef(ask);
  held.current = ask;
  const reload = useCallback(() => setTurn((one) => one + 1), []);
  const isLive = link.value.state === "live";

  useEffect(() => {
    const control = new AbortController();
    const late = setTimeout(() => setLate(true), LATE_MS);
    setState((before) => ({ ...before, busy: true }));
    held.current(control.signal).then(
      (data) => {
        if (!control.signal.aborted) setState({ data, problem: null, busy: false });
      },
      (error: unknown) => {
        if (control.signal.aborted) return;
        if (isSignedOut(error)) void lookAgain();
        setState((before) => ({ data: before.data, problem: problemOf(error), busy: false }));
      },
    );
    return () => {
      clearTimeout(late);
      control.abort();
    };
  }, [...deps, turn, recoveries.value]);

  useEffect(() => {
    if (!everyMs || !isLive) return;
    const timer = setInterval(() => {
      if (!document.hidden) reload();
    }, everyMs);
    return () => clearInterval(timer);
  }, [everyMs, isLive]);

  const isEmpty = state.data === null && state.problem === null;
  return { data: state.data, problem: state.problem, isLate: isLate && isEmpty, isBusy: state.busy, reload };
}
