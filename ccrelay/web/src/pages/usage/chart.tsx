// Cost per day, stacked. The picture has a text that says the same.
import { useState } from "preact/hooks";
import { dollars } from "../../lib/format.ts";
import { niceStep, type Pivot, stacked } from "./pivot.ts";

interface Props {
  pivot: Pivot;
  /** Names of the series, as in the legend. */
  names: string[];
  /** Under the bars. */
  labels: string[];
  /** Expected dollars of the last bar; 0: not known. */
  expected: number;
  /** What is drawn, for those who do not see it. */
  title: string;
}

const WIDE = 1000;
const HIGH = 248;
/** Values stand above the bars while there is room for them. */
const VALUES_MAX = 14;
/** So many labels find room under the chart. */
const LABELS_MAX = 8;
/** A bar is no wider than this part of the whole. */
const BAR_MAX = 64;

/** Colours of the ramp by position in the stack; the last one is for all the rest. */
export const SWATCHES = ["s1", "s2", "s3", "s0"] as const;

export function Chart({ pivot, names, labels, expected, title }: Props) {
  const [at, setAt] = useState(-1);
  const number = labels.length;
  const max = Math.max(...pivot.totals, expected, 0.01);
  const step = niceStep(max);
  const top = Math.ceil((max * 1.04) / step) * step;
  const y = (value: number): number => HIGH - (value / top) * HIGH;
  const slot = WIDE / number;
  const width = Math.min(slot * (number > 31 ? 0.8 : 0.6), BAR_MAX);
  const x = (i: number): number => (i + 0.5) * slot;
  const lines = Array.from({ length: Math.round(top / step) + 1 }, (_, i) => i * step);
  const tops = stacked(pivot.series);
  const last = number - 1;
  const sofar = pivot.totals[last] ?? 0;
  const isExpected = expected > sofar;
  const percent = (part: number, whole: number): string => `${((part / whole) * 100).toFixed(3)}%`;
  const every = number > VALUES_MAX ? Math.ceil(number / LABELS_MAX) : 1;
  return (
    <div class="chart us-chart">
      <div class="plot us-plot">
        <svg
          viewBox={`0 0 ${WIDE} ${HIGH}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={words(title, pivot, labels, expected)}
        >
          <path class="gl" d={lines.map((value) => `M0 ${y(value)}H${WIDE}`).join("")} />
          {tops.map((values, series) =>
            values.map((value, i) => {
              const from = tops[series - 1]?.[i] ?? 0;
              if (value <= from) return null;
              return (
                <rect
                  key={`${series}-${i}`}
                  class={`b${series + 1} bar-gap`}
                  x={x(i) - width / 2}
                  y={y(value)}
                  width={width}
                  height={y(from) - y(value)}
                />
              );
            }),
          )}
        </svg>
        {isExpected && (
          <i
            class="hz line us-expected"
            style={{
              left: percent(x(last) - width / 2, WIDE),
              width: percent(width, WIDE),
              top: percent(y(expected), HIGH),
              bottom: percent(HIGH - y(sofar), HIGH),
            }}
          />
        )}
        {lines.map((value) => (
          <span class="yl" key={value} style={{ top: percent(y(value), HIGH) }}>
            {axisMoney(value, step)}
          </span>
        ))}
        {labels.map((label, i) =>
          (last - i) % every === 0 ? (
            <span class={((last - i) / every) % 2 ? "xl opt-a" : "xl"} key={label} style={{ left: percent(x(i), WIDE) }}>
              {label}
            </span>
          ) : null,
        )}
        {number <= VALUES_MAX &&
          pivot.totals.map((total, i) => {
            const shown = i === last && isExpected ? expected : total;
            if (shown <= 0) return null;
            return (
              <span class="cl" key={labels[i]} style={{ left: percent(x(i), WIDE), top: percent(y(shown), HIGH) }}>
                {i === last && isExpected ? "≈ " : ""}
                {rough(shown)}
              </span>
            );
          })}
        <div class="us-slots" aria-hidden="true" onMouseLeave={() => setAt(-1)}>
          {labels.map((label, i) => (
            <i key={label} class={i === at ? "on" : undefined} onMouseEnter={() => setAt(i)} />
          ))}
        </div>
        {at >= 0 && at < number && (
          <div
            class={at > last / 2 ? "us-tip left" : "us-tip"}
            style={{ left: percent(x(at), WIDE) }}
            aria-hidden="true"
          >
            <b>{labels[at]}</b>
            {pivot.series.map((one, i) =>
              one.values[at] ? (
                <span key={names[i]}>
                  <i class={`sw ${SWATCHES[i]}`} /> <bdi>{names[i]}</bdi> <em>{money(one.values[at] ?? 0)}</em>
                </span>
              ) : null,
            )}
            <span>
              all <em>{money(pivot.totals[at] ?? 0)}</em>
            </span>
          </div>
        )}
      </div>
    </div>
  );
}

function money(amount: number): string {
  return dollars(Math.round(amount * 1e6));
}

/** An amount where there is little room. */
function rough(amount: number): string {
  return amount >= 9.95 ? `$${Math.round(amount).toLocaleString("en-US")}` : money(amount);
}

function axisMoney(value: number, step: number): string {
  if (step >= 1) return `$${value.toLocaleString("en-US")}`;
  return `$${value.toFixed(Math.min(6, Math.ceil(-Math.log10(step))))}`;
}

function words(title: string, pivot: Pivot, labels: string[], expected: number): string {
  const parts = labels
    .map((label, i) => [label, pivot.totals[i] ?? 0] as const)
    .filter(([, total]) => total > 0)
    .map(([label, total]) => `${label} ${money(total)}`);
  const said = parts.length ? parts.join(", ") : "nothing";
  return `${title}: ${said}${expected ? `; today about ${money(expected)} by midnight` : ""}`;
}
