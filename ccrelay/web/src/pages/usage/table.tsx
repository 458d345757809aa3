// Sums by group as a table.
import type { Totals } from "../../api/gen/ccrelay/v1/providers_pb.ts";
import type { QueryResponse } from "../../api/gen/ccrelay/v1/usage_pb.ts";
import { count, dollarsOrNone, hits, tokenParts } from "../../lib/format.ts";
import { href } from "../../lib/router.ts";
import { Figure, Target } from "../../ui/basic.tsx";
import { term } from "../filter.ts";
import { type Group } from "./groups.ts";

interface Props {
  answer: QueryResponse;
  by: Group;
  filter: string;
  /** Asks for more rows; undefined: these are all. */
  onMore: (() => void) | undefined;
}

export function SumsTable({ answer, by, filter, onMore }: Props) {
  const whole = Number((answer.total?.billedMicros ?? 0n) + (answer.total?.planMicros ?? 0n));
  return (
    <section class="panel mt" aria-label={`By ${by.label.toLowerCase()}`}>
      <div class="tb">
        <table class="us-sums">
          <thead>
            <tr>
              <th>{by.title}</th>
              <th class="n opt-a">Exchanges</th>
              <th class="n opt-b">Input</th>
              <th class="n opt-b">Cache write</th>
              <th class="n opt-b">Cache read</th>
              <th class="n opt-a">Output</th>
              <th class="n opt-a">Cache hits</th>
              <th class="n">Billed</th>
              <th class="n">
                <span class="opt-a">Covered by </span>plans
              </th>
              <th class="n opt-a">Saved by cache</th>
              <th class="opt-c">Share of cost</th>
            </tr>
          </thead>
          <tbody>
            {answer.rows.map((row) => (
              <tr class="go" key={row.group[0] ?? ""}>
                <td class="us-group">
                  <Name by={by} value={row.group[0] ?? ""} filter={filter} />
                </td>
                <Cells totals={row.totals} whole={whole} />
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <td>Total</td>
              <Cells totals={answer.total} whole={0} />
            </tr>
          </tfoot>
        </table>
      </div>
      {onMore && (
        <footer class="row">
          <span class="grow">The {count(answer.rows.length)} largest are shown; the total is of all.</span>
          <button type="button" class="btn" onClick={onMore}>
            Show more
          </button>
        </footer>
      )}
    </section>
  );
}

/** The value of a group, with the way to its exchanges. */
function Name({ by, value, filter }: { by: Group; value: string; filter: string }) {
  if (by.id === "session" && value) {
    return (
      <a data-row href={href("sessions", value)} title={value}>
        <code>{value.slice(0, 8)}</code>
      </a>
    );
  }
  const words = [filter, wordsOf(by, value)].filter(Boolean).join(" ");
  const slash = value.indexOf("/");
  return (
    <a data-row href={href("exchanges", "", { filter: words })} title={value}>
      {by.id === "key" && slash > 0 ? (
        <Target provider={value.slice(0, slash)} name={value.slice(slash + 1)} />
      ) : value ? (
        <bdi>{value}</bdi>
      ) : (
        <span class="q">{by.none}</span>
      )}
    </a>
  );
}

function wordsOf(by: Group, value: string): string {
  if (by.id === "key") {
    const slash = value.indexOf("/");
    return slash > 0 ? `${term("provider", value.slice(0, slash))} ${term("key", value.slice(slash + 1))}` : "";
  }
  if (by.id === "class") return value ? `class:${value}` : "class:unknown";
  if (!by.field) return "";
  return value ? term(by.field, value) : `${by.field}=""`;
}

function Cells({ totals, whole }: { totals: Totals | undefined; whole: number }) {
  if (!totals) return null;
  const { inputTokens: plain, cacheWriteTokens: written, cacheReadTokens: read } = totals;
  // Nothing that has a price: an amount would say less than nothing.
  const isUnpriced = totals.unpriced > 0n && !totals.billedMicros;
  const cost = Number(totals.billedMicros + totals.planMicros);
  return (
    <>
      <td class="n opt-a">{count(totals.exchanges)}</td>
      <Tokens value={plain} kind="opt-b" />
      <Tokens value={written} kind="opt-b" />
      <Tokens value={read} kind="opt-b" />
      <Tokens value={totals.outputTokens} kind="opt-a" />
      <td class="n opt-a">
        <Figure text={hits(read, written, plain)} />
      </td>
      <td class="n">
        {isUnpriced ? "?" : dollarsOrNone(totals.billedMicros)}
        {totals.unpriced > 0n && !isUnpriced && (
          <span class="q" title={`${count(totals.unpriced, "exchange")} without a known price`}>
            ?
          </span>
        )}
      </td>
      <td class="n q2">{dollarsOrNone(totals.planMicros)}</td>
      <td class="n opt-a q2">{dollarsOrNone(totals.savedMicros)}</td>
      <td class="opt-c us-share">
        {whole > 0 && (
          <div class="sharebar">
            <i style={{ width: `${((cost / whole) * 100).toFixed(1)}%` }} />
          </div>
        )}
      </td>
    </>
  );
}

function Tokens({ value, kind }: { value: bigint; kind: string }) {
  const [figure, unit] = tokenParts(value);
  return (
    <td class={`n ${kind}`}>
      {value ? (
        <>
          {figure}
          <span class="u">{unit}</span>
        </>
      ) : (
        <span class="q">-</span>
      )}
    </td>
  );
}
