// Exchanges: what happened to that request, and why did it go there?
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api } from "../api/client.ts";
import type { Feed, Snapshot } from "../api/feed.ts";
import { exploredFeed } from "../api/feeds.ts";
import type { Running } from "../api/gen/ccrelay/v1/exchanges_pb.ts";
import { running, watchRunning } from "../api/running.ts";
import { count } from "../lib/format.ts";
import { type Row, rowsOf } from "../lib/fold.ts";
import { useCommand, useKeys } from "../lib/keys.ts";
import { useLoad } from "../lib/load.ts";
import { type Range, RANGE_TEXT, RANGE_WORDS, rangeOf, setRange, sinceMs, stepRange } from "../lib/range.ts";
import { go, route, setQuery } from "../lib/router.ts";
import { shell } from "../lib/shell.ts";
import { fullId, shortId } from "../lib/words.ts";
import { Icon, Kbd, Segments, useLate } from "../ui/basic.tsx";
import { ExchangeDrawer } from "../ui/drawer.tsx";
import { type Entry, ExchangeTable } from "../ui/table.tsx";
import { Empty, Failed, Loading, SkRows } from "../ui/states.tsx";

const RANGES: readonly Range[] = ["15m", "today", "7d"];
const DEFAULT: Range = "today";
const COUNTS_EVERY_MS = 15_000;

// The unusual, as chips: what it is called, and the words of the filter.
const CHIPS = [
  ["failover", "outcome:failover"],
  ["moved", "moved:yes"],
  ["waited", "outcome:waited"],
  ["error", "outcome:passed_on,refused,lost"],
  ["client left", "outcome:client_left"],
  ["over $0.50", "cost>0.50"],
] as const;

export function ExchangesPage() {
  const query = route.value.query;
  const filter = query.get("filter") ?? "";
  const range = rangeOf(RANGES, DEFAULT);
  const since = useMemo(() => sinceMs(range), [range]);
  const feed = exploredFeed(filter, since);
  const id = route.value.id;
  useCommand(
    id
      ? shell("ccrelay", "exchange", id)
      : shell("ccrelay", "exchanges", "--since", range, filter && "--filter", filter),
  );
  useEffect(watchRunning, []);
  useKeys({
    "[": () => stepRange(RANGES, DEFAULT, -1),
    "]": () => stepRange(RANGES, DEFAULT, 1),
  });
  return <Explorer feed={feed} filter={filter} range={range} open={id} />;
}

/** What a hold has frozen: the rows, and how many there were. */
interface Held {
  feed: Feed;
  from: Snapshot;
  /** Whether scrolling made it, and scrolling back ends it. */
  isByScroll: boolean;
}

