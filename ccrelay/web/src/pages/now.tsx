// Now: does it answer, and will it go on doing so?
import { useEffect } from "preact/hooks";
import { api } from "../api/client.ts";
import { type Feed, endOf } from "../api/feed.ts";
import { recentFeed } from "../api/feeds.ts";
import type { Exchange } from "../api/gen/ccrelay/v1/exchanges_pb.ts";
import type { Provider, Totals } from "../api/gen/ccrelay/v1/providers_pb.ts";
import type { Status } from "../api/gen/ccrelay/v1/relay_pb.ts";
import { Dimension, type UsageRow } from "../api/gen/ccrelay/v1/usage_pb.ts";
import { link, retryNow, status, tick } from "../api/live.ts";
import { running, watchRunning } from "../api/running.ts";
import { type Attention, attentionOf, verdictOf } from "../lib/attention.ts";
import { count, dollars, hits, latency, midnight, percent, savings, short, tokens } from "../lib/format.ts";
import { useCommand } from "../lib/keys.ts";
import { useLoad } from "../lib/load.ts";
import { href } from "../lib/router.ts";
import { breakerOf, isLong, tokensOf } from "../lib/words.ts";
import { BreakerIcon, Figure, Icon, LiveFigure, Mark, useLate } from "../ui/basic.tsx";
import { Gauge } from "../ui/gauge.tsx";
import { Lanes, PAST_S } from "../ui/lanes.tsx";
import { LatestTable } from "../ui/latest.tsx";
import { Bars, Line } from "../ui/spark.tsx";
import { Empty, Failed, Loading, Sk, SkRows } from "../ui/states.tsx";

const COVERED = 3000; // exchanges that are read at most to fill the lanes

export function NowPage() {
  useCommand("ccrelay status");
  useEffect(watchRunning, []);
  const feed = recentFeed();
  feed.version.value; // drawn again when exchanges end
  useEffect(() => void fillLanes(feed), [feed.ready.value]);
  const isLate = useLate();
  const hours = useLoad(
    (signal) =>
      api.usage.query({ groupBy: [Dimension.HOUR], sinceMs: BigInt(midnight()) }, { signal }),
    [],
    60_000,
  );
  const now = status.value;
  if (!now) {
    const lost = link.value;
    if (lost.state === "lost") {
      const problem = { code: 14, text: lost.problem, gone: true, id: "" };
      return (
        <Failed
          whole
          title="The state of the relay could not be read"
          problem={problem}
          onRetry={retryNow}
          command="ccrelay doctor"
        />
      );
    }
    return isLate ? <NowSkeleton /> : null;
  }
  const windows = now.providers.flatMap((one) => one.keys.flatMap((key) => key.windows.filter(isLong))).length;
  // As many rows as make both columns equally high: a gauge is 82 pixels, a row 30.
  const latest = Math.min(Math.max(Math.round((windows * 82 + now.providers.length * 30 + 92) / 30), 10), 24);
  const keys = now.providers.reduce((sum, one) => sum + one.keys.length, 0);
  if (!keys) return <NoProvider />;
  const isUnused = !now.today?.exchanges && feed.ready.value && !feed.length && !running.value.total;
  if (isUnused) {
    return (
      <Empty title="Ready. Nothing has come through yet." command="ccrelay claude" art whole>
        The relay listens on {now.listen.join(", ")} with {count(keys, "key")} of{" "}
        {count(now.providers.length, "provider")}. Start Claude Code through it, and its first exchange appears here.
        {!now.configFile && (
          <>
            {" "}
            There is no configuration file:{" "}
            <a class="link" href={href("setup")}>
              set up providers and keys
            </a>
            .
          </>
        )}
      </Empty>
    );
  }
  return (
    <>
      <Head now={now} />
      <Strip now={now} feed={feed} hours={hours.data?.rows ?? []} />
      <Lanes providers={now.providers} rows={feed.rows()} running={running.value.rows} nowMs={tick.value} />
      <div class="cols c-now">
        <div class="stack">
          <Windows providers={now.providers} />
          <ProvidersPanel providers={now.providers} />
        </div>
        <LatestTable feed={feed} rows={latest} />
      </div>
    </>
  );
}

/** Reads older exchanges until the lanes are full. */
async function fillLanes(feed: Feed): Promise<void> {
  if (!feed.ready.value) return;
  while (feed.hasOlder.value && feed.length < COVERED) {
    const oldest = feed.rows()[0];
    if (!oldest || endOf(oldest) < Date.now() - PAST_S * 1000) return;
    const before = feed.length;
    await feed.older();
    if (feed.length === before) return;
  }
}

function NoProvider() {
  return (
    <Empty title="No provider yet" command="ccrelay init" art whole>
      The relay has no configuration with a provider. The command asks for what it needs; so does{" "}
      <a class="link" href={href("setup")}>
        First run
      </a>
      .
    </Empty>
  );
}

