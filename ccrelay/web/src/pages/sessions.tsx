// Sessions: which conversation, which sub-agent spent it?
import { useEffect, useMemo } from "preact/hooks";
import { api } from "../api/client.ts";
import type { Exchange } from "../api/gen/ccrelay/v1/exchanges_pb.ts";
import type { Session } from "../api/gen/ccrelay/v1/usage_pb.ts";
import { now } from "../api/live.ts";
import { running, watchRunning } from "../api/running.ts";
import { copy } from "../lib/copy.ts";
import { quoted } from "../lib/family.ts";
import { count, dollars, minute, moment } from "../lib/format.ts";
import { useCommand, useKeys } from "../lib/keys.ts";
import { useLoad } from "../lib/load.ts";
import { type Range, RANGE_TEXT, RANGE_WORDS, rangeOf, setRange, sinceMs, stepRange } from "../lib/range.ts";
import { go, href, route } from "../lib/router.ts";
import { shell } from "../lib/shell.ts";
import { shortSession } from "../lib/words.ts";
import { Icon, Kbd, Segments } from "../ui/basic.tsx";
import { SessionDetail } from "../ui/session.tsx";
import { Empty, Failed, Loading, Sk, SkRows } from "../ui/states.tsx";

const RANGES: readonly Range[] = ["today", "7d", "30d"];
const DEFAULT: Range = "today";
const EVERY_MS = 10_000;
const LISTED = 200;
const PAGE = 1000;
const READ_MAX = 4000; // exchanges of one session
const LIVE_MS = 5 * 60_000;

export function SessionsPage() {
  const range = rangeOf(RANGES, DEFAULT);
  const list = useLoad(
    (signal) =>
      api.usage.listSessions({ sinceMs: BigInt(sinceMs(range)), pageSize: LISTED }, { signal }),
    [range],
    EVERY_MS,
  );
  useEffect(watchRunning, []);
  const sessions = list.data?.sessions ?? [];
  const wanted = route.value.id;
  const chosen = sessions.find((one) => one.session === wanted) ?? (wanted ? undefined : sessions[0]);
  const id = wanted || chosen?.session || "";
  useCommand(id ? shell("ccrelay", "sessions", id) : shell("ccrelay", "sessions", "--since", range));
  const step = (by: number): void => {
    const at = sessions.findIndex((one) => one.session === id);
    const next = sessions[Math.min(Math.max(at + by, 0), sessions.length - 1)];
    if (next) go("sessions", next.session, route.value.query, true);
  };
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    Enter: () => id && go("exchanges", "", { filter: `session=${quoted(id)}` }),
    "[": () => stepRange(RANGES, DEFAULT, -1),
    "]": () => stepRange(RANGES, DEFAULT, 1),
  });
  const tools = (
    <div class="tools">
      <Segments
        label="Range"
        value={range}
        options={RANGES.map((one) => [one, RANGE_TEXT[one]] as const)}
        onPick={(one) => setRange(one, DEFAULT)}
      />
      {id && (
        <button type="button" class="btn" onClick={() => void copy(shell("ccrelay", "sessions", id))}>
          <Icon name="copy" small /> Command <Kbd>y</Kbd>
        </button>
      )}
    </div>
  );
  if (!list.data) {
    if (list.problem) {
      return (
        <Failed
          whole
          title="The sessions could not be read"
          problem={list.problem}
          onRetry={list.reload}
          command={shell("ccrelay", "sessions", "--since", range)}
        />
      );
    }
    return list.isLate ? <SessionsSkeleton /> : null;
  }
  if (!sessions.length && !wanted) {
    return (
      <>
        <div class="head">
          <h1>Sessions</h1>
          {tools}
        </div>
        <Empty title={`No sessions ${RANGE_WORDS[range]}`} command="ccrelay claude" art>
          A session is one run of Claude Code, told apart by the id that it sends. Its sub-agents appear below it as a tree.
        </Empty>
      </>
    );
  }
  return (
    <>
      <Head session={chosen} id={id} tools={tools} />
      <div class="cols c-list flush">
        <section class="panel" aria-label="Sessions">
          <header>
            <h2>Sessions {RANGE_WORDS[range]}</h2>
            <div class="end">
              {count(sessions.length)}
              {list.data.nextPageToken && "+"}
            </div>
          </header>
          <div class="sess-list">
            {sessions.map((one) => (
              <Entry key={one.session} one={one} isCurrent={one.session === id} />
            ))}
          </div>
        </section>
        <Chosen key={id} id={id} session={chosen} refreshed={list.data} />
      </div>
    </>
  );
}

function nameOf(one: Session | undefined, id: string): string {
  return one?.project || (id ? `Session ${shortSession(id)}` : "Sessions");
}

