// Tokens and money: what it costs, and whether the window will last.
import { useState } from "preact/hooks";
import { api } from "../../api/client.ts";
import { Dimension, type QueryResponse } from "../../api/gen/ccrelay/v1/usage_pb.ts";
import { now } from "../../api/live.ts";
import { count, dollars, hits, savings, size } from "../../lib/format.ts";
import { useCommand, useKeys } from "../../lib/keys.ts";
import { useLoad } from "../../lib/load.ts";
import { route, setQuery } from "../../lib/router.ts";
import { shell } from "../../lib/shell.ts";
import { Segments } from "../../ui/basic.tsx";
import { Empty, Failed, Loading, Sk, SkRows } from "../../ui/states.tsx";
import { FilterLine } from "../filter-line.tsx";
import { moveRow } from "../rows.ts";
import { Chart, SWATCHES } from "./chart.tsx";
import { coming, exportFile, stopExport } from "./export.ts";
import { type Group, groupOf, GROUPS, shortValue, stackOf } from "./groups.ts";
import { Moves, Projects } from "./side.tsx";
import { pivot } from "./pivot.ts";
import { RANGE_DEFAULT, type Range, rangeOf, RANGES, sinceMs, slotLabel, slots, step } from "./ranges.ts";
import { SumsTable } from "./table.tsx";
import { WindowPanel } from "./window.tsx";

const EVERY_MS = 10_000;
const ROWS = 200;
/** As many rows as one answer holds: enough for 90 days of 100 groups. */
const SLOT_ROWS = 10_000;

function pickRange(range: Range): void {
  setQuery("since", range.id === RANGE_DEFAULT ? "" : range.id);
}

export function UsagePage() {
  const query = route.value.query;
  const range = rangeOf(query.get("since") ?? RANGE_DEFAULT);
  const by = groupOf(query.get("by"));
  const filter = query.get("filter") ?? "";
  const [rows, setRows] = useState(ROWS);
  useCommand(
    shell("ccrelay", "usage", "--by", by.id, "--since", range.id, filter && "--filter", filter),
  );
  useKeys({
    "[": () => pickRange(step(rangeOf(route.value.query.get("since") ?? RANGE_DEFAULT), -1)),
    "]": () => pickRange(step(rangeOf(route.value.query.get("since") ?? RANGE_DEFAULT), 1)),
    "/": () => document.querySelector<HTMLInputElement>("main .filter input")?.focus(),
    j: () => moveRow(1),
    k: () => moveRow(-1),
    ArrowDown: () => moveRow(1),
    ArrowUp: () => moveRow(-1),
  });
  const sums = useLoad(
    async (signal) => {
      const since = sinceMs(range, now());
      const request = { groupBy: [by.dimension], sinceMs: BigInt(since), filter, pageSize: rows };
      return { answer: await api.usage.query(request, { signal }), by, range, filter };
    },
    [range.id, by.id, filter, rows],
    EVERY_MS,
  );
  const shown = sums.data;
  const { problem } = sums;
  // Figures of another filter or range stay, paler, until the ones that were asked for are there.
  const isOther = shown !== null && (shown.filter !== filter || shown.range !== range || shown.by !== by);
  const isMistake = filter !== "" && problem !== null && !problem.gone && (isOther || !shown);
  return (
    <>
      <Head range={range} filter={filter} answer={shown?.answer ?? null} shown={shown?.range ?? range} />
      <FilterLine
        value={filter}
        problem={isMistake ? (problem?.text ?? "") : ""}
        placeholder="model:opus project=payments-api cost>0.10"
        onChange={(text) => setQuery("filter", text)}
      >
        <ByChoice by={by} />
      </FilterLine>
      {shown && problem && !problem.gone && !isMistake && (
        <p class="note fail us-note" role="alert">
          <span>
            <b>These figures are from before</b>
            {problem.text}
          </span>
        </p>
      )}
      {problem && !shown && !isMistake ? (
        <Failed
          title="The usage could not be read"
          problem={problem}
          onRetry={sums.reload}
          command={`ccrelay usage --by ${by.id} --since ${range.id}`}
        >
          Requests are still answered.
        </Failed>
      ) : !shown ? (
        sums.isLate && !isMistake && <Skeleton />
      ) : !shown.answer.rows.length && !Number(shown.answer.total?.exchanges ?? 0) ? (
        <Nothing range={range} filter={filter} />
      ) : (
        <div class={isOther && problem ? "us-stale" : undefined}>
          <Figures answer={shown.answer} />
          <div class="cols c-use">
            <CostPanel range={range} by={by} filter={filter} expected={shown.answer.todayExpectedMicros} />
            <WindowPanel />
          </div>
          <SumsTable
            answer={shown.answer}
            by={shown.by}
            filter={filter}
            onMore={shown.answer.nextPageToken ? () => setRows(Math.min(rows * 5, SLOT_ROWS)) : undefined}
          />
          <div class="cols c-half">
            <Moves range={range} filter={filter} total={shown.answer.total} />
            <Projects range={range} filter={filter} by={by} />
          </div>
        </div>
      )}
    </>
  );
}

