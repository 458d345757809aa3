// First run: choose a provider, give it its key, check it, write the file, start Claude Code.
//
// A key lives in its field only: it is read from there for each call and cleared once it is written.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, problemOf } from "../../api/client.ts";
import {
  type DetectResponse,
  type Found,
  KeyStore,
  type WriteResponse,
} from "../../api/gen/ccrelay/v1/setup_pb.ts";
import { status } from "../../api/live.ts";
import { useCommand } from "../../lib/keys.ts";
import { useLoad } from "../../lib/load.ts";
import { href } from "../../lib/router.ts";
import { ActButton, Cmd, Icon } from "../../ui/basic.tsx";
import { Failed, Loading, Sk, SkRows } from "../../ui/states.tsx";
import { Code } from "../config/editor.tsx";
import { Card } from "./card.tsx";
import { ASKING, check, type Checked, CheckWord, type Chosen, type Reader } from "./check.tsx";
import { isLogin, variableOf } from "./types.ts";

export function SetupPage() {
  useCommand("ccrelay init");
  const detected = useLoad((signal) => api.setup.detect({}, { signal }), []);
  if (!detected.data) {
    if (detected.problem) {
      return (
        <Failed
          whole
          title="What is here could not be found out"
          problem={detected.problem}
          onRetry={detected.reload}
          command="ccrelay init"
        />
      );
    }
    return detected.isLate ? <Skeleton /> : null;
  }
  if (detected.data.hasConfig) return <HasConfig said={detected.data} />;
  return <Steps said={detected.data} />;
}

function Skeleton() {
  return (
    <Loading>
      <div class="steps">
        <div class="stack">
          <Sk w="l" h="l" />
          <Sk w="l" />
        </div>
        <section class="panel">
          <SkRows rows={4} />
        </section>
        <section class="panel">
          <SkRows rows={3} />
        </section>
      </div>
    </Loading>
  );
}

function HasConfig({ said }: { said: DetectResponse }) {
  return (
    <div class="steps">
      <div class="head">
        <div>
          <h1>There is a configuration already</h1>
          <p>
            <code class="cf-path">{said.file}</code>{" "}
            <a class="link" href={href("config")}>
              Look at it, or change it
            </a>
            .
          </p>
        </div>
      </div>
      <Start command={said.command} number={1} />
    </div>
  );
}

const ID_OF_CARD = "card-";

/** What a found provider is when it is taken as it is. */
function asChosen(one: Found): Chosen {
  const variable = variableOf(one);
  return {
    type: one.type,
    name: one.name,
    baseUrl: one.baseUrl,
    key: "",
    variable,
    store: variable ? KeyStore.ENVIRONMENT : KeyStore.UNSPECIFIED,
    passThrough: isLogin(one),
    settings: {},
  };
}

