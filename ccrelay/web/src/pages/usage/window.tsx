// Will the window last? Its use until now against an even pace, and how it goes on.
import { api } from "../../api/client.ts";
import type { Key, Provider, Window } from "../../api/gen/ccrelay/v1/providers_pb.ts";
import { Dimension } from "../../api/gen/ccrelay/v1/usage_pb.ts";
import { now, status, tick } from "../../api/live.ts";
import { moment, percent, span } from "../../lib/format.ts";
import { useLoad } from "../../lib/load.ts";
import { route, setQuery } from "../../lib/router.ts";
import { isLong, needsLook, windowTitle } from "../../lib/words.ts";
import { term } from "../filter.ts";
import { forecast } from "../providers/words.ts";
import { burn, type Burn } from "./burn.ts";

interface Choice {
  id: string;
  provider: Provider;
  key: Key;
  window: Window;
}

function choices(): Choice[] {
  return (status.value?.providers ?? []).flatMap((provider) =>
    provider.keys.flatMap((key) =>
      key.windows
        .filter(isLong)
        .map((window) => ({ id: `${provider.name}/${key.name}:${window.name}`, provider, key, window })),
    ),
  );
}

/** The one in the address, else the one that is in trouble, else the longest. */
function chosen(all: Choice[]): Choice | undefined {
  const asked = all.find((one) => one.id === route.value.query.get("window"));
  const order = [...all].sort(
    (a, b) =>
      Number(needsLook(b.window)) - Number(needsLook(a.window)) || b.window.lengthS - a.window.lengthS,
  );
  return asked ?? order[0];
}

export function WindowPanel() {
  const all = choices();
  const one = chosen(all);
  if (!one) {
    return (
      <section class="panel" id="window">
        <header>
          <h2>Windows of plans</h2>
        </header>
        <p class="body q2">
          No window is known. Providers tell them with answers to a login or plan; limits per minute stand on
          the page Providers.
        </p>
      </section>
    );
  }
  return (
    <section class="panel" id="window" aria-label="Will the window last?">
      <header>
        <h2>
          {all.length > 1 ? (
            <label>
              <span class="vh">Window</span>
              <select class="sel" value={one.id} onChange={(event) => setQuery("window", event.currentTarget.value)}>
                {all.map((each) => (
                  <option key={each.id} value={each.id}>
                    {windowTitle(each.window.name)} of {each.provider.name}/{each.key.name}
                  </option>
                ))}
              </select>
            </label>
          ) : (
            `${windowTitle(one.window.name)} of ${one.provider.name}/${one.key.name}`
          )}
        </h2>
        <div class="end">
          <span>
            <b class={needsLook(one.window) ? "warn" : ""}>{percent(one.window.utilization)}</b> used
          </span>
        </div>
      </header>
      <div class="body">
        <BurnUp one={one} key={one.id} />
      </div>
      <footer>
        {sentence(one.window, tick.value)} The way until now follows the cost per hour of this key, to what the
        provider says.
      </footer>
    </section>
  );
}

function sentence(window: Window, at: number): string {
  const words = forecast(window, at);
  const said = words ? `${words[0]?.toUpperCase()}${words.slice(1)}.` : "How it goes on is not known yet.";
  const reset = Number(window.resetsAtMs);
  return reset ? `${said} Resets ${moment(reset, at)}.` : said;
}

const HOUR_MS = 3_600_000;

