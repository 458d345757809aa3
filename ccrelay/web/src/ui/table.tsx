// The table of exchanges. Only the rows that are seen are in the document, however many there are.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { endOf } from "../api/feed.ts";
import type { Exchange, Running } from "../api/gen/ccrelay/v1/exchanges_pb.ts";
import { now, tick } from "../api/live.ts";
import { count, size, tokenParts } from "../lib/format.ts";
import type { Row } from "../lib/fold.ts";
import { go, href, route } from "../lib/router.ts";
import { shortId } from "../lib/words.ts";
import { Figure, Icon, Target } from "./basic.tsx";
import { CostCell, FirstCell, Model, Outcome, Phase, TimeCell, TotalCell, What, Where } from "./exchange.tsx";

/** One row of the table: an exchange under way, or one that is over. */
export interface Entry {
  id: string;
  running: Running | null;
  row: Row | null;
}

const OVERSCAN = 8;
const NEAR_END = 60; // rows before the end at which older ones are asked for

function useRowHeight(): number {
  const [height, setHeight] = useState(30);
  useEffect(() => {
    const narrow = matchMedia("(max-width: 720px)");
    const coarse = matchMedia("(pointer: coarse)");
    const read = (): void => setHeight(narrow.matches ? 55 : coarse.matches ? 36 : 30);
    read();
    narrow.addEventListener("change", read);
    coarse.addEventListener("change", read);
    return () => {
      narrow.removeEventListener("change", read);
      coarse.removeEventListener("change", read);
    };
  }, []);
  return height;
}

