// Lanes: one per key, time runs right; a failover is drawn as the hand-over it is.
import { detailOf } from "../api/details.ts";
import { type Exchange, Outcome, type Running } from "../api/gen/ccrelay/v1/exchanges_pb.ts";
import { Breaker_State, type Key, Key_State, type Provider } from "../api/gen/ccrelay/v1/providers_pb.ts";
import { clock, countdown, elapsed, minute, percent } from "../lib/format.ts";
import { href } from "../lib/router.ts";
import { breakerOf, isLong, needsLook, rampOf, windowShort } from "../lib/words.ts";
import { LiveFigure, Target } from "./basic.tsx";

/** Seconds that the lanes show, before and after now. One unit of the drawing is one second. */
export const PAST_S = 1200;
const FUTURE_S = 240;
const WIDTH = PAST_S + FUTURE_S;
const HEIGHT = 36;
const TALLEST = 14; // lanes; the rest is a sentence
const FAILURES = 24; // of which the attempts are read

interface Tick {
  x: number;
  text: string;
}

interface Lane {
  provider: Provider;
  key: Key;
  marks: Map<string, [number, number][]>;
  ticks: Tick[];
  running: [number, number][];
  longest: Running | null;
}

interface Hand {
  x: number;
  from: number;
  to: number;
  sentence: string;
}

const keyOf = (provider: string, key: string): string => `${provider}/${key}`;
const at = (share: number): string => `${((share / WIDTH) * 100).toFixed(2)}%`;

function lanesOf(providers: readonly Provider[]): Lane[] {
  return providers.flatMap((provider) =>
    provider.keys.map((key) => ({ provider, key, marks: new Map(), ticks: [], running: [], longest: null })),
  );
}

/** Adds a stretch; stretches that touch become one, so that many exchanges are few shapes. */
function stretch(list: [number, number][], from: number, to: number): void {
  const last = list.at(-1);
  if (last && from <= last[1] + 0.5) last[1] = Math.max(last[1], to);
  else list.push([from, to]);
}

function addEnded(lanes: Map<string, Lane>, rows: readonly Exchange[], beginMs: number): Exchange[] {
  const failed: Exchange[] = [];
  // Newest last; those before the range end the loop early.
  const seen: Exchange[] = [];
  for (let index = rows.length - 1; index >= 0; index -= 1) {
    const one = rows[index];
    if (!one || Number(one.startedAtMs) + one.durationMs < beginMs) break;
    seen.push(one);
  }
  seen.sort((a, b) => Number(a.startedAtMs - b.startedAtMs));
  for (const one of seen) {
    const lane = lanes.get(keyOf(one.provider, one.key));
    const from = (Number(one.startedAtMs) - beginMs) / 1000;
    const to = from + one.durationMs / 1000;
    if (one.attempts > 1 || one.outcome === Outcome.FAILOVER) failed.push(one);
    if (!lane) continue;
    if (one.outcome === Outcome.PASSED_ON || one.outcome === Outcome.LOST) {
      lane.ticks.push({ x: Math.max(to, 0), text: one.status ? `${one.status}` : "lost" });
      continue;
    }
    const ramp = one.kind === "messages" ? rampOf(one.sentModel || one.model) : "glm";
    let list = lane.marks.get(ramp);
    if (!list) lane.marks.set(ramp, (list = []));
    const begin = Math.max(from, 0);
    stretch(list, begin, Math.max(Math.min(to, PAST_S), begin + 4));
  }
  return failed;
}

function addFailures(lanes: Lane[], failed: Exchange[], beginMs: number): Hand[] {
  const index = new Map(lanes.map((lane, row) => [keyOf(lane.provider.name, lane.key.name), row]));
  const hands: Hand[] = [];
  for (const one of failed.slice(-FAILURES)) {
    const attempts = detailOf(one.id)?.attempts ?? [];
    attempts.forEach((attempt, number) => {
      const following = attempts[number + 1];
      if (!following) return;
      const row = index.get(keyOf(attempt.provider, attempt.key));
      const next = index.get(keyOf(following.provider, following.key));
      const endMs = Number(one.startedAtMs) + attempt.startedMs + attempt.durationMs;
      const x = (endMs - beginMs) / 1000;
      if (row === undefined || x < 0) return;
      const text = attempt.status ? `${attempt.status}` : attempt.verdict;
      lanes[row]?.ticks.push({ x, text });
      if (next === undefined || next === row) return;
      const sentence = `${clock(endMs)}: ${attempt.key} failed (${text}), ${following.key} took over.`;
      hands.push({ x, from: row, to: next, sentence });
    });
  }
  return hands;
}

