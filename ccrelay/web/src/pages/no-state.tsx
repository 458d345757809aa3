// What a page shows that lives from the state of the relay, while there is none.
import type { ComponentChildren } from "preact";
import { link, retryNow } from "../api/live.ts";
import { useLate } from "../ui/basic.tsx";
import { Failed } from "../ui/states.tsx";

const UNAVAILABLE = 14;

/** `children`: the skeleton, which comes after 150 ms. */
export function NoState({ title, children }: { title: string; children: ComponentChildren }) {
  const isLate = useLate();
  const lost = link.value;
  if (lost.state !== "lost") return <>{isLate && children}</>;
  const problem = { code: UNAVAILABLE, text: lost.problem, gone: true, id: "" };
  return <Failed whole title={title} problem={problem} onRetry={retryNow} command="ccrelay doctor" />;
}