interface HeadProps {
  range: Range;
  filter: string;
  answer: QueryResponse | null;
  /** The range of the answer. */
  shown: Range;
}

function Head({ range, filter, answer, shown }: HeadProps) {
  const total = answer?.total;
  return (
    <div class="head us-head">
      <div>
        <h1>{total ? `${dollars(total.billedMicros)} billed ${shown.words}` : "Usage"}</h1>
        <p>{total && answer ? subline(answer) : ""}</p>
      </div>
      <div class="tools">
        <Segments
          label="Range"
          value={range.id}
          options={RANGES.map((one) => [one.id, one.label] as const)}
          onPick={(id) => pickRange(rangeOf(id))}
        />
        <ExportButtons range={range} filter={filter} />
      </div>
    </div>
  );
}

/** What the table is grouped by, and the chart stacked. */
function ByChoice({ by }: { by: Group }) {
  const pick = (id: string): void => setQuery("by", id === "model" ? "" : id);
  return (
    <>
      <label class="us-by">
        <span class="vh">Group by</span>
        <select
          class="sel"
          value={by.id}
          onChange={(event) => pick(event.currentTarget.value)}
        >
          {GROUPS.map((one) => (
            <option key={one.id} value={one.id}>
              by {one.label.toLowerCase()}
            </option>
          ))}
        </select>
      </label>
      <div class="us-groups">
        <Segments
          label="Group by"
          value={by.id}
          options={GROUPS.map((one) => [one.id, one.label] as const)}
          onPick={pick}
        />
      </div>
    </>
  );
}

function subline(answer: QueryResponse): string {
  const total = answer.total;
  if (!total) return "";
  const list = total.billedMicros + total.planMicros;
  const parts = [];
  if (total.planMicros) {
    parts.push(`At list prices it is ${dollars(list)}; ${dollars(total.planMicros)} of that is covered by your plans.`);
  }
  if (answer.todayExpectedMicros) {
    parts.push(`Today should end near ${dollars(answer.todayExpectedMicros)} at list price.`);
  }
  if (total.unpriced) {
    parts.push(`${count(total.unpriced, "exchange")} without a known price ${total.unpriced === 1n ? "is" : "are"} in no sum.`);
  }
  return parts.join(" ");
}

function ExportButtons({ range, filter }: { range: Range; filter: string }) {
  if (coming.value >= 0) {
    return (
      <button type="button" class="btn" onClick={stopExport}>
        Stop, {size(coming.value)}
      </button>
    );
  }
  const save = (form: "csv" | "jsonl"): void => void exportFile(form, sinceMs(range, now()), filter);
  return (
    <div class="row us-export" role="group" aria-label="Export single exchanges">
      <button type="button" class="btn" onClick={() => save("csv")} title="Single exchanges, one per line">
        Export CSV
      </button>
      <button type="button" class="btn" onClick={() => save("jsonl")} title="Single exchanges as JSON lines">
        JSON
      </button>
    </div>
  );
}