function Explorer(props: { feed: Feed; filter: string; range: Range; open: string }) {
  const { feed, filter, range, open } = props;
  const folded = useSignal<ReadonlySet<string>>(new Set());
  const [frozen, setHeld] = useState<Held | null>(null);
  const held = frozen?.feed === feed ? frozen : null;
  const [picked, setPicked] = useState("");
  const isLate = useLate();
  const version = feed.version.value;
  const rows = useMemo(
    () => rowsOf(held ? feed.extended(held.from) : feed.rows(), folded.value),
    [feed, version, held, folded.value],
  );
  const fresh = held ? feed.total - held.from.total : 0;
  const under: readonly Running[] = filter || held ? [] : running.value.rows.toReversed();
  const entries = entriesOf(under, rows);
  const totals = useLoad(
    async (signal) => {
      const answer = await api.usage.query(
        { filter, sinceMs: BigInt(feed.sinceMs) },
        { signal },
      );
      return Number(answer.total?.exchanges ?? 0n);
    },
    [filter, feed.sinceMs],
    COUNTS_EVERY_MS,
  );
  const current = open ? fullId(open) : picked;

  const hold = (isByScroll: boolean): void => {
    setHeld({ feed, from: feed.snapshot(), isByScroll });
  };
  const follow = (): void => setHeld(null);
  const toggleFold = (burst: string): void => {
    const next = new Set(folded.value);
    if (!next.delete(burst)) next.add(burst);
    folded.value = next;
  };
  const step = (by: number): void => {
    const at = entries.findIndex((entry) => entry.id === current);
    const next = entries[at < 0 ? (by > 0 ? 0 : entries.length - 1) : Math.min(Math.max(at + by, 0), entries.length - 1)];
    if (!next) return;
    if (!held && by > 0 && at >= 0) hold(true);
    if (open) go("exchanges", shortId(next.id), route.value.query, true);
    setPicked(next.id);
  };
  const entry = entries.find((one) => one.id === current);
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    Enter: () => current && go("exchanges", shortId(current), route.value.query),
    Escape: () => (open ? close() : picked ? setPicked("") : setQuery("filter", "")),
    " ": () => {
      const burst = entry?.row?.kids.at(-1);
      if (burst) toggleFold(burst.id);
    },
    f: () => (held ? follow() : hold(false)),
    "/": () => document.querySelector<HTMLInputElement>(".filter input")?.focus(),
  });
  const close = (): void => {
    setPicked(fullId(open));
    go("exchanges", "", route.value.query);
  };

  return (
    <div class={open ? "with-drawer" : undefined}>
      <div class="head">
        <div>
          <h1>Exchanges</h1>
          <p>{summary(totals.data, range, filter, under.length || running.value.total)}</p>
        </div>
        <div class="tools">
          <Segments
            label="Range"
            value={range}
            options={RANGES.map((one) => [one, RANGE_TEXT[one]] as const)}
            onPick={(one) => setRange(one, DEFAULT)}
          />
          <button type="button" class="btn" aria-pressed={!held} onClick={() => (held ? follow() : hold(false))}>
            <Icon name={held ? "rest" : "live"} /> {held ? (fresh ? `${count(fresh)} new` : "Holding") : "Following"}{" "}
            <Kbd>f</Kbd>
          </button>
        </div>
      </div>
      <FilterLine filter={filter} since={feed.sinceMs} />
      {feed.missed.value > 0 && (
        <p class="note">
          <span>
            {count(feed.missed.value, "exchange")} came too fast to be shown here; the ledger has{" "}
            {feed.missed.value === 1 ? "it" : "them"}.
          </span>
        </p>
      )}
      {feed.problem.value && feed.length > 0 && (
        <p class="note">
          <span>The ledger could not be read: {feed.problem.value.text} Shown is what ended since this page was opened.</span>
        </p>
      )}
      {feed.problem.value && !feed.length ? (
        <Failed
          title="The exchanges could not be read"
          problem={feed.problem.value}
          onRetry={() => location.reload()}
          command={shell("ccrelay", "exchanges", "--since", range, filter && "--filter", filter)}
        />
      ) : !feed.ready.value ? (
        isLate ? (
          <Loading>
            <section class="panel">
              <SkRows rows={14} />
            </section>
          </Loading>
        ) : null
      ) : entries.length ? (
        <ExchangeTable
          entries={entries}
          current={current}
          onFold={toggleFold}
          folded={folded.value}
          onScrolled={(isAway) => {
            if (isAway && !held) hold(true);
            else if (!isAway && held?.isByScroll && !open) follow();
          }}
          onEnd={() => void feed.older()}
          total={feed.hasOlder.value ? null : entries.length}
        />
      ) : (
        <NothingFound filter={filter} range={range} />
      )}
      {open && <ExchangeDrawer key={open} id={fullId(open)} onStep={step} onClose={close} />}
    </div>
  );
}

function entriesOf(under: readonly Running[], rows: readonly Row[]): Entry[] {
  const over = new Set(rows.slice(0, 500).map((row) => row.one.id));
  return [
    ...under.filter((one) => !over.has(one.id)).map((one) => ({ id: one.id, running: one, row: null })),
    ...rows.map((row) => ({ id: row.one.id, running: null, row })),
  ];
}