function path(list: readonly [number, number][]): string {
  return list.map(([from, to]) => `M${from.toFixed(1)} 11H${to.toFixed(1)}V25H${from.toFixed(1)}Z`).join("");
}

/** A stretch of rest: `from` and `to` in seconds of the lanes, `label` what ends it. */
function rests(lane: Lane, nowMs: number): { from: number; to: number; label: string; fails: boolean } | null {
  const last = lane.ticks.at(-1);
  const breaker = lane.provider.breaker;
  if (breaker?.state === Breaker_State.OPEN) {
    const from = PAST_S - (nowMs - Number(breaker.sinceMs || BigInt(Math.round(nowMs)))) / 1000;
    const left = (Number(breaker.resumesAtMs) - nowMs) / 1000;
    return { from, to: PAST_S + Math.max(left, 0), label: `probe ${countdown(left)}`, fails: true };
  }
  const left = (Number(lane.key.cooldownUntilMs) - nowMs) / 1000;
  if (left <= 0) return null;
  return { from: last ? last.x : PAST_S, to: PAST_S + left, label: "", fails: false };
}

function End({ lane, nowMs }: { lane: Lane; nowMs: number }) {
  const { key, provider } = lane;
  if (!provider.enabled || key.state === Key_State.DISABLED) return <span class="q">disabled</span>;
  if (key.state === Key_State.REFUSED) return <b class="fail">refused</b>;
  const left = (Number(key.cooldownUntilMs) - nowMs) / 1000;
  if (left > 0) {
    return (
      <span class="warn">
        <b>{key.state === Key_State.FULL ? "full" : "cooldown"}</b> <LiveFigure text={countdown(left)} width={4} />
      </span>
    );
  }
  const breaker = provider.breaker;
  if (breaker && breaker.state === Breaker_State.OPEN) return <b class="fail">{breakerOf(breaker.state).text}</b>;
  const tightest = key.windows
    .filter(isLong)
    .reduce<(typeof key.windows)[number] | null>((most, one) => (most && most.utilization >= one.utilization ? most : one), null);
  if (tightest) {
    return (
      <span class={needsLook(tightest) ? "warn" : undefined}>
        <b>{windowShort(tightest.name)}</b> {percent(tightest.utilization)}
      </span>
    );
  }
  if (key.room !== undefined) return <span class={key.room < 0.1 ? "warn" : undefined}>room {percent(key.room)}</span>;
  return <span class="q">{key.state === Key_State.IN_USE ? "in use" : "idle"}</span>;
}

function Track({ lane, row, hands, nowMs }: { lane: Lane; row: number; hands: Hand[]; nowMs: number }) {
  const rest = rests(lane, nowMs);
  const begin = nowMs / 1000 - PAST_S;
  const grid: number[] = [];
  for (let mark = Math.ceil(begin / 300) * 300; mark < begin + PAST_S; mark += 300) grid.push(mark - begin);
  return (
    <div class="track">
      <i class="soon-zone" style={{ left: at(PAST_S) }} />
      {rest && (
        <i
          class={rest.fails ? "hz w out" : "hz w"}
          style={{ left: at(Math.max(rest.from, 0)), width: at(Math.min(rest.to, WIDTH) - Math.max(rest.from, 0)) }}
        />
      )}
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        <path class="grid" d={grid.map((x) => `M${x.toFixed(1)} 0V${HEIGHT}`).join("")} />
        <path class="base" d={`M0 18H${PAST_S}`} />
        {[...lane.marks].map(([ramp, list]) => (
          <path key={ramp} class={`x ${ramp}`} d={path(list)} />
        ))}
        {lane.running.length > 0 && <path class="on" d={path(lane.running)} />}
        {hands.map((hand) => {
          const [top, bottom] = hand.from < hand.to ? [hand.from, hand.to] : [hand.to, hand.from];
          if (row < top || row > bottom) return null;
          const isFrom = row === hand.from;
          const goesDown = hand.to > hand.from;
          const [y1, y2] = isFrom ? (goesDown ? [28, 36] : [0, 8]) : row === hand.to ? (goesDown ? [0, 11] : [25, 36]) : [0, 36];
          const isThrough = row !== hand.from && row !== hand.to;
          return <path key={`${hand.x}`} class={isThrough ? "hand thru" : "hand"} d={`M${hand.x} ${y1}V${y2}`} />;
        })}
        <path class="bad" d={lane.ticks.map(({ x }) => `M${(x - 2).toFixed(1)} 8H${(x + 2.5).toFixed(1)}V28H${(x - 2).toFixed(1)}Z`).join("")} />
        <path class="nowline" d={`M${PAST_S} 0V${HEIGHT}`} />
      </svg>
      {lane.longest && (
        <span class={`lab soonlab opt-x${rest ? " over" : ""}`} style={{ left: at(Math.min(Math.max(rest?.to ?? 0, PAST_S), WIDTH - 110) + 8) }}>
          {lane.longest.firstEventMs > 0 ? "streaming" : "under way"}{" "}
          {elapsed(nowMs - Number(lane.longest.startedAtMs)).replace(/\.\d /, " ")}
        </span>
      )}
      {!lane.longest && rest?.label && (
        <span class="lab soonlab warn opt-x" style={{ left: at(Math.min(rest.to, WIDTH - 90) + 6) }}>
          {rest.label}
        </span>
      )}
      {lane.ticks.slice(-6).map((tick, number, all) => {
        const after = all[number + 1];
        if (after && after.x - tick.x < 40) return null; // it would lie under the next one
        return (
          <span key={`${tick.x}`} class="lab fail opt-x tick" style={{ left: at(tick.x) }}>
            {tick.text}
          </span>
        );
      })}
    </div>
  );
}

