// Cells of tables of exchanges: the same on Now and on Exchanges.
import { detailOf } from "../api/details.ts";
import type { Exchange, Running } from "../api/gen/ccrelay/v1/exchanges_pb.ts";
import { clock, elapsed, latency } from "../lib/format.ts";
import { agentOf, costOf, isPlan, originOf, outcomeOf, phaseOf, purposeOf, shortModel } from "../lib/words.ts";
import { Figure, Mark, State, Target } from "./basic.tsx";

type One = Exchange | Running;

/** `payments-api subagent Explore`; `times`: how many stand behind one row. */
export function What({ one, times = 1 }: { one: One; times?: number }) {
  const agent = agentOf(one);
  return (
    <>
      <bdi>{originOf(one)}</bdi>{" "}
      <span class="q">
        {times > 1 && `${times} × `}
        {purposeOf(one)}
      </span>
      {agent && <bdi class="q"> {agent}</bdi>}
    </>
  );
}

/** `sonnet-5-5→glm-5.3` where another one was sent. */
export function Model({ one }: { one: One }) {
  const asked = shortModel(one.model);
  const sent = shortModel(one.sentModel);
  if (!asked && !sent) return <>-</>;
  if (!sent || sent === asked) return <>{asked}</>;
  return (
    <>
      {asked}
      <Hop label="answered by" />
      {sent}
    </>
  );
}

export function Hop({ label }: { label: string }) {
  return (
    <span class="hop">
      <span aria-hidden="true">→</span>
      <span class="vh">, {label} </span>
    </span>
  );
}

/** The target that answered, after the first one where that is known. */
export function Where({ one, brief = false }: { one: Exchange; brief?: boolean }) {
  const first = one.attempts > 1 ? detailOf(one.id)?.attempts[0] : undefined;
  const hasMoved = first !== undefined && (first.provider !== one.provider || first.key !== one.key);
  if (!hasMoved) return <Target provider={one.provider} name={one.key} brief={brief} />;
  return (
    <span class="hops">
      <span class="tgt">
        <Mark provider={first.provider} />
        <span class="vh">{first.provider}/</span>
        <span class="q">{first.key}</span>
      </span>
      <Hop label="failed over to" />
      <Target provider={one.provider} name={one.key} brief />
    </span>
  );
}

export function Outcome({ one }: { one: Exchange }) {
  const word = outcomeOf(one);
  return (
    <State icon={word.icon} tone={word.tone}>
      {word.text}
    </State>
  );
}

export function Phase({ one }: { one: Running }) {
  const word = phaseOf(one);
  return (
    <State icon={word.icon} tone={word.tone}>
      {word.text}
    </State>
  );
}

export function CostCell({ one }: { one: Exchange }) {
  const text = costOf(one);
  if (text === "free" || text === "-" || text === "?") return <span class="q">{text}</span>;
  if (!isPlan(one)) return <>{text}</>;
  return (
    <span class="plan" title="Covered by a plan; at list price">
      {text}
    </span>
  );
}

export function FirstCell({ ms }: { ms: number }) {
  return ms > 0 ? <Figure text={latency(ms)} /> : <span class="q">-</span>;
}

export function TotalCell({ ms }: { ms: number }) {
  return <Figure text={elapsed(ms)} />;
}

export function TimeCell({ atMs }: { atMs: bigint }) {
  return <>{clock(atMs)}</>;
}
