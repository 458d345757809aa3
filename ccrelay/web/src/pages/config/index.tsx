// Configuration: the file with the checker's messages at their lines, what is in force, differences,
// and the revisions.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, problemOf } from "../../api/client.ts";
import type { ConfigGetResponse, Revision } from "../../api/gen/ccrelay/v1/config_pb.ts";
import { link, now, status } from "../../api/live.ts";
import { readOnly } from "../../api/session.ts";
import { copy, say } from "../../lib/copy.ts";
import { useCommand } from "../../lib/keys.ts";
import { type Loaded, useLoad } from "../../lib/load.ts";
import { go, href, route } from "../../lib/router.ts";
import { quote, shell } from "../../lib/shell.ts";
import { Icon } from "../../ui/basic.tsx";
import { Empty, Failed, Loading, Sk, SkRows } from "../../ui/states.tsx";
import { countsWords } from "./diff-view.tsx";
import { draft, type } from "./draft.ts";
import { Code, Editor, Problems } from "./editor.tsx";
import { Mistake } from "./mistake.tsx";
import { type Check, Conflict, OneRevision, Review } from "./review.tsx";
import { Revisions } from "./revisions.tsx";
import { asTyped, headline, subline } from "./words.ts";

const CHECK_AFTER_MS = 300;
const REVISIONS = 50;

export function ConfigPage() {
  const revision = status.value?.revision ?? 0;
  const problem = status.value?.reloadProblem ?? "";
  const file = useLoad((signal) => api.config.get({}, { signal }), [revision, problem], 15_000);
  const revisions = useLoad(
    (signal) => api.config.listRevisions({ pageSize: REVISIONS }, { signal }),
    [revision],
  );
  if (!file.data) {
    if (file.problem) {
      return (
        <Failed
          whole
          title="The configuration could not be read"
          problem={file.problem}
          onRetry={file.reload}
          command="ccrelay config check"
        />
      );
    }
    return file.isLate ? <Skeleton /> : null;
  }
  if (!file.data.file) return <NoFile effective={file.data.effective} />;
  return <Page file={file.data} reload={file.reload} revisions={revisions} />;
}

function Skeleton() {
  return (
    <Loading>
      <div class="head">
        <div class="stack">
          <Sk w="l" h="l" />
          <Sk w="l" />
        </div>
      </div>
      <div class="cols c-side">
        <section class="panel">
          <SkRows rows={14} />
        </section>
        <section class="panel">
          <SkRows rows={5} />
        </section>
      </div>
    </Loading>
  );
}

function NoFile({ effective }: { effective: string }) {
  useCommand("ccrelay init");
  return (
    <>
      <Empty title="There is no configuration file" command="ccrelay init" art whole>
        The relay runs with what it found in the environment.{" "}
        <a class="link" href={href("setup")}>
          Write a file step by step
        </a>
        , here or in a terminal:
      </Empty>
      {effective && (
        <section class="panel">
          <header>
            <h2>In force, as the relay reads it</h2>
          </header>
          <Code text={effective} format="yaml" label="Effective configuration" />
        </section>
      )}
    </>
  );
}

interface PageProps {
  file: ConfigGetResponse;
  reload: () => void;
  revisions: Loaded<{ revisions: Revision[]; nextPageToken: string }>;
}

function Page({ file, reload, revisions }: PageProps) {
  const text = draft.value?.text ?? file.text;
  const check = useCheck(text, file.digest);
  const [goTo, setGoTo] = useState<{ line: number; column: number; n: number } | null>(null);
  const visit = (line: number, column: number): void => {
    if (route.value.id) go("config");
    setGoTo((before) => ({ line, column, n: (before?.n ?? 0) + 1 }));
  };
  const id = route.value.id;
  const number = /^\d+$/.test(id) ? Number(id) : 0;
  useCommand(commandOf(id, number, file.file));
  const newest = revisions.data?.revisions[0];
  const facts = {
    revision: file.revision,
    reloadProblem: status.value?.reloadProblem ?? "",
    isSame: newest ? newest.digest === file.digest : null,
    appliedAtMs: Number(newest?.appliedAtMs ?? 0),
    origin: newest?.origin ?? "",
    nowMs: now(),
  };
  const words = subline(facts);
  return (
    <>
      <div class="head">
        <div>
          <h1>{headline(facts)}</h1>
          <p>
            <code class="cf-path">{file.file}</code>
            {words && `. ${words}`}
          </p>
        </div>
        <div class="tools">
          <button class="btn" type="button" onClick={() => void copy(file.file)}>
            <Icon name="copy" small /> Path
          </button>
          <ReloadButton onDone={reload} />
        </div>
      </div>
      {facts.reloadProblem && !draft.value && (
        <Mistake problem={facts.reloadProblem} text={file.text} format={file.format} file={file.file} onGo={visit} />
      )}
      {draft.value && draft.value.base.digest !== file.digest && <Conflict file={file} />}
      <div class="cols c-side">
        <section class="panel" aria-label="Configuration">
          <header>
            <nav class="seg" aria-label="Views">
              <View id="" label="File" is={!id} />
              <View id="force" label="In force" is={id === "force"} />
              <View id="diff" label="Difference" is={id === "diff"} />
              {number > 0 && <View id={id} label={`Number ${number}`} is />}
            </nav>
            <CheckWord check={check} text={text} />
          </header>
          {id === "force" ? (
            <Code text={file.effective} format="yaml" label="Effective configuration, secrets by fingerprint" />
          ) : id === "diff" ? (
            <Review file={file} check={check} reload={reload} onGo={visit} />
          ) : number ? (
            <OneRevision number={number} file={file} reload={reload} />
          ) : (
            <>
              <Editor
                text={asTyped(text)}
                format={file.format}
                problems={check?.problems ?? []}
                readOnly={readOnly.value}
                goTo={goTo}
                onInput={(typed) => type(file, typed)}
                onSave={() => go("config", "diff")}
              />
              <Problems problems={check?.problems ?? []} onGo={visit} />
              <EditFooter file={file} text={text} />
            </>
          )}
        </section>
        <div class="stack">
          <Revisions revisions={revisions} inForce={file.revision} shown={number} />
        </div>
      </div>
    </>
  );
}