function Steps({ said: here }: { said: DetectResponse }) {
  const firstUsable = here.found.findIndex((one) => one.usable);
  const [picked, setPicked] = useState<ReadonlySet<number>>(new Set(firstUsable < 0 ? [] : [firstUsable]));
  const [cards, setCards] = useState<number[]>(firstUsable < 0 ? [1] : []);
  const [first, setFirst] = useState("");
  const [written, setWritten] = useState<WriteResponse | null>(null);
  const readers = useRef(new Map<string, Reader>());
  const ids = [
    ...here.found.map((_, i) => `found-${i}`).filter((_, i) => picked.has(i)),
    ...cards.map((number) => `${ID_OF_CARD}${number}`),
  ];
  const order = ids.includes(first) ? [first, ...ids.filter((id) => id !== first)] : ids;
  const providers = (): Chosen[] =>
    order.map((id) => {
      const reader = readers.current.get(id);
      return reader ? reader() : asChosen(here.found[Number(id.slice(6))] as Found);
    });
  const nameOf = (id: string): string => {
    const found = here.found[Number(id.slice(6))];
    return id.startsWith(ID_OF_CARD) ? `provider ${id.slice(ID_OF_CARD.length)} below` : `${found?.name}, ${found?.source}`;
  };
  return (
    <div class="steps">
      <div class="head">
        <div>
          <h1>Two minutes to the first answer</h1>
          <p>
            {written ? "It is written to" : "No configuration is there yet. It will be written to"}{" "}
            <code class="cf-path">{here.file}</code>.
          </p>
        </div>
      </div>
      <Step number={1} done={written !== null} current={!written}>
        <FoundPanel
          found={here.found}
          picked={picked}
          off={written !== null}
          onPick={(i, is) => setPicked(new Set(is ? [...picked, i] : [...picked].filter((one) => one !== i)))}
        />
        {cards.map((number) => (
          <Card
            key={number}
            number={number}
            keychain={here.keychain}
            keychainProblem={here.keychainProblem}
            written={written !== null}
            onReader={(reader) => {
              if (reader) readers.current.set(`${ID_OF_CARD}${number}`, reader);
              else readers.current.delete(`${ID_OF_CARD}${number}`);
            }}
            onRemove={() => setCards(cards.filter((one) => one !== number))}
          />
        ))}
        {!written && (
          <div class="row wrap">
            <button type="button" class="btn" onClick={() => setCards([...cards, Math.max(0, ...cards) + 1])}>
              Another provider
            </button>
            {order.length > 1 && (
              <label class="row q2">
                asked first:
                <select class="sel" value={order[0]} onChange={(event) => setFirst(event.currentTarget.value)}>
                  {ids.map((id) => (
                    <option key={id} value={id}>
                      {nameOf(id)}
                    </option>
                  ))}
                </select>
              </label>
            )}
          </div>
        )}
      </Step>
      <Step number={2} done={written !== null} current={false}>
        <FilePanel file={here.file} number={order.length} providers={providers} written={written} onWritten={setWritten} />
      </Step>
      <Start command={written?.command || here.command} number={3} current={written !== null} />
    </div>
  );
}

interface StepProps {
  number: number;
  done: boolean;
  current: boolean;
  children: preact.ComponentChildren;
}

function Step({ number, done, current, children }: StepProps) {
  return (
    <section class={`step ${done ? "done" : current ? "cur" : ""}`} aria-label={`Step ${number}`}>
      <span class="num" aria-hidden="true">
        {done ? <Icon name="ok" small /> : number}
      </span>
      <div class="stack">{children}</div>
    </section>
  );
}

interface FoundProps {
  found: Found[];
  picked: ReadonlySet<number>;
  off: boolean;
  onPick: (index: number, is: boolean) => void;
}