function Figures({ answer }: { answer: QueryResponse }) {
  const total = answer.total;
  if (!total) return null;
  const saved = savings(total.savedMicros);
  const lost = [
    total.moves ? `a warm cache was left ${count(total.moves, "time")}` : "no warm cache was left",
    total.failovers ? count(total.failovers, "failover") : "",
  ];
  return (
    <dl class="strip four">
      <div>
        <dt>Billed</dt>
        <dd class="fig">{dollars(total.billedMicros)}</dd>
        <dd class="sub">prices of {answer.pricesVersion || "an unknown date"}</dd>
      </div>
      <div>
        <dt>Covered by plans</dt>
        <dd class="fig">{dollars(total.planMicros)}</dd>
        <dd class="sub">at list price</dd>
      </div>
      <div>
        <dt>{saved[0]}</dt>
        <dd class="fig">{saved[1]}</dd>
        <dd class="sub">
          {hits(total.cacheReadTokens, total.cacheWriteTokens, total.inputTokens)} of prompts from caches
        </dd>
      </div>
      <div>
        <dt>Lost by moves</dt>
        <dd class="fig">{dollars(total.movedMicros)}</dd>
        <dd class="sub">{lost.filter(Boolean).join("; ")}</dd>
      </div>
    </dl>
  );
}

interface CostProps {
  range: Range;
  by: Group;
  filter: string;
  expected: bigint;
}

function CostPanel({ range, by, filter, expected }: CostProps) {
  const stack = stackOf(by);
  const isHours = range.days === 1;
  const loaded = useLoad(
    async (signal) => {
      const at = now();
      const time = isHours ? Dimension.HOUR : Dimension.DAY;
      const request = {
        groupBy: [time, stack.dimension],
        sinceMs: BigInt(sinceMs(range, at)),
        filter,
        pageSize: SLOT_ROWS,
      };
      const { rows } = await api.usage.query(request, { signal });
      const names = slots(range, at);
      return { pivot: pivot(rows, names, stack.id === "model" ? isApart : undefined), labels: names.map((one) => slotLabel(one, range.days)), stack };
    },
    [range.id, stack.id, filter],
    EVERY_MS,
  );
  const found = loaded.data;
  const title = isHours ? "Cost per hour, at list price" : "Cost per day, at list price";
  const names = found?.pivot.series.map((one) =>
    one.name === null ? "others" : shortValue(found.stack, one.name),
  );
  const dollarsExpected = isHours ? 0 : Number(expected) / 1e6;
  return (
    <section class="panel">
      <header>
        <h2>{title}</h2>
        <div class="end">
          <div class="legend">
            {names?.map((name, i) => (
              <span key={name}>
                <i class={`sw ${SWATCHES[i]}`} />
                <bdi class="us-name">{name}</bdi>
              </span>
            ))}
            {dollarsExpected > 0 && (
              <span>
                <i class="sw hold" />
                expected
              </span>
            )}
          </div>
        </div>
      </header>
      <div class="body">
        {found && names ? (
          <Chart
            pivot={found.pivot}
            names={names}
            labels={found.labels}
            expected={dollarsExpected}
            title={title}
          />
        ) : (
          <div class="us-wait">{loaded.problem && <p class="fail">{loaded.problem.text}</p>}</div>
        )}
      </div>
    </section>
  );
}

/** Models that are not Claude's have the neutral colour, where there is one left. */
function isApart(model: string): boolean {
  return !model.includes("claude");
}

function Nothing({ range, filter }: { range: Range; filter: string }) {
  if (filter) {
    return (
      <Empty title="No exchange matches" command={shell("ccrelay", "usage", "--since", range.id, "--filter", filter)}>
        Nothing {range.words} matches this filter. A longer range: <kbd>]</kbd>
      </Empty>
    );
  }
  return (
    <Empty title={`No usage ${range.words}`} command="ccrelay claude" art>
      Every exchange is written to the ledger, with the price it had that day. A longer range: <kbd>]</kbd>
    </Empty>
  );
}

function Skeleton() {
  return (
    <Loading>
      <div class="strip four">
        {[0, 1, 2, 3].map((at) => (
          <div class="stack" key={at}>
            <Sk w="s" />
            <Sk w="m" h="l" />
            <Sk w="m" />
          </div>
        ))}
      </div>
      <div class="cols c-use">
        <section class="panel us-wait" />
        <section class="panel us-wait" />
      </div>
      <section class="panel mt">
        <SkRows rows={6} />
      </section>
    </Loading>
  );
}
