// Below the table: what moves and failovers cost, and the shares of projects.
import { api } from "../../api/client.ts";
import type { Exchange } from "../../api/gen/ccrelay/v1/exchanges_pb.ts";
import type { Totals } from "../../api/gen/ccrelay/v1/providers_pb.ts";
import { now } from "../../api/live.ts";
import { count, dollars, moment, percent, tokenParts } from "../../lib/format.ts";
import { useLoad } from "../../lib/load.ts";
import { go, href } from "../../lib/router.ts";
import { originOf, shortModel } from "../../lib/words.ts";
import { Figure, Target } from "../../ui/basic.tsx";
import { term } from "../filter.ts";
import { type Group, groupOf } from "./groups.ts";
import { type Range, sinceMs } from "./ranges.ts";

const MOVES_SHOWN = 8;
const SHARES_SHOWN = 8;
const EVERY_MS = 30_000;

interface MovesProps {
  range: Range;
  filter: string;
  total: Totals | undefined;
}

export function Moves({ range, filter, total }: MovesProps) {
  const words = `${filter} moved:yes`.trim();
  const loaded = useLoad(
    async (signal) => {
      const sinceBound = BigInt(sinceMs(range, now()));
      const [moves, failovers] = await Promise.all([
        api.exchanges.list({ filter: words, sinceMs: sinceBound, pageSize: MOVES_SHOWN }, { signal }),
        api.usage.query({ filter: `${filter} outcome:failover`.trim(), sinceMs: sinceBound }, { signal }),
      ]);
      return { moves: moves.exchanges, failovers: failovers.total };
    },
    [range.id, filter],
    EVERY_MS,
  );
  const moves = loaded.data?.moves ?? [];
  return (
    <section class="panel">
      <header>
        <h2>Moves and failovers, and what they cost</h2>
        <div class="end opt-a">write to the new cache less read from the old</div>
      </header>
      {moves.length > 0 && (
        <div class="tb">
          <table>
            <thead>
              <tr>
                <th>When</th>
                <th class="elide">Project</th>
                <th>Moved to</th>
                <th class="opt-a">Model</th>
                <th class="n opt-a">Prompt</th>
                <th class="n">Lost</th>
              </tr>
            </thead>
            <tbody>
              {moves.map((one) => (
                <Move key={one.id} one={one} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {loaded.data && !moves.length && <p class="body q2">No conversation left a warm cache {range.words}.</p>}
      {loaded.problem && !loaded.data && <p class="body fail">{loaded.problem.text}</p>}
      {loaded.data && (
        <footer>
          {failoverWords(loaded.data.failovers)}{" "}
          {total && total.moves > BigInt(moves.length) && moves.length > 0 && (
            <a class="link" href={href("exchanges", "", { filter: words })}>
              All {count(total.moves, "move")}
            </a>
          )}
        </footer>
      )}
    </section>
  );
}

function failoverWords(totals: Totals | undefined): string {
  const number = Number(totals?.exchanges ?? 0);
  if (!totals || !number) return "No exchange needed a second target.";
  const cost = dollars(totals.billedMicros + totals.planMicros);
  const verb = number === 1 ? "needed" : "needed";
  return `${count(number, "exchange")} ${verb} a second target and cost ${cost} at list price, ${dollars(totals.movedMicros)} of it for caches that were left.`;
}

function Move({ one }: { one: Exchange }) {
  const used = one.tokens;
  const prompt = used ? used.input + used.cacheRead + used.cacheWrite5m + used.cacheWrite1h : 0n;
  const [figure, unit] = tokenParts(prompt);
  return (
    <tr class="go" onClick={() => go("exchanges", one.id)}>
      <td class="q nw">{moment(one.startedAtMs, now())}</td>
      <td class="elide">
        <a href={href("exchanges", one.id)}>
          <bdi>{originOf(one) || "-"}</bdi>
        </a>
      </td>
      <td>
        <Target provider={one.provider} name={one.key} brief />
      </td>
      <td class="opt-a q2">{shortModel(one.sentModel || one.model)}</td>
      <td class="n opt-a">
        {figure}
        <span class="u">{unit}</span>
      </td>
      <td class="n">{dollars(one.cost?.movedMicros ?? 0n)}</td>
    </tr>
  );
}

/** Shares of projects; of classes, where the table has the projects already. */
export function Projects({ range, filter, by }: { range: Range; filter: string; by: Group }) {
  const group = groupOf(by.id === "project" ? "class" : "project");
  const loaded = useLoad(
    async (signal) => {
      const since = BigInt(sinceMs(range, now()));
      const request = { groupBy: [group.dimension], sinceMs: since, filter, pageSize: SHARES_SHOWN };
      return api.usage.query(request, { signal });
    },
    [range.id, filter, group.id],
    EVERY_MS,
  );
  const whole = cost(loaded.data?.total);
  return (
    <section class="panel">
      <header>
        <h2>By {group.label.toLowerCase()}</h2>
        <div class="end">at list price</div>
      </header>
      {loaded.problem && !loaded.data && <p class="body fail">{loaded.problem.text}</p>}
      <table>
        <thead>
          <tr>
            <th>{group.title}</th>
            <th>Share</th>
            <th class="n">
              <span class="vh">Percent</span>
            </th>
            <th class="n">Cost</th>
          </tr>
        </thead>
        <tbody>
          {loaded.data?.rows.map((row) => {
            const part = whole ? cost(row.totals) / whole : 0;
            const value = row.group[0] ?? "";
            const words = group.id === "class" ? `class:${value || "unknown"}` : value ? term("project", value) : `project=""`;
            return (
              <tr class="go" key={value}>
                <td class="us-project">
                  <a href={href("exchanges", "", { filter: `${filter} ${words}`.trim() })} title={value}>
                    {value ? <bdi>{value}</bdi> : <span class="q">{group.none}</span>}
                  </a>
                </td>
                <td>
                  <div class="sharebar">
                    <i style={{ width: `${(part * 100).toFixed(1)}%` }} />
                  </div>
                </td>
                <td class="n q2">
                  <Figure text={percent(part)} />
                </td>
                <td class="n">{dollars(cost(row.totals))}</td>
              </tr>
            );
          })}
        </tbody>
        <tfoot>
          <tr>
            <td>All</td>
            <td />
            <td />
            <td class="n">{dollars(whole)}</td>
          </tr>
        </tfoot>
      </table>
    </section>
  );
}

function cost(totals: Totals | undefined): number {
  return totals ? Number(totals.billedMicros + totals.planMicros) : 0;
}