function commandOf(id: string, number: number, file: string): string {
  if (id === "force") return "ccrelay config show";
  if (id === "diff") return `ccrelay config apply --dry-run ${quote(file)}`;
  if (number) return shell("ccrelay", "config", "revisions", "--show", String(number));
  return shell("ccrelay", "config", "check", "--config", file);
}

function View({ id, label, is }: { id: string; label: string; is: boolean }) {
  return (
    <a href={href("config", id)} aria-current={is ? "page" : undefined}>
      {label}
    </a>
  );
}

/** Asks the checker, a moment after the last key. The last answer stays until the next one. */
function useCheck(text: string, digest: string): Check | null {
  const [found, setFound] = useState<Check | null>(null);
  const isFirst = useRef(true);
  const isLive = link.value.state === "live"; // asked again when the relay is back
  useEffect(() => {
    const control = new AbortController();
    const timer = setTimeout(
      () => {
        api.config.validate({ text }, { signal: control.signal }).then(
          ({ ok, problems, changes }) => setFound({ text, ok, problems, changes, refused: "" }),
          (error: unknown) => {
            const refused = problemOf(error);
            if (control.signal.aborted || refused.gone) return; // the banner tells of a loss
            setFound({ text, ok: false, problems: [], changes: [], refused: refused.text });
          },
        );
      },
      isFirst.current ? 0 : CHECK_AFTER_MS,
    );
    isFirst.current = false;
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [text, digest, isLive]);
  return found;
}

function CheckWord({ check, text }: { check: Check | null; text: string }) {
  const errors = check?.problems.filter((one) => one.error).length ?? 0;
  const warnings = (check?.problems.length ?? 0) - errors;
  let word = "checking";
  let tone = "q";
  if (check && check.text === text) {
    word = errors ? `${errors} ${errors === 1 ? "mistake" : "mistakes"}` : "no mistake";
    tone = errors ? "fail" : "q2";
    if (check.refused) {
      word = `not checked: ${check.refused}`;
      tone = "fail";
    } else if (!errors && warnings) {
      word = `${warnings} ${warnings === 1 ? "warning" : "warnings"}`;
      tone = "warn";
    }
  }
  return (
    <div class="end" role="status">
      <span class={`state ${tone}`} data-check={tone}>
        {tone === "q2" && <Icon name="ok" />}
        {tone === "fail" && <Icon name="err" />}
        {word}
      </span>
    </div>
  );
}

function EditFooter({ file, text }: { file: ConfigGetResponse; text: string }) {
  const base = draft.value?.base ?? file;
  const isChanged = text !== base.text;
  return (
    <footer class="row wrap cf-foot">
      <span class="grow">
        {isChanged ? `Not applied yet: ${countsWords(base.text, text)}.` : FOOT}
      </span>
      {isChanged && (
        <>
          <button class="btn" type="button" onClick={() => (draft.value = null)}>
            Discard
          </button>
          <a class="btn primary" href={href("config", "diff")}>
            Review and apply
          </a>
        </>
      )}
    </footer>
  );
}

const FOOT =
  "Secrets that stand in the file are masked; a mask that stays where it is keeps its secret. " +
  "A change of the file itself is read within a second.";

function ReloadButton({ onDone }: { onDone: () => void }) {
  const [busy, setBusy] = useState(false);
  const reload = async (): Promise<void> => {
    setBusy(true);
    try {
      const answer = await api.relay.reload({});
      say(answer.changed ? `Read again: number ${answer.revision} is in force.` : "Read again: nothing differs.");
    } catch (error) {
      say(problemOf(error).text);
    }
    setBusy(false);
    onDone();
  };
  return (
    <button class="btn act" type="button" disabled={busy || readOnly.value} onClick={() => void reload()}>
      Read again
    </button>
  );
}