export function ExchangeTable(props: {
  entries: readonly Entry[];
  current: string;
  folded: ReadonlySet<string>;
  /** How many there are in all; null: there may be older ones. */
  total: number | null;
  onFold: (burst: string) => void;
  onScrolled: (isAway: boolean) => void;
  onEnd: () => void;
}) {
  const { entries, current, folded, total, onFold, onScrolled, onEnd } = props;
  const box = useRef<HTMLDivElement>(null);
  const height = useRowHeight();
  const [top, setTop] = useState(0);
  const [room, setRoom] = useState(innerHeight);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const watcher = new ResizeObserver(() => setRoom(element.clientHeight));
    watcher.observe(element);
    return () => watcher.disconnect();
  }, []);

  const at = entries.findIndex((entry) => entry.id === current);
  useEffect(() => {
    const element = box.current;
    if (!element || at < 0) return;
    const head = element.querySelector("thead")?.offsetHeight ?? 0;
    const begin = at * height;
    const seen = element.clientHeight - head;
    if (begin < element.scrollTop) element.scrollTop = begin;
    else if (begin + height > element.scrollTop + seen) element.scrollTop = begin + height - seen;
  }, [current, height]);

  const first = Math.max(0, Math.floor(top / height) - OVERSCAN);
  const last = Math.min(entries.length, Math.ceil((top + room) / height) + OVERSCAN);
  // Elements are used again for the rows that come into view: making them is what scrolling costs.
  // Counted from the oldest, so that a row keeps its element while newer ones come.
  const slots = Math.ceil(room / height) + 2 * OVERSCAN + 1;
  useEffect(() => {
    if (last > entries.length - NEAR_END) onEnd();
  }, [last, entries.length]);

  return (
    <section class="panel xbox" aria-label="Exchanges">
      <div
        class="tb"
        ref={box}
        tabIndex={-1}
        onScroll={(event) => {
          const element = event.currentTarget;
          setTop(element.scrollTop);
          onScrolled(element.scrollTop > height / 2);
        }}
      >
        <table class="xt xv" aria-rowcount={total ?? -1}>
          <thead>
            <tr>
              <th class="c-time">Time</th>
              <th class="c-id opt-c">Id</th>
              <th>What</th>
              <th class="c-model opt-b">Model</th>
              <th class="c-where">Target</th>
              <th class="c-state">Outcome</th>
              <th class="c-n n opt-a">First event</th>
              <th class="c-n n">Total</th>
              <th class="c-n n opt-a">Input</th>
              <th class="c-n n opt-b">Cache write</th>
              <th class="c-n n opt-b">Cache read</th>
              <th class="c-n n opt-b">Output</th>
              <th class="c-n n">Cost</th>
            </tr>
          </thead>
          <tbody>
            <Spacer height={first * height} />
            {entries.slice(first, last).map((entry, number) =>
              entry.running ? (
                <RunningRow key={entry.id} one={entry.running} isPicked={entry.id === current} index={first + number} />
              ) : entry.row ? (
                <OverRow
                  key={(entries.length - first - number) % slots}
                  row={entry.row}
                  isPicked={entry.id === current}
                  isOpen={folded.has(entry.row.kids.at(-1)?.id ?? "")}
                  onFold={onFold}
                  index={first + number}
                />
              ) : null,
            )}
            <Spacer height={(entries.length - last) * height} />
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Spacer({ height }: { height: number }) {
  return (
    <tr class="spacer" aria-hidden="true" style={{ height: `${height}px` }}>
      <td style={{ height: `${height}px` }} />
    </tr>
  );
}

function open(event: MouseEvent, id: string): void {
  if (event.target instanceof Element && event.target.closest("a, button, label, input")) return;
  if (getSelection()?.toString()) return; // a text was marked, not a row chosen
  go("exchanges", shortId(id), route.value.query);
}

function Tokens({ number }: { number: number }) {
  const [figure, unit] = tokenParts(number);
  return (
    <>
      {figure}
      <span class="u">{unit || "\u00a0"}</span>
    </>
  );
}

function OverRow(props: {
  row: Row;
  isPicked: boolean;
  isOpen: boolean;
  index: number;
  onFold: (burst: string) => void;
}) {
  const { row, isPicked, isOpen, index, onFold } = props;
  const { one, kids } = row;
  const oldest = kids.at(-1);
  const used = one.tokens;
  return (
    <tr
      class={`go${isPicked ? " pick" : ""}${row.isKid ? " kid-row" : ""}`}
      aria-rowindex={index + 2}
      aria-selected={isPicked}
      onClick={(event) => (oldest ? onFold(oldest.id) : open(event, one.id))}
    >
      <td class="a-time q nw">
        <TimeCell atMs={oldest?.startedAtMs ?? one.startedAtMs} />
      </td>
      <td class="id opt-c">{oldest ? "" : shortId(one.id)}</td>
      <td class="a-what">
        {oldest ? (
          <button
            type="button"
            class="fold"
            aria-expanded={isOpen}
            onClick={(event) => {
              event.stopPropagation();
              onFold(oldest.id);
            }}
          >
            <Icon name={isOpen ? "down" : "chev"} small />
            <What one={one} times={kids.length} />
          </button>
        ) : (
          <a href={href("exchanges", shortId(one.id), route.value.query)}>
            <What one={one} />
          </a>
        )}
      </td>
      <td class="opt-b">
        <Model one={one} />
      </td>
      <td class="a-where">
        <Where one={one} />
      </td>
      <td class="a-state">{oldest ? <BurstOutcome kids={kids} /> : <Outcome one={one} />}</td>
      <td class="n opt-a">
        <FirstCell ms={one.firstEventMs} />
      </td>
      <td class="n a-dur">
        <TotalCell ms={oldest ? endOf(one) - Number(oldest.startedAtMs) : one.durationMs} />
      </td>
      <td class="n opt-a">{used ? <Tokens number={Number(used.input)} /> : "-"}</td>
      <td class="n opt-b">{used ? <Tokens number={Number(used.cacheWrite5m + used.cacheWrite1h)} /> : "-"}</td>
      <td class="n opt-b">{used ? <Tokens number={Number(used.cacheRead)} /> : "-"}</td>
      <td class="n opt-b">{used ? <Tokens number={Number(used.output)} /> : "-"}</td>
      <td class="n a-cost">
        <CostCell one={one} />
      </td>
    </tr>
  );
}

function BurstOutcome({ kids }: { kids: readonly Exchange[] }) {
  const bad = kids.filter((kid) => kid.outcome !== 1).length;
  return (
    <span class={bad ? "state warn" : "state q"}>
      <Icon name={bad ? "err" : "ok"} />
      {bad ? `${count(bad)} failed` : "all ok"}
    </span>
  );
}

function RunningRow({ one, isPicked, index }: { one: Running; isPicked: boolean; index: number }) {
  tick.value; // its time goes on
  return (
    <tr
      class={isPicked ? "go pick" : "go"}
      aria-rowindex={index + 2}
      aria-selected={isPicked}
      onClick={(event) => open(event, one.id)}
    >
      <td class="a-time q nw">
        <TimeCell atMs={one.startedAtMs} />
      </td>
      <td class="id opt-c">{shortId(one.id)}</td>
      <td class="a-what">
        <a href={href("exchanges", shortId(one.id), route.value.query)}>
          <What one={one} />
        </a>
      </td>
      <td class="opt-b">
        <Model one={one} />
      </td>
      <td class="a-where">
        <Target provider={one.provider} name={one.key} />
      </td>
      <td class="a-state">
        <Phase one={one} />
      </td>
      <td class="n opt-a">
        <FirstCell ms={one.firstEventMs} />
      </td>
      <td class="n a-dur">
        <TotalCell ms={Math.max(0, now() - Number(one.startedAtMs))} />
      </td>
      <td class="n opt-a q">-</td>
      <td class="n opt-b q">-</td>
      <td class="n opt-b q">-</td>
      <td class="n opt-b acc">
        <Figure text={size(one.bytesOut)} />
      </td>
      <td class="n a-cost q">-</td>
    </tr>
  );
}