/** What a session has come to: billed and what plans cover are never one figure. */
function moneyOf(one: Session): string {
  const billed = one.totals?.billedMicros ?? 0n;
  const plan = one.totals?.planMicros ?? 0n;
  if (billed && plan) return `cost ${dollars(billed)} and used ${dollars(plan)} of plans`;
  if (plan) return `used ${dollars(plan)} of plans`;
  return `cost ${dollars(billed)}`;
}

function Head({ session, id, tools }: { session: Session | undefined; id: string; tools: preact.ComponentChildren }) {
  const agents = Number(session?.agents ?? 0n);
  const moves = Number(session?.totals?.moves ?? 0n);
  const lost = session?.totals?.movedMicros ?? 0n;
  return (
    <div class="head">
      <div>
        <h1>
          <bdi>{nameOf(session, id)}</bdi>
          {session && ` has ${moneyOf(session)} since ${moment(session.firstAtMs, now()).replace(/(\d\d:\d\d):\d\d$/, "$1")}`}
        </h1>
        {session ? (
          <p>
            One conversation{agents ? ` with ${count(agents, "sub-agent")}` : ""}, {count(session.turns, "turn")}.{" "}
            {moves
              ? `It moved ${moves === 1 ? "once" : `${count(moves)} times`}${lost ? `, which cost ${dollars(lost)} of cache` : ""}.`
              : "It never left its cache."}
          </p>
        ) : (
          <p>It is not in this range.</p>
        )}
      </div>
      {tools}
    </div>
  );
}

function isLive(one: Session): boolean {
  return (
    running.value.rows.some((row) => row.session === one.session) || now() - Number(one.lastAtMs) < LIVE_MS
  );
}

function Entry({ one, isCurrent }: { one: Session; isCurrent: boolean }) {
  const live = isLive(one);
  const amount = (one.totals?.billedMicros ?? 0n) + (one.totals?.planMicros ?? 0n);
  const parts = [
    count(one.turns, "turn"),
    one.agents ? count(one.agents, "agent") : "",
    one.totals?.moves ? "moved" : "",
  ].filter(Boolean);
  return (
    <a
      class="sess"
      href={href("sessions", one.session, route.value.query)}
      aria-current={isCurrent ? "true" : undefined}
    >
      <span class="a">
        <span class={live ? "dot" : "dot idle"} title={live ? "Under way" : "Over"} />
        <b dir="auto">{one.project || shortSession(one.session)}</b>
        <span class="n">{dollars(amount)}</span>
      </span>
      <span class="b">
        <code class="opt-c">{shortSession(one.session)}</code>
        <span>
          {minute(one.firstAtMs)}
          {!live && `–${minute(one.lastAtMs)}`}
        </span>
        <span class="n">{parts.join(", ")}</span>
      </span>
    </a>
  );
}

/** Reads the exchanges of one session, newest first, up to a bound. */
async function exchangesOf(id: string, signal: AbortSignal): Promise<{ rows: Exchange[]; isWhole: boolean }> {
  const rows: Exchange[] = [];
  let token = "";
  do {
    const answer = await api.exchanges.list(
      { filter: `session=${quoted(id)}`, pageSize: PAGE, pageToken: token },
      { signal },
    );
    rows.push(...answer.exchanges);
    token = answer.nextPageToken;
  } while (token && rows.length < READ_MAX);
  return { rows, isWhole: token === "" };
}

function Chosen({ id, session, refreshed }: { id: string; session: Session | undefined; refreshed: unknown }) {
  // Again when the list says that the session has gone on.
  const mark = session ? `${session.lastAtMs} ${session.totals?.exchanges}` : "";
  const answer = useLoad((signal) => exchangesOf(id, signal), [id, mark]);
  const rows = useMemo(() => answer.data?.rows ?? [], [answer.data]);
  void refreshed;
  if (!answer.data) {
    if (answer.problem) {
      return <Failed title="This session could not be read" problem={answer.problem} onRetry={answer.reload} />;
    }
    return answer.isLate ? (
      <Loading>
        <section class="panel">
          <SkRows rows={8} />
        </section>
      </Loading>
    ) : (
      <div />
    );
  }
  if (!rows.length) {
    return (
      <section class="panel">
        <p class="body q2">No exchange of this session is in the ledger any more.</p>
      </section>
    );
  }
  return (
    <SessionDetail
      id={id}
      name={nameOf(session, id)}
      rows={rows}
      isWhole={answer.data.isWhole}
      running={running.value.rows.filter((one) => one.session === id)}
      totals={session?.totals}
    />
  );
}

function SessionsSkeleton() {
  return (
    <Loading>
      <div class="head">
        <div class="stack">
          <Sk w="l" h="l" />
          <Sk w="l" />
        </div>
      </div>
      <div class="cols c-list flush">
        <section class="panel">
          <SkRows rows={8} />
        </section>
        <section class="panel">
          <SkRows rows={10} />
        </section>
      </div>
    </Loading>
  );
}

