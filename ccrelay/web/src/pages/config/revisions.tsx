// Texts that were in force, newest first.
import type { Revision } from "../../api/gen/ccrelay/v1/config_pb.ts";
import { now } from "../../api/live.ts";
import { moment } from "../../lib/format.ts";
import type { Loaded } from "../../lib/load.ts";
import { go, href } from "../../lib/router.ts";
import { originWords } from "./words.ts";

interface Props {
  revisions: Loaded<{ revisions: Revision[]; nextPageToken: string }>;
  inForce: number;
  /** The one that is open; 0: none. */
  shown: number;
}

export function Revisions({ revisions, inForce, shown }: Props) {
  const all = revisions.data?.revisions ?? [];
  return (
    <section class="panel">
      <header>
        <h2>Numbers</h2>
        <div class="end">newest first</div>
      </header>
      {revisions.problem && !revisions.data ? (
        <p class="body fail">{revisions.problem.text}</p>
      ) : (
        <div class="tb">
          <table>
            <thead>
              <tr>
                <th>No.</th>
                <th>Since</th>
                <th>How it came</th>
                <th class="n">Lines</th>
                <th>
                  <span class="vh">In force</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {all.map((one) => (
                <Row key={one.revision} one={one} inForce={inForce} shown={shown} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {revisions.data?.nextPageToken && (
        <footer>
          Older ones: <code>ccrelay config revisions -n 500</code>
        </footer>
      )}
    </section>
  );
}

function Row({ one, inForce, shown }: { one: Revision; inForce: number; shown: number }) {
  const isInForce = one.revision === inForce;
  const open = (): void => go("config", String(one.revision));
  return (
    <tr class={one.revision === shown ? "go pick" : "go"} onClick={open}>
      <td>
        <a href={href("config", String(one.revision))} aria-label={`Number ${one.revision}, difference`}>
          {one.revision}
        </a>
      </td>
      <td class="q nw">{moment(one.appliedAtMs, now())}</td>
      <td class="elide" title={one.comment}>
        {one.comment ? <bdi>{one.comment}</bdi> : <span class="q2">{originWords(one.origin)}</span>}
      </td>
      <td class="n q">
        {one.linesAdded || one.linesRemoved ? `+${one.linesAdded} -${one.linesRemoved}` : "-"}
      </td>
      <td class="n">{isInForce && <span class="tag acc">in force</span>}</td>
    </tr>
  );
}
