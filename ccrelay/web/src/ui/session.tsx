// One session: the tree of its conversations, how its prompt grew, what happened.
import { Fragment } from "preact";
import { useMemo } from "preact/hooks";
import type { Exchange, Running } from "../api/gen/ccrelay/v1/exchanges_pb.ts";
import type { Totals } from "../api/gen/ccrelay/v1/providers_pb.ts";
import { endOf } from "../api/feed.ts";
import { now, tick } from "../api/live.ts";
import { type Branch, branches, type Happening, happenings, promptOf, quoted, spanOf } from "../lib/family.ts";
import { axisTime, clock, count, dollars, minute, percent, tokenParts, tokens } from "../lib/format.ts";
import { go, href } from "../lib/router.ts";
import { rampOf, shortId, shortModel, shortSession } from "../lib/words.ts";
import { Icon, Target } from "./basic.tsx";
import { Hop } from "./exchange.tsx";

const HAPPENED = 12; // shown at most
const WIDTH = 1000;

export function SessionDetail(props: {
  id: string;
  name: string;
  rows: readonly Exchange[];
  isWhole: boolean;
  running: readonly Running[];
  totals: Totals | undefined;
}) {
  const { id, name, rows, isWhole, running, totals } = props;
  const found = useMemo(() => branches(rows), [rows]);
  const happened = useMemo(() => happenings(rows), [rows]);
  const [first, last] = spanOf(rows);
  tick.value;
  const until = running.length ? Math.max(now(), last) : last;
  const main = found.find((one) => one.kind === "");
  return (
    <div class="stack">
      <section class="panel" aria-label="Conversations">
        <header>
          <h2>
            <bdi>{name}</bdi> <code class="q">{shortSession(id)}</code>
          </h2>
          <div class="end">
            <span class="legend opt-a">
              <span>
                <i class="sw s3" />
                read
              </span>
              <span>
                <i class="sw s1" />
                written
              </span>
              <span>
                <i class="sw s0" />
                new
              </span>
            </span>
            <a class="btn quiet" href={href("exchanges", "", { filter: `session=${quoted(id)}`, since: "7d" })}>
              Its exchanges
            </a>
          </div>
        </header>
        <Tree id={id} found={found} first={first} until={until} running={running} totals={totals} />
        {!isWhole && (
          <footer>
            Only the last {count(rows.length)} exchanges are in the tree; the sums of the last line are of all.
          </footer>
        )}
      </section>
      <div class="cols c-half flush">
        {main && main.exchanges.length > 1 && <PromptSize exchanges={main.exchanges} first={first} until={until} />}
        <section class="panel" aria-label="What happened">
          <header>
            <h2>What happened</h2>
          </header>
          <div class="body">
            {happened.length ? (
              <ul class="why when">
                {happened.slice(0, HAPPENED).map((one) => (
                  <Happened key={`${one.one.id} ${one.icon}`} one={one} />
                ))}
              </ul>
            ) : (
              <p class="q2">Nothing out of the ordinary: no failover, no move, no wait.</p>
            )}
            {happened.length > HAPPENED && <p class="q2">and {count(happened.length - HAPPENED)} more</p>}
          </div>
        </section>
      </div>
    </div>
  );
}

function Happened({ one }: { one: Happening }) {
  return (
    <li>
      <Icon name={one.icon} />
      <span class="nw q2">{clock(one.atMs)}</span>
      <span>
        <a class="link" href={href("exchanges", shortId(one.one.id))}>
          {one.text}
        </a>
        {one.micros > 0 && (
          <>
            , <b>{dollars(one.micros)}</b>
          </>
        )}
      </span>
    </li>
  );
}

interface TreeProps {
  id: string;
  found: readonly Branch[];
  first: number;
  until: number;
  running: readonly Running[];
  totals: Totals | undefined;
}