function FoundPanel({ found, picked, off, onPick }: FoundProps) {
  const [checks, setChecks] = useState<Record<number, Checked>>({});
  const run = async (i: number, one: Found): Promise<void> => {
    const set = (checked: Checked): void => setChecks((before) => ({ ...before, [i]: checked }));
    set(ASKING);
    set(await check(asChosen(one), ""));
  };
  if (!found.length) {
    return (
      <section class="panel">
        <header>
          <h2>What was found here</h2>
        </header>
        <p class="body q2">No key in the environment, no login, no local model. Paste a key below.</p>
      </section>
    );
  }
  return (
    <section class="panel">
      <header>
        <h2>What was found here</h2>
        <div class="end">nothing is sent until you check</div>
      </header>
      <div class="tb">
        <table class="su-found">
          <thead>
            <tr>
              <th>Found</th>
              <th class="opt-a">Where</th>
              <th>What it is</th>
              <th class="n">
                <span class="vh">Check</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {found.map((one, i) => (
              <tr key={i}>
                <td>
                  <label class="row">
                    <input
                      type="checkbox"
                      checked={picked.has(i)}
                      disabled={!one.usable || off}
                      onChange={(event) => onPick(i, event.currentTarget.checked)}
                    />
                    <span class="mg" aria-hidden="true">
                      {(one.type[0] ?? "?").toUpperCase()}
                    </span>
                    <bdi>{one.name}</bdi>
                  </label>
                </td>
                <td class="q2 opt-a">
                  <code>{one.source}</code>
                </td>
                <td class="su-note">
                  <span class={one.usable ? "q2" : "warn"}>{one.note}</span>
                  {one.models.length > 0 && <span class="q"> Models: {one.models.slice(0, 5).join(", ")}.</span>}
                  <CheckWord checked={checks[i]} />
                </td>
                <td class="n">
                  {one.usable && !isLogin(one) && (
                    <ActButton label={`Check ${one.name}`} disabled={checks[i]?.result === "asking"} onClick={() => void run(i, one)}>
                      Check
                    </ActButton>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <footer>Ticked ones take part. Keys stay where they are: the file names them and never holds them.</footer>
    </section>
  );
}

interface FileProps {
  file: string;
  number: number;
  providers: () => Chosen[];
  written: WriteResponse | null;
  onWritten: (answer: WriteResponse) => void;
}

function FilePanel({ file, number, providers, written, onWritten }: FileProps) {
  const [shown, setShown] = useState<WriteResponse | null>(null);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const run = async (dryRun: boolean): Promise<void> => {
    setBusy(true);
    setProblem("");
    try {
      const answer = await api.setup.write({ providers: providers(), dryRun }, { timeoutMs: 60_000 });
      setShown(answer);
      if (!dryRun) onWritten(answer);
    } catch (error) {
      setProblem(problemOf(error).text);
    }
    setBusy(false);
  };
  const isOff = busy || !number;
  return (
    <section class="panel">
      <header>
        <h2>{written ? "The file is written" : "The file"}</h2>
        <div class="end">
          <code class="su-path">{written?.file || file}</code>
        </div>
      </header>
      {shown && <Code text={shown.text} format="yaml" label="Text of the configuration file; it holds no key" />}
      <div class="body stack">
        {problem && (
          <p class="note fail" role="alert">
            {problem}
          </p>
        )}
        {written ? (
          <ul class="su-written">
            {written.written.map((one) => (
              <li>
                <Icon name="ok" small /> <span>{one}</span>
              </li>
            ))}
          </ul>
        ) : (
          <div class="row wrap">
            <ActButton disabled={isOff} onClick={() => void run(true)}>
              See the file first
            </ActButton>
            <ActButton primary disabled={isOff} onClick={() => void run(false)}>
              Write the file
            </ActButton>
            {!number && <span class="q2">Tick one of the above, or add a provider.</span>}
          </div>
        )}
      </div>
    </section>
  );
}

interface StartProps {
  command: string;
  number: number;
  current?: boolean;
}

function Start({ command, number, current = true }: StartProps) {
  const [began] = useState(() => status.value?.today?.exchanges ?? 0n);
  const done = (status.value?.today?.exchanges ?? 0n) > began;
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (current && number > 1) box.current?.scrollIntoView({ block: "nearest" });
  }, [current]);
  return (
    <>
      <Step number={number} done={done} current={current}>
        <section class="panel">
          <header>
            <h2>Start Claude Code through it</h2>
          </header>
          <div class="body stack" ref={box}>
            <Cmd text={command} />
            <p class="q2">
              Or for all of one shell, in which you start <code>claude</code>:
            </p>
            <Cmd text={'eval "$(ccrelay env)"'} />
            <p class="q2">
              Or for good, in Claude Code's settings; <code>ccrelay disconnect</code> puts them back:
            </p>
            <Cmd text="ccrelay connect" />
          </div>
        </section>
      </Step>
      <Step number={number + 1} done={done} current={false}>
        <div class="panel">
          <div class="body">
            {done ? (
              <div class="row wrap" role="status">
                <span class="state ok">
                  <Icon name="ok" />
                  <b>The first exchange was answered</b>
                </span>
                <span class="grow" />
                <a class="btn primary" href={href("now")}>
                  See it
                </a>
              </div>
            ) : (
              <div class="wait su-wait" role="status">
                <svg class="pulse" viewBox="0 0 40 8" aria-hidden="true">
                  <line x1="0" y1="4" x2="40" y2="4" />
                  <circle cx="4" cy="4" r="4" />
                </svg>
                <b>Listening for the first exchange</b>
              </div>
            )}
            {!done && (
              <p class="q2 su-doctor">
                Nothing after a minute? <code>ccrelay doctor</code> finds out why and says what to do.
              </p>
            )}
          </div>
        </div>
      </Step>
    </>
  );
}
