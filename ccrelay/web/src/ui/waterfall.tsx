// Attempts of one exchange over time; cut after the commit so that milliseconds stay visible.
import type { Attempt, Exchange } from "../api/gen/ccrelay/v1/exchanges_pb.ts";
import { elapsed, short } from "../lib/format.ts";
import { Figure, Target } from "./basic.tsx";

const WIDTH = 1000;
const COMMIT = 880; // where the commit stands when an answer streams
const ROW = 22;

interface Scale {
  x: (ms: number) => number;
  /** When the client saw the first byte, milliseconds; 0: not told. */
  commitMs: number;
  /** Marks on the axis, milliseconds. */
  marks: number[];
}

function scaleOf(one: Exchange, attempts: readonly Attempt[]): Scale {
  const end = Math.max(one.durationMs, ...attempts.map((a) => a.startedMs + a.durationMs), 1);
  const commitMs = one.firstEventMs > 0 && one.firstEventMs < end ? one.firstEventMs : 0;
  const whole = commitMs || end;
  const width = commitMs ? COMMIT : WIDTH - 20;
  const x = (ms: number): number => {
    if (ms <= whole) return (Math.max(ms, 0) / whole) * width;
    return width + ((ms - whole) / Math.max(end - whole, 1)) * (WIDTH - width);
  };
  return { x, commitMs, marks: marksOf(whole) };
}

/** At most five round marks. */
function marksOf(wholeMs: number): number[] {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000, 300_000];
  const step = steps.find((one) => wholeMs / one <= 5.5) ?? 3_600_000;
  const marks: number[] = [];
  for (let at = step; at < wholeMs * 0.97; at += step) marks.push(at);
  return marks;
}

function label(ms: number, most: number): string {
  return most < 1000 ? `${ms} ms` : (ms / 1000).toFixed(most < 10_000 ? 1 : 0);
}

function isFailed(attempt: Attempt): boolean {
  if (attempt.verdict) return !["answered", "client_left", "passed_on"].includes(attempt.verdict);
  return Boolean(attempt.error) || attempt.status >= 400 || attempt.status === 0;
}

function verdict(attempt: Attempt): string {
  const what = attempt.error || (attempt.verdict === "answered" ? "" : attempt.verdict.replaceAll("_", " "));
  return [attempt.status || "", what].filter(Boolean).join(" ") || "no answer";
}

export function Waterfall({ one, attempts }: { one: Exchange; attempts: readonly Attempt[] }) {
  const scale = scaleOf(one, attempts);
  const most = scale.commitMs || one.durationMs;
  return (
    <div class="wf">
      {one.queuedMs >= 1 && (
        <>
          <div class="h">Queue</div>
          <Phase name="wait for room" scale={scale} from={0} to={one.queuedMs} shape="hold" />
        </>
      )}
      {attempts.map((attempt, at) => (
        <AttemptRows key={at} attempt={attempt} number={at + 1} scale={scale} isLast={at === attempts.length - 1} />
      ))}
      <div />
      <div class="ax" aria-hidden="true">
        {scale.marks
          .filter((mark) => !scale.commitMs || scale.x(mark) < COMMIT - 190)
          .map((mark) => (
            <span key={mark} style={{ left: `${scale.x(mark) / 10}%` }}>
              {label(mark, most)}
            </span>
          ))}
        {scale.commitMs > 0 && (
          <span class="at-commit" style={{ left: `${COMMIT / 10}%` }}>
            commit
          </span>
        )}
      </div>
      <div class="v ax q">{elapsed(one.durationMs)}</div>
    </div>
  );
}

function AttemptRows(props: { attempt: Attempt; number: number; scale: Scale; isLast: boolean }) {
  const { attempt, number, scale, isLast } = props;
  const begin = attempt.startedMs;
  const end = begin + attempt.durationMs;
  const bad = isFailed(attempt);
  const commit = isLast && !bad && scale.commitMs > begin && scale.commitMs < end ? scale.commitMs : 0;
  return (
    <>
      <div class="h">
        <span class="nw">Attempt {number}</span> <Target provider={attempt.provider} name={attempt.key} />
        <span class={bad ? "tag fail" : "tag"} title={verdict(attempt)}>
          <span class="elide-tag">{verdict(attempt)}</span>
        </span>
      </div>
      <Phase name={commit ? "to first event" : bad ? "until it failed" : "answer"} scale={scale} from={begin} to={commit || end} shape={bad ? "bad" : "await"} />
      {commit > 0 && <Phase name="stream" scale={scale} from={commit} to={end} shape="stream" />}
    </>
  );
}

function Phase(props: { name: string; scale: Scale; from: number; to: number; shape: "await" | "bad" | "stream" | "hold" }) {
  const { name, scale, from, to, shape } = props;
  const x = scale.x(from);
  const width = Math.max(scale.x(to) - x, 3);
  const isLong = shape === "stream" && width > 60;
  return (
    <>
      <div class="p">{name}</div>
      <div class="cell">
        <svg viewBox={`0 0 ${WIDTH} ${ROW}`} preserveAspectRatio="none" aria-hidden="true">
          <path class="g" d={scale.marks.map((mark) => `M${scale.x(mark).toFixed(1)} 0V${ROW}`).join("")} />
          {shape !== "hold" && (
            <rect class={shape === "stream" ? "str" : "awt"} x={x.toFixed(1)} y="6" width={width.toFixed(1)} height="10" />
          )}
          {shape === "bad" && <rect class="bad" x={(x + width).toFixed(1)} y="2" width="5" height="18" />}
          {scale.commitMs > 0 && shape !== "bad" && <path class="commit" d={`M${COMMIT} 0V${ROW}`} />}
          {isLong && <path class="brk" d="M940 22L955 0M965 22L980 0" />}
        </svg>
        {shape === "hold" && <i class="hz line" style={{ left: `${x / 10}%`, width: `${width / 10}%` }} />}
      </div>
      <div class="v">
        <Figure text={short(to - from)} />
      </div>
    </>
  );
}