function Tree({ id, found, first, until, running, totals }: TreeProps) {
  const quarter = (until - first) / 3;
  const all = found.reduce(
    (sum, one) => ({
      turns: sum.turns + one.exchanges.length,
      input: sum.input + one.input,
      output: sum.output + one.output,
      micros: sum.micros + one.micros,
    }),
    { turns: 0, input: 0, output: 0, micros: 0 },
  );
  const exact = totals && {
    turns: Number(totals.exchanges),
    input: Number(totals.inputTokens + totals.cacheReadTokens + totals.cacheWriteTokens),
    output: Number(totals.outputTokens),
    micros: Number(totals.billedMicros + totals.planMicros),
  };
  const sums = exact ?? all;
  return (
    <div class="tb">
      <table class="tree">
        <thead>
          <tr>
            <th>Conversation</th>
            <th class="opt-b t-model">Model</th>
            <th class="opt-a t-where">Target</th>
            <th class="opt-a t-time">
              <span class="row axis">
                {[0, 1.5, 3].map((at) => (
                  <span key={at}>{axisTime(first + quarter * at, 3 * quarter)}</span>
                ))}
              </span>
            </th>
            <th class="n">Turns</th>
            <th class="opt-c t-cache">Cache</th>
            <th class="n opt-b">Prompt</th>
            <th class="n opt-b">Output</th>
            <th class="n">Cost</th>
          </tr>
        </thead>
        <tbody>
          {found.map((branch, at) => (
            <BranchRow
              key={branch.filter}
              id={id}
              branch={branch}
              isLast={at === found.length - 1}
              first={first}
              until={until}
              running={running.filter((one) => one.agent === (branch.kind === "subagent" ? branch.name : "") && branch.kind !== "calls")}
            />
          ))}
        </tbody>
        <tfoot>
          <tr>
            <td>All</td>
            <td class="opt-b t-model" />
            <td class="opt-a t-where" />
            <td class="opt-a" />
            <td class="n">{count(sums.turns)}</td>
            <td class="opt-c" />
            <td class="n opt-b">
              <Unit number={sums.input} />
            </td>
            <td class="n opt-b">
              <Unit number={sums.output} />
            </td>
            <td class="n">{dollars(sums.micros)}</td>
          </tr>
        </tfoot>
      </table>
    </div>
  );
}

function Unit({ number }: { number: number }) {
  const [figure, unit] = tokenParts(number);
  return (
    <>
      {figure}
      <span class="u">{unit || "\u00a0"}</span>
    </>
  );
}

function BranchRow(props: {
  id: string;
  branch: Branch;
  isLast: boolean;
  first: number;
  until: number;
  running: readonly Running[];
}) {
  const { id, branch, isLast, first, until, running } = props;
  const filter = `session=${quoted(id)} ${branch.filter}`;
  const to = href("exchanges", "", { filter, since: "7d" });
  const hasMoved = branch.targets.length > 1;
  const shown = hasMoved ? [branch.targets.at(-2), branch.targets.at(-1)] : branch.targets;
  return (
    <tr class="go" onClick={(event) => !(event.target instanceof Element && event.target.closest("a")) && go("exchanges", "", { filter, since: "7d" })}>
      <td>
        <span class="tw">
          {branch.kind !== "" && (
            <svg class="br" viewBox="0 0 18 30" aria-hidden="true">
              <path d={isLast ? "M6 0V15H16" : "M6 0V30M6 15H16"} />
            </svg>
          )}
          <a href={to}>
            <bdi>{branch.name}</bdi>
          </a>
          {branch.kind && (
            <span class="q opt-a">
              {"\u00a0"}
              {branch.kind}
            </span>
          )}
          {running.length > 0 && (
            <span class="acc tw-live" title="Under way">
              <Icon name="live" small />
            </span>
          )}
        </span>
      </td>
      <td class="opt-b t-model" title={branch.models.map(shortModel).join(", ")}>
        {shortModel(branch.models[0] ?? "-")}
        {branch.models.length > 1 && <span class="q"> +{branch.models.length - 1}</span>}
      </td>
      <td class="opt-a t-where">
        <span class="hops">
          {shown.map((target, at) =>
            target ? (
              <Fragment key={at}>
                {at > 0 && <Hop label="then" />}
                <Target provider={target[0]} name={target[1]} brief />
              </Fragment>
            ) : null,
          )}
        </span>
      </td>
      <td class="opt-a t-time">
        <Gantt branch={branch} first={first} until={until} running={running} />
      </td>
      <td class="n">{count(branch.exchanges.length)}</td>
      <td class="opt-c t-cache">
        <CacheBar branch={branch} />
      </td>
      <td class="n opt-b">
        <Unit number={branch.input} />
      </td>
      <td class="n opt-b">
        <Unit number={branch.output} />
      </td>
      <td class="n">
        {branch.isPlan ? (
          <span class="plan" title="Covered by a plan, in part at least; at list price">
            {dollars(branch.micros)}
          </span>
        ) : (
          dollars(branch.micros)
        )}
      </td>
    </tr>
  );
}

function CacheBar({ branch }: { branch: Branch }) {
  const whole = branch.read + branch.written + branch.fresh;
  if (!whole) return <span class="q">-</span>;
  const share = (part: number): string => `${((part / whole) * 100).toFixed(1)}%`;
  const label = `${percent(branch.read / whole)} read, ${percent(branch.written / whole)} written, ${percent(branch.fresh / whole)} new`;
  return (
    <div class="cachebar" role="img" aria-label={label} title={label}>
      <i class="r" style={{ width: share(branch.read) }} />
      <i class="w" style={{ width: share(branch.written) }} />
      <i class="i" style={{ width: share(branch.fresh) }} />
    </div>
  );
}

