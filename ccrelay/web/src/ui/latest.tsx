// The latest exchanges on Now: those under way above those that are over.
import type { Feed } from "../api/feed.ts";
import type { Exchange, Running } from "../api/gen/ccrelay/v1/exchanges_pb.ts";
import { now, tick } from "../api/live.ts";
import { running } from "../api/running.ts";
import { go, href } from "../lib/router.ts";
import { shortId } from "../lib/words.ts";
import { CostCell, FirstCell, Model, Outcome, Phase, TimeCell, TotalCell, What, Where } from "./exchange.tsx";
import { Target } from "./basic.tsx";
import { SkRows } from "./states.tsx";

export function LatestTable({ feed, rows }: { feed: Feed; rows: number }) {
  feed.version.value; // the feed itself stays the same: it is drawn again by this alone
  const under = running.value.rows.toReversed().slice(0, rows);
  const over: Exchange[] = [];
  const ids = new Set(under.map((one) => one.id));
  for (let at = 0; at < feed.length && over.length < rows * 3; at += 1) {
    const one = feed.at(at);
    if (one && !ids.has(one.id)) over.push(one);
  }
  // They come in the order in which they ended; a table is read by when they began.
  over.sort((a, b) => Number(b.startedAtMs - a.startedAtMs)).splice(Math.max(0, rows - under.length));
  return (
    <section class="panel" aria-label="Latest exchanges">
      <header>
        <h2>Latest exchanges</h2>
        <div class="end">
          <span class="opt-a">following</span>
          <a class="btn quiet" href={href("exchanges")}>
            All exchanges
          </a>
        </div>
      </header>
      {feed.problem.value && !feed.ready.value ? (
        <p class="body fail">The exchanges could not be read: {feed.problem.value.text}</p>
      ) : feed.ready.value || under.length ? (
        <div class="tb">
          <table class="xt">
            <thead>
              <tr>
                <th>Time</th>
                <th class="elide">What</th>
                <th class="opt-c">Model</th>
                <th>Target</th>
                <th>Outcome</th>
                <th class="n opt-b">First event</th>
                <th class="n">Total</th>
                <th class="n">Cost</th>
              </tr>
            </thead>
            <tbody>
              {under.map((one) => (
                <UnderWay key={one.id} one={one} />
              ))}
              {over.map((one) => (
                <Over key={one.id} one={one} />
              ))}
            </tbody>
          </table>
        </div>
      ) : (
        <SkRows rows={rows} />
      )}
    </section>
  );
}

function open(id: string): void {
  go("exchanges", shortId(id));
}

function UnderWay({ one }: { one: Running }) {
  tick.value; // its time goes on
  return (
    <tr class="go" onClick={() => open(one.id)}>
      <td class="a-time q nw">
        <TimeCell atMs={one.startedAtMs} />
      </td>
      <td class="a-what elide">
        <a href={href("exchanges", shortId(one.id))}>
          <What one={one} />
        </a>
      </td>
      <td class="opt-c">
        <Model one={one} />
      </td>
      <td class="a-where">
        <Target provider={one.provider} name={one.key} brief />
      </td>
      <td class="a-state">
        <Phase one={one} />
      </td>
      <td class="n opt-b">
        <FirstCell ms={one.firstEventMs} />
      </td>
      <td class="n a-dur">
        <TotalCell ms={Math.max(0, now() - Number(one.startedAtMs))} />
      </td>
      <td class="n a-cost q">
        -
      </td>
    </tr>
  );
}

function Over({ one }: { one: Exchange }) {
  return (
    <tr class="go" onClick={() => open(one.id)}>
      <td class="a-time q nw">
        <TimeCell atMs={one.startedAtMs} />
      </td>
      <td class="a-what elide">
        <a href={href("exchanges", shortId(one.id))}>
          <What one={one} />
        </a>
      </td>
      <td class="opt-c">
        <Model one={one} />
      </td>
      <td class="a-where">
        <Where one={one} brief />
      </td>
      <td class="a-state">
        <Outcome one={one} />
      </td>
      <td class="n opt-b">
        <FirstCell ms={one.firstEventMs} />
      </td>
      <td class="n a-dur">
        <TotalCell ms={one.durationMs} />
      </td>
      <td class="n a-cost">
        <CostCell one={one} />
      </td>
    </tr>
  );
}