function Head({ now }: { now: Status }) {
  const [title, text] = verdictOf(now);
  const found = attentionOf(now, tick.value);
  return (
    <div class="head">
      <div>
        <h1>{title}</h1>
        <p>{text}</p>
      </div>
      {found.length > 0 && (
        <nav class="heed" aria-label="Needs a look">
          {found.slice(0, 3).map((one) => (
            <Heed key={one.subject + one.text} one={one} />
          ))}
        </nav>
      )}
    </div>
  );
}

function Heed({ one }: { one: Attention }) {
  return (
    <a href={one.href} title={one.command ? `do: ${one.command}` : undefined}>
      <span class={one.tone}>
        {one.icon === "open" || one.icon === "half" ? <BreakerIcon name={one.icon} /> : <Icon name={one.icon} />}
      </span>
      <span>
        <b>{one.subject}</b> {one.text}
        {one.left && (
          <>
            {" "}
            <LiveFigure text={one.left} width={4} />
          </>
        )}
      </span>
    </a>
  );
}

interface Recent {
  /** Requests and tokens of the last minute. */
  requests: number;
  tokens: number;
  /** Requests of each of the last 20 minutes. */
  perMinute: number[];
  /** Median and 95th percentile of the time to the first event, 15 minutes, milliseconds; 0: none. */
  median: number;
  p95: number;
  /** Median of the relay's own time, milliseconds. */
  own: number;
  /** Medians of 15 minutes. */
  medians: number[];
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

function recentOf(rows: readonly Exchange[], nowMs: number): Recent {
  const first: number[] = [];
  const own: number[] = [];
  const perMinute = Array.from({ length: 20 }, () => 0);
  const byMinute: number[][] = Array.from({ length: 15 }, () => []);
  let requests = 0;
  let used = 0;
  for (let index = rows.length - 1; index >= 0; index -= 1) {
    const one = rows[index];
    if (!one) break;
    const age = (nowMs - endOf(one)) / 60_000;
    if (age >= 20) break;
    const slot = Math.max(0, Math.floor(age));
    perMinute[19 - slot] = (perMinute[19 - slot] ?? 0) + 1;
    if (age < 1) {
      requests += 1;
      used += tokensOf(one);
    }
    if (age < 15 && one.firstEventMs > 0) {
      first.push(one.firstEventMs);
      byMinute[14 - slot]?.push(one.firstEventMs);
    }
    if (age < 15 && one.ownUs) own.push(one.ownUs / 1000);
  }
  const ordered = (list: number[]): number[] => list.sort((a, b) => a - b);
  ordered(first);
  ordered(own);
  return {
    requests,
    tokens: used,
    perMinute,
    median: quantile(first, 0.5),
    p95: quantile(first, 0.95),
    own: quantile(own, 0.5),
    medians: byMinute.filter((list) => list.length).map((list) => quantile(ordered(list), 0.5)),
  };
}

function problems(today: Totals): string {
  const parts = [
    today.lost ? `${count(today.lost)} lost` : "",
    today.failovers ? count(today.failovers, "failover") : "",
    today.passedOn ? count(today.passedOn, "error passed on", "errors passed on") : "",
  ].filter(Boolean);
  return parts.join(", ") || "all by their first target";
}

function Strip({ now, feed, hours }: { now: Status; feed: Feed; hours: readonly UsageRow[] }) {
  const today = now.today;
  if (!today) return null;
  feed.version.value;
  const saved = savings(today.savedMicros);
  const recent = recentOf(feed.rows(), tick.value);
  const perHour = hours.map((row) => Number(row.totals?.exchanges ?? 0n));
  let sum = 0;
  const spent = hours.map((row) => (sum += Number(row.totals?.billedMicros ?? 0n)));
  const input = [today.cacheReadTokens, today.cacheWriteTokens, today.inputTokens] as const;
  return (
    <dl class="strip">
      <div>
        <dt>Streams open</dt>
        <dd class="fig">
          <LiveFigure text={count(now.inFlight)} width={1} />
        </dd>
        <dd class="sub">
          {now.queued
            ? `${count(now.queued)} waiting for room, ${count(recent.requests, "request")}/min`
            : `${count(recent.requests, "request")}, ${tokens(recent.tokens)} tokens a minute`}
        </dd>
        <Bars values={recent.perMinute} />
      </div>
      <div>
        <dt>Exchanges today</dt>
        <dd class="fig">{count(today.exchanges)}</dd>
        <dd class="sub">{problems(today)}</dd>
        <Bars values={perHour} />
      </div>
      <div>
        <dt>Billed today</dt>
        <dd class="fig">{dollars(today.billedMicros)}</dd>
        <dd class="sub">
          {today.planMicros ? `and ${dollars(today.planMicros)} covered by plans` : "nothing covered by plans"}
          {today.unpriced ? `, ${count(today.unpriced)} without a price` : ""}
        </dd>
        <Line values={spent} />
      </div>
      <div>
        <dt>{saved[0]}</dt>
        <dd class="fig">{saved[1]}</dd>
        <dd class="sub">
          {hits(...input)} of prompts from caches
        </dd>
      </div>
      <div>
        <dt>First event, last 15 min</dt>
        <dd class="fig">
          <Figure text={latency(recent.median)} />
        </dd>
        <dd class="sub">
          {recent.p95 ? `p95 ${latency(recent.p95)}` : "no answer yet"}
          {recent.own ? ` · relay adds ${short(recent.own)}` : ""}
        </dd>
        <Line values={recent.medians} />
      </div>
    </dl>
  );
}

function Windows({ providers }: { providers: readonly Provider[] }) {
  const found = providers.flatMap((provider) =>
    provider.keys.flatMap((key) =>
      key.windows.filter(isLong).map((window) => ({ provider: provider.name, key: key.name, window })),
    ),
  );
  if (!found.length) return null;
  return (
    <section class="panel" aria-label="Windows">
      <header>
        <h2>Windows</h2>
        <div class="end">
          <span class="legend opt-b">
            <span>
              <i class="sw s2" />
              used
            </span>
            <span>
              <i class="sw hold" />
              forecast
            </span>
            <span>
              <i class="sw pace" />
              time gone
            </span>
          </span>
        </div>
      </header>
      <div class="body">
        {found.map((one) => (
          <Gauge
            key={`${one.provider}/${one.key}/${one.window.name}`}
            provider={one.provider}
            name={one.key}
            window={one.window}
            nowMs={tick.value}
          />
        ))}
      </div>
    </section>
  );
}

function ProvidersPanel({ providers }: { providers: readonly Provider[] }) {
  const exchanges = (one: Provider): number =>
    one.keys.reduce((sum, key) => sum + Number(key.today?.exchanges ?? 0n), 0);
  const cost = (one: Provider): number =>
    one.keys.reduce((sum, key) => sum + Number((key.today?.billedMicros ?? 0n) + (key.today?.planMicros ?? 0n)), 0);
  const all = providers.reduce((sum, one) => sum + exchanges(one), 0);
  return (
    <section class="panel" aria-label="Providers">
      <header>
        <h2>Providers</h2>
        <div class="end">
          <a class="btn quiet" href={href("providers")}>
            All keys
          </a>
        </div>
      </header>
      <div class="tb">
        <table>
          <thead>
            <tr>
              <th>Name</th>
              <th>Breaker</th>
              <th class="n opt-c">First event</th>
              <th class="n opt-c">Share today</th>
              <th class="n">Today</th>
            </tr>
          </thead>
          <tbody>
            {providers.map((one) => {
              const breaker = breakerOf(one.breaker?.state ?? 0);
              const share = all ? exchanges(one) / all : 0;
              return (
                <tr key={one.name}>
                  <td class="elide" title={one.name}>
                    <span class="tgt">
                      <Mark provider={one.name} />
                      <span>{one.name}</span>
                    </span>
                  </td>
                  <td>
                    {one.enabled ? (
                      <span class={`state ${breaker.tone}`}>
                        <BreakerIcon name={breaker.icon} />
                        {breaker.text}
                      </span>
                    ) : (
                      <span class="q">disabled</span>
                    )}
                  </td>
                  <td class="n opt-c">
                    <Figure text={latency(firstEventOf(one))} />
                  </td>
                  <td class="n opt-c">{all ? percent(share) : "-"}</td>
                  <td class="n">{dollars(cost(one))}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** Of the address; where it is not told, the mean of its keys. */
function firstEventOf(one: Provider): number {
  if (one.firstEventMs > 0) return one.firstEventMs;
  const known = one.keys.map((key) => key.firstEventMs).filter((ms) => ms > 0);
  return known.length ? known.reduce((sum, ms) => sum + ms, 0) / known.length : 0;
}

function NowSkeleton() {
  return (
    <Loading>
      <div class="head">
        <div class="stack">
          <Sk w="l" h="l" />
          <Sk w="l" />
        </div>
      </div>
      <div class="strip">
        {[0, 1, 2, 3, 4].map((at) => (
          <div key={at} class="stack">
            <Sk w="s" />
            <Sk w="m" h="l" />
            <Sk w="m" />
          </div>
        ))}
      </div>
      <section class="panel mt">
        <header>
          <h2>Lanes</h2>
        </header>
        <SkRows rows={5} />
      </section>
      <div class="cols c-now">
        <section class="panel">
          <header>
            <h2>Windows</h2>
          </header>
          <SkRows rows={6} />
        </section>
        <section class="panel">
          <header>
            <h2>Latest exchanges</h2>
          </header>
          <SkRows rows={10} />
        </section>
      </div>
    </Loading>
  );
}
