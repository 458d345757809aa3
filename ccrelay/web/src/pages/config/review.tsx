// Changes before they are made: the one that was typed here, two that meet, and the way back to an
// earlier text.
import { Code as Status } from "@connectrpc/connect";
import { useState } from "preact/hooks";
import { api, type Problem as CallProblem, problemOf } from "../../api/client.ts";
import type { ConfigGetResponse, Problem } from "../../api/gen/ccrelay/v1/config_pb.ts";
import { readOnly } from "../../api/session.ts";
import { say } from "../../lib/copy.ts";
import { useLoad } from "../../lib/load.ts";
import { go } from "../../lib/router.ts";
import { Icon } from "../../ui/basic.tsx";
import { countsWords, DiffView } from "./diff-view.tsx";
import { draft } from "./draft.ts";
import { Problems } from "./editor.tsx";

/** What the checker says of a text. */
export interface Check {
  text: string;
  ok: boolean;
  problems: Problem[];
  changes: string[];
  /** Why it could not be checked; empty: it was. */
  refused: string;
}

interface ReviewProps {
  file: ConfigGetResponse;
  check: Check | null;
  reload: () => void;
  /** Goes to a place in the text. */
  onGo: (line: number, column: number) => void;
}

/** The change that was made here: difference, what follows from it, and the way to apply it. */
export function Review({ file, check, reload, onGo }: ReviewProps) {
  const work = draft.value;
  if (!work) {
    return (
      <div class="body">
        <p class="q2">Nothing was changed here. Edit the file, or look at an earlier number on this page.</p>
      </div>
    );
  }
  const isChecked = check?.text === work.text;
  return (
    <>
      <DiffView before={work.base.text} after={work.text} format={file.format} label="What would change in the file" />
      <div class="body cf-review">
        {isChecked && check.changes.length > 0 && (
          <div>
            <h2 class="cf-h">What changes in force</h2>
            <ul class="cf-changes">
              {check.changes.map((one) => (
                <li>{one}</li>
              ))}
            </ul>
          </div>
        )}
        {isChecked && check.problems.length > 0 && (
          <Problems problems={check.problems} onGo={onGo} />
        )}
        <ApplyForm canApply={isChecked && check.ok && work.base.digest === file.digest} reload={reload} />
      </div>
    </>
  );
}

function ApplyForm({ canApply, reload }: { canApply: boolean; reload: () => void }) {
  const [comment, setComment] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<CallProblem | null>(null);
  const apply = async (event: Event): Promise<void> => {
    event.preventDefault();
    const work = draft.value;
    if (!work) return;
    setBusy(true);
    setProblem(null);
    try {
      const answer = await api.config.apply({ text: work.text, base: work.base.digest, comment });
      draft.value = null;
      const told = answer.problems.map((one) => one.message).join(" ");
      say(`Number ${answer.revision} is in force. ${told}`.trim());
      go("config");
    } catch (error) {
      setProblem(problemOf(error));
    }
    setBusy(false);
    reload(); // after a conflict, too: both texts are shown then
  };
  const isOff = !canApply || busy || readOnly.value;
  return (
    <form class="row wrap act" onSubmit={(event) => void apply(event)}>
      <label class="field grow">
        <span class="vh">Comment</span>
        <input
          placeholder="Why, for the list of numbers (may be left out)"
          maxLength={200}
          value={comment}
          onInput={(event) => setComment(event.currentTarget.value)}
        />
      </label>
      <button class="btn primary" type="submit" disabled={isOff}>
        {busy ? "Applying" : "Apply"}
      </button>
      {problem && (
        <p class="note fail cf-told" role="alert">
          <span>
            <b>{problem.code === Status.Aborted ? "Not applied: the file has changed meanwhile" : "Not applied"}</b>
            {problem.text}
          </span>
        </p>
      )}
    </form>
  );
}

/** The file changed while it was edited here: both changes, and the choice between them. */
export function Conflict({ file }: { file: ConfigGetResponse }) {
  const work = draft.value;
  if (!work) return null;
  return (
    <section class="panel cf-conflict" aria-label="Two changes">
      <header>
        <span class="state warn">
          <Icon name="hop" />
          <b>The file has changed while you edited it</b>
        </span>
        <div class="end">
          <button class="btn" type="button" onClick={() => (draft.value = null)}>
            Take the file, drop my change
          </button>
          <button class="btn" type="button" onClick={() => (draft.value = { base: file, text: work.text })}>
            Keep my text
          </button>
        </div>
      </header>
      <div class="cols c-half cf-both">
        <div>
          <h2 class="cf-h">What changed in the file</h2>
          <DiffView before={work.base.text} after={file.text} format={file.format} label="What changed in the file" />
        </div>
        <div>
          <h2 class="cf-h">What your text would change in it</h2>
          <DiffView before={file.text} after={work.text} format={file.format} label="What your text would change" />
        </div>
      </div>
    </section>
  );
}

/** An earlier text against the file, and the way back to it. */
export function OneRevision({ number, file, reload }: { number: number; file: ConfigGetResponse; reload: () => void }) {
  const old = useLoad((signal) => api.config.get({ revision: number }, { signal }), [number]);
  const [busy, setBusy] = useState(false);
  const [told, setTold] = useState("");
  if (!old.data) {
    return (
      <div class="body">
        <p class={old.problem ? "fail" : "q2"} role="status">
          {old.problem ? old.problem.text : "Reading"}
        </p>
      </div>
    );
  }
  const rollback = async (): Promise<void> => {
    setBusy(true);
    try {
      const answer = await api.config.rollback({ revision: number });
      say(`The text of number ${number} is in force again, as number ${answer.revision}.`);
      go("config");
    } catch (error) {
      setTold(problemOf(error).text);
    }
    setBusy(false);
    reload();
  };
  const isSame = old.data.text === file.text;
  return (
    <>
      <DiffView before={file.text} after={old.data.text} format={file.format} label={`From the file to number ${number}`} />
      <footer class="row wrap cf-foot">
        <span class="grow">
          {isSame ? "The file says the same." : `Going back to number ${number}: ${countsWords(file.text, old.data.text)}.`}
          {told && (
            <span class="fail" role="alert">
              {" "}
              {told}
            </span>
          )}
        </span>
        <button
          class="btn primary act"
          type="button"
          disabled={busy || isSame || readOnly.value}
          onClick={() => void rollback()}
        >
          Roll back to number {number}
        </button>
      </footer>
    </>
  );
}