function BurnUp({ one }: { one: Choice }) {
  const { window } = one;
  const end = Number(window.resetsAtMs);
  const start = end - window.lengthS * 1000;
  const filter = `${term("provider", one.provider.name)} ${term("key", one.key.name)}`;
  const hours = useLoad(
    async (signal) => {
      if (!end || !window.lengthS) return [];
      const sinceMs = BigInt(start - (start % HOUR_MS));
      const answer = await api.usage.query({ groupBy: [Dimension.HOUR], filter, sinceMs }, { signal });
      return answer.rows.map((row) => ({
        atMs: new Date(`${row.group[0]}:00`).getTime(),
        cost: Number((row.totals?.billedMicros ?? 0n) + (row.totals?.planMicros ?? 0n)),
      }));
    },
    [one.id, end],
    60_000,
  );
  const facts = {
    utilization: window.utilization,
    resetsAtMs: end,
    lengthS: window.lengthS,
    fullAtMs: Number(window.fullAtMs),
    atReset: window.utilizationAtReset,
  };
  const at = now();
  const found = burn(facts, hours.data ?? [], at);
  if (!found) return <p class="q2">When it resets is not known.</p>;
  return <BurnChart burn={found} at={at} words={`${windowTitle(window.name)}: ${percent(window.utilization)} used. ${sentence(window, at)}`} />;
}

const WIDE = 1000;
const HIGH = 220;

function BurnChart({ burn: one, at, words }: { burn: Burn; at: number; words: string }) {
  const most = Math.max(1.2, Math.min((one.forecast?.[1] ?? 0) + 0.1, 2));
  const x = (ms: number): number => ((ms - one.startMs) / (one.endMs - one.startMs)) * WIDE;
  const y = (part: number): number => HIGH - (Math.min(part, most) / most) * HIGH;
  const line = one.points.map(([ms, part]) => `${x(ms).toFixed(1)} ${y(part).toFixed(1)}`).join(" ");
  const last = one.points.at(-1) ?? [at, 0];
  const isLate = x(one.fullAtMs) > WIDE * 0.7; // its label ends where the picture ends
  const left = (ms: number): string => `${(x(ms) / WIDE) * 100}%`;
  return (
    <div class="chart">
      <div class="plot us-burn">
        <svg viewBox={`0 0 ${WIDE} ${HIGH}`} preserveAspectRatio="none" role="img" aria-label={words}>
          <path class="gl" d={[0.25, 0.5, 0.75].map((part) => `M0 ${y(part)}H${WIDE}`).join("")} />
          <path class="area" d={`M${line}L${x(last[0])} ${HIGH}L0 ${HIGH}Z`} />
          <path class="ln pace" d={`M0 ${HIGH}L${WIDE} ${y(1)}`} />
          <path class="cap" d={`M0 ${y(1)}H${WIDE}`} />
          {one.forecast && (
            <path class="ln fcast" d={`M${x(last[0])} ${y(last[1])}L${x(one.forecast[0])} ${y(one.forecast[1])}`} />
          )}
          <path class="ln" d={`M${line}`} />
          <path class="nowl" d={`M${x(at)} ${y(1)}V${HIGH}`} />
          {one.fullAtMs > 0 && <path class="hit" d={`M${x(one.fullAtMs)} ${y(1)}V${HIGH}`} />}
        </svg>
        {one.fullAtMs > 0 && (
          <>
            <i class="hz w us-dry" style={{ left: left(one.fullAtMs), top: `${(y(1) / HIGH) * 100}%` }} />
            <span
              class={isLate ? "cl r us-out" : "cl us-out"}
              style={{ left: isLate ? "100%" : left(one.fullAtMs), top: `${(y(1) / HIGH) * 100 - 2}%` }}
            >
              runs out {moment(one.fullAtMs, at)}
            </span>
            {x(one.fullAtMs) < WIDE * 0.88 && (
              <span class="cl l us-out opt-a" style={{ left: left(one.fullAtMs), top: "82%" }}>
                {span((one.endMs - one.fullAtMs) / 1000)}
              </span>
            )}
          </>
        )}
        {[0, 0.25, 0.5, 0.75, 1].map((part) => (
          <span class="yl" key={part} style={{ top: `${(y(part) / HIGH) * 100}%` }}>
            {part * 100} %
          </span>
        ))}
        <span class="xl l us-start">{moment(one.startMs, at)}</span>
        <span class="xl us-now" style={{ left: left(at) }}>
          now
        </span>
        <span class="xl r us-end">{moment(one.endMs, at)}</span>
      </div>
    </div>
  );
}