function Gantt(props: { branch: Branch; first: number; until: number; running: readonly Running[] }) {
  const { branch, first, until, running } = props;
  const scale = WIDTH / Math.max(until - first, 1);
  const paths = new Map<string, string>();
  const moves: number[] = [];
  for (const one of branch.exchanges) {
    const x = (Number(one.startedAtMs) - first) * scale;
    const end = Math.max((endOf(one) - first) * scale, x + 3);
    const ramp = rampOf(one.sentModel || one.model);
    paths.set(ramp, `${paths.get(ramp) ?? ""}M${x.toFixed(1)} 3H${end.toFixed(1)}V11H${x.toFixed(1)}Z`);
    if (one.moved) moves.push(x);
  }
  for (const one of running) {
    const x = (Number(one.startedAtMs) - first) * scale;
    paths.set("on", `${paths.get("on") ?? ""}M${Math.min(x, WIDTH - 4).toFixed(1)} 3H${WIDTH}V11H${Math.min(x, WIDTH - 4).toFixed(1)}Z`);
  }
  return (
    <div class="gantt">
      <svg viewBox={`0 0 ${WIDTH} 14`} preserveAspectRatio="none" aria-hidden="true">
        <path class="base" d={`M0 7H${WIDTH}`} />
        {[...paths].map(([ramp, d]) => (
          <path key={ramp} class={`x ${ramp}`} d={d} />
        ))}
        {moves.length > 0 && <path class="mv" d={moves.map((x) => `M${x.toFixed(1)} 0V14`).join("")} />}
      </svg>
    </div>
  );
}

const TALL = 96;

/** The size of the prompt, turn by turn; a compaction begins another area. */
function PromptSize({ exchanges, first, until }: { exchanges: readonly Exchange[]; first: number; until: number }) {
  const turns = exchanges.filter((one) => promptOf(one) > 0 && one.kind === "messages");
  if (turns.length < 2) return null;
  const most = Math.max(...turns.map(promptOf));
  const top = niceTop(most);
  const x = (one: Exchange): number => ((Number(one.startedAtMs) - first) / Math.max(until - first, 1)) * WIDTH;
  const y = (one: Exchange): number => TALL - (promptOf(one) / top) * (TALL - 8);
  const pieces: Exchange[][] = [];
  for (const one of turns) {
    const piece = pieces.at(-1);
    const before = piece?.at(-1);
    if (!piece || (before && promptOf(one) < promptOf(before) * 0.6)) pieces.push([one]);
    else piece.push(one);
  }
  const line = (piece: Exchange[]): string => piece.map((one) => `${x(one).toFixed(1)} ${y(one).toFixed(1)}`).join(" ");
  const last = turns.at(-1);
  const label = `Prompt size per turn: from ${tokens(promptOf(turns[0] ?? exchanges[0]!))} to at most ${tokens(most)}${last ? `, ${tokens(promptOf(last))} now` : ""}`;
  const moves = exchanges.filter((one) => one.moved);
  return (
    <section class="panel" aria-label="Prompt size">
      <header>
        <h2>Prompt size of main, tokens</h2>
        <div class="end">{last && `${tokens(promptOf(last))} now`}</div>
      </header>
      <div class="body">
        <div class="chart">
          <div class="plot prompt">
            <svg viewBox={`0 0 ${WIDTH} ${TALL}`} preserveAspectRatio="none" role="img" aria-label={label}>
              <path class="gl" d={`M0 ${8 + (TALL - 8) / 2}H${WIDTH}M0 8H${WIDTH}`} />
              {pieces.map((piece, at) => (
                <g key={at}>
                  <path class="area" d={`M${line(piece)}L${x(piece.at(-1) ?? piece[0]!).toFixed(1)} ${TALL}L${x(piece[0]!).toFixed(1)} ${TALL}Z`} />
                  <path class="ln" d={`M${line(piece)}`} />
                </g>
              ))}
              <path class="ax0" d={`M0 ${TALL}H${WIDTH}`} />
              {moves.map((one) => (
                <path key={one.id} class="moved" d={`M${x(one).toFixed(1)} 0V${TALL}`} />
              ))}
            </svg>
            <span class="yl" style={{ top: "8%" }}>
              {tokens(top).replace(/\.0+/, "")}
            </span>
            <span class="yl" style={{ top: "54%" }}>
              {tokens(top / 2).replace(/\.0+/, "")}
            </span>
            <span class="yl" style={{ top: "100%" }}>
              0
            </span>
            <span class="xl l" style={{ left: "0" }}>
              {axisTime(first, until - first)}
            </span>
            <span class="xl r" style={{ left: "100%" }}>
              {axisTime(until, until - first)}
            </span>
            {moves.slice(-1).map((one) => (
              <span key={one.id} class="cl r fail" style={{ left: `${Math.max(x(one) / 10, 24).toFixed(1)}%`, top: "-18px" }}>
                moved {minute(one.startedAtMs)}
              </span>
            ))}
          </div>
        </div>
      </div>
    </section>
  );
}

function niceTop(most: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 10)));
  return [1, 2, 4, 5, 10].map((one) => one * power).find((one) => one >= most) ?? most;
}
