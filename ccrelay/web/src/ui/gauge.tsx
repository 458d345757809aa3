// A window of a key: used, pace, forecast, reset.
import type { Window } from "../api/gen/ccrelay/v1/providers_pb.ts";
import { countdown, moment, percent, span } from "../lib/format.ts";
import { needsLook, runsOut, windowTitle } from "../lib/words.ts";
import { LiveFigure, Target } from "./basic.tsx";

const WHOLE = 89.29; // where 100 % stands; what is right of it is over the limit

function place(share: number): string {
  return `${Math.min(Math.max(share, 0) * WHOLE, 100).toFixed(2)}%`;
}

/** Which part of the window is gone, 0 to 1; null: not known. */
export function gone(one: Window, nowMs: number): number | null {
  if (!one.resetsAtMs || !one.lengthS) return null;
  const left = Number(one.resetsAtMs) - nowMs;
  return Math.min(Math.max(1 - left / (one.lengthS * 1000), 0), 1);
}

function Forecast({ one, nowMs }: { one: Window; nowMs: number }) {
  if (one.utilization >= 1) return <b class="warn">Used up</b>;
  if (runsOut(one)) {
    const early = Number(one.resetsAtMs - one.fullAtMs) / 1000;
    return (
      <>
        <b class="warn">Runs out {moment(one.fullAtMs, nowMs).replace(/:\d\d$/, (s) => (isToday(one.fullAtMs, nowMs) ? "" : s))}</b>
        {one.resetsAtMs ? `, ${span(early)} early` : ""}
      </>
    );
  }
  if (one.utilizationAtReset !== undefined) return <>Lasts: about {percent(one.utilizationAtReset)} by the reset</>;
  return <span class="q">No forecast yet</span>;
}

function isToday(atMs: bigint, nowMs: number): boolean {
  return new Date(Number(atMs)).toDateString() === new Date(nowMs).toDateString();
}

export function Gauge(props: { provider: string; name: string; window: Window; nowMs: number }) {
  const { provider, name, window: one, nowMs } = props;
  const pace = gone(one, nowMs);
  const forecast = one.utilizationAtReset;
  const left = (Number(one.resetsAtMs) - nowMs) / 1000;
  const label = [
    `${percent(one.utilization)} used`,
    pace === null ? "" : `${percent(pace)} of the time gone`,
    forecast === undefined ? "" : `${percent(forecast)} expected by the reset`,
  ].filter(Boolean);
  const style = {
    "--u": place(one.utilization),
    "--p": place(pace ?? 0),
    "--f": place(Math.max(forecast ?? 0, one.utilization)),
  };
  return (
    <div class="gauge">
      <div class="top">
        <Target provider={provider} name={name} brief />
        <b>{windowTitle(one.name)}</b>
        <span class="pct">
          {percent(one.utilization).replace(" %", "")}
          <span class="u"> %</span>
        </span>
      </div>
      <div class="gbar" role="img" aria-label={label.join(", ")} style={style}>
        <i class="t" />
        <i class={needsLook(one) ? "hz h w" : "hz h"} />
        <i class="f" />
        <i class="cap" />
        {pace !== null && <i class="pace" />}
      </div>
      <div class="bot">
        <span>
          <Forecast one={one} nowMs={nowMs} />
        </span>
        {one.resetsAtMs > 0n && (
          <span class="rs">
            resets in <LiveFigure text={countdown(left)} width={7} />
          </span>
        )}
      </div>
    </div>
  );
}