function Axis({ nowMs }: { nowMs: number }) {
  const begin = nowMs - PAST_S * 1000;
  const marks: number[] = [];
  for (let mark = Math.ceil(begin / 300_000) * 300_000; mark < nowMs - 60_000; mark += 300_000) marks.push(mark);
  return (
    <div class="lane-axis" aria-hidden="true">
      <span />
      <div class="track">
        {marks.map((mark, number) => (
          <span key={mark} class={number % 2 ? "opt-x" : undefined} style={{ left: at((mark - begin) / 1000) }}>
            {minute(mark)}
          </span>
        ))}
        <span class="nowlab" style={{ left: at(PAST_S) }}>
          now
        </span>
        <span style={{ left: at(PAST_S + 180) }}>+3 min</span>
      </div>
      <span />
    </div>
  );
}

export function Lanes(props: {
  providers: readonly Provider[];
  rows: readonly Exchange[];
  running: readonly Running[];
  nowMs: number;
}) {
  const { providers, rows, running, nowMs } = props;
  const beginMs = nowMs - PAST_S * 1000;
  const all = lanesOf(providers);
  const busiest = [...all].sort((a, b) => Number((b.key.today?.exchanges ?? 0n) - (a.key.today?.exchanges ?? 0n)));
  const kept = new Set(busiest.slice(0, TALLEST));
  const lanes = all.filter((lane) => kept.has(lane));
  const byKey = new Map(lanes.map((lane) => [keyOf(lane.provider.name, lane.key.name), lane]));
  const hands = addFailures(lanes, addEnded(byKey, rows, beginMs), beginMs);
  for (const lane of lanes) lane.ticks.sort((a, b) => a.x - b.x);
  for (const one of running) {
    const lane = byKey.get(keyOf(one.provider, one.key));
    if (!lane) continue;
    const from = Math.min(Math.max((Number(one.startedAtMs) - beginMs) / 1000, 0), PAST_S - 3);
    lane.running.push([from, PAST_S]);
    if (!lane.longest || one.startedAtMs < lane.longest.startedAtMs) lane.longest = one;
  }
  return (
    <section class="panel mt" aria-label="Lanes: what each key did in the last 20 minutes">
      <header>
        <h2>Lanes</h2>
        <div class="end">
          <div class="legend opt-a">
            <span>
              <i class="sw s1" />
              opus
            </span>
            <span>
              <i class="sw s2" />
              sonnet
            </span>
            <span>
              <i class="sw s3" />
              haiku
            </span>
            <span>
              <i class="sw s0" />
              others, counts
            </span>
            <span>
              <i class="sw bad" />
              failed attempt
            </span>
            <span>
              <i class="sw rest" />
              cooldown
            </span>
          </div>
        </div>
      </header>
      <div class="lanes">
        {lanes.map((lane, row) => (
          <div class="lane" key={keyOf(lane.provider.name, lane.key.name)}>
            <div class="who">
              <Target provider={lane.provider.name} name={lane.key.name} />
              <span class="fp">{lane.key.fingerprint.slice(0, 11)}…</span>
            </div>
            <Track lane={lane} row={row} hands={hands} nowMs={nowMs} />
            <div class="end">
              <End lane={lane} nowMs={nowMs} />
            </div>
          </div>
        ))}
        <Axis nowMs={nowMs} />
      </div>
      {all.length > lanes.length && (
        <footer>
          <a class="link" href={href("providers")}>
            {all.length - lanes.length} keys more
          </a>{" "}
          were used less today.
        </footer>
      )}
      <p class="vh">{hands.map((hand) => hand.sentence).join(" ")}</p>
    </section>
  );
}