function summary(total: number | null, range: Range, filter: string, under: number): string {
  if (total === null) return "Newest first.";
  const found = `${count(total)} ${RANGE_WORDS[range]}${filter ? " fit the filter" : ""}, newest first.`;
  return under ? `${found} ${count(under)} ${under === 1 ? "is" : "are"} under way.` : found;
}

function NothingFound({ filter, range }: { filter: string; range: Range }) {
  if (!filter) {
    return (
      <Empty title={`No exchange ${RANGE_WORDS[range]}`} command="ccrelay claude" art>
        An exchange is one request and everything done to answer it. Start Claude Code through the relay, and its first one
        appears here.
      </Empty>
    );
  }
  const isWidest = range === RANGES.at(-1);
  return (
    <div class="blank">
      <h2>No exchange fits this filter</h2>
      <p>
        <code>{filter}</code>, {RANGE_WORDS[range]}.
      </p>
      <div class="row wrap">
        {!isWidest && (
          <button type="button" class="btn primary" onClick={() => setRange("7d", DEFAULT)}>
            Look at 7 days
          </button>
        )}
        <button type="button" class="btn" onClick={() => setQuery("filter", "")}>
          Clear the filter
        </button>
      </div>
    </div>
  );
}

function FilterLine({ filter, since }: { filter: string; since: number }) {
  const [text, setText] = useState(filter);
  const [problem, setProblem] = useState("");
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => setText(filter), [filter]);
  // The grammar is the relay's: what it cannot read it says itself, before the table changes.
  const apply = async (wanted: string): Promise<void> => {
    const value = wanted.trim();
    if (value === filter) return setProblem("");
    try {
      await api.exchanges.list({ filter: value, pageSize: 1 });
      setProblem("");
      setQuery("filter", value);
    } catch (error) {
      setProblem(error instanceof Error ? error.message.replace(/^\[\w+\] /, "") : String(error));
    }
  };
  useEffect(() => {
    const timer = setTimeout(() => void apply(text), 400);
    return () => clearTimeout(timer);
  }, [text]);
  const counts = useLoad(
    (signal) =>
      Promise.all(
        CHIPS.map(async ([, words]) => {
          const answer = await api.usage.query({ filter: words, sinceMs: BigInt(since) }, { signal });
          return Number(answer.total?.exchanges ?? 0n);
        }),
      ),
    [since],
    COUNTS_EVERY_MS,
  );
  return (
    <div class="filter">
      <label class="field">
        <Icon name="find" />
        <span class="vh">Filter</span>
        <input
          ref={input}
          value={text}
          spellcheck={false}
          autocomplete="off"
          placeholder="model:opus outcome:failover project:payments-api cost>0.5"
          aria-invalid={problem ? "true" : undefined}
          aria-describedby="filter-problem"
          onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter") void apply(text);
            if (event.key === "Escape") event.currentTarget.blur();
          }}
        />
        {text ? (
          <button type="button" class="btn quiet" aria-label="Clear the filter" onClick={() => setText("")}>
            <Icon name="err" small />
          </button>
        ) : (
          <span class="opt-a">
            <Kbd>/</Kbd>
          </span>
        )}
      </label>
      <div class="row scrollx">
        {CHIPS.map(([name, words], at) => {
          const isOn = filter.includes(words);
          const number = counts.data?.[at];
          return (
            <button
              key={name}
              type="button"
              class="chip"
              aria-pressed={isOn}
              title={words}
              onClick={() => setText(isOn ? filter.replace(words, "").trim() : `${filter} ${words}`.trim())}
            >
              {name} <b>{number === undefined ? " " : count(number)}</b>
            </button>
          );
        })}
      </div>
      <p id="filter-problem" class="filter-problem fail" role="status">
        {problem}
      </p>
    </div>
  );
}

