// Explain: where a request would go now. Nothing is sent.
import type { Problem } from "../../api/client.ts";
import type { Candidate, ExplainResponse } from "../../api/gen/ccrelay/v1/routing_pb.ts";
import { status, tick } from "../../api/live.ts";
import { countdown, tokens } from "../../lib/format.ts";
import { Cmd, Icon, Target } from "../../ui/basic.tsx";
import { CLASSES, type Form } from "./form.ts";
import { facts, priceOfChosen, whyNot } from "./words.ts";

interface Props {
  form: Form;
  onChange: (form: Form) => void;
  /** Models that were asked for of late. */
  models: readonly string[];
  answer: ExplainResponse | null;
  problem: Problem | null;
  /** What is wrong with the form; empty: nothing. */
  mistake: string;
  command: string;
}

export function Explain({ form, onChange, models, answer, problem, mistake, command }: Props) {
  const set = (part: Partial<Form>): void => onChange({ ...form, ...part });
  return (
    <section class="panel">
      <header>
        <h2>Explain: where would this go now?</h2>
        <div class="end">nothing is sent</div>
      </header>
      <div class="body">
        <Fields form={form} models={models} set={set} />
        <div aria-live="polite">
          {mistake && <p class="note fail rt-said">{mistake}</p>}
          {problem && !mistake && !answer && <p class="note fail rt-said">{problem.text}</p>}
          {!form.model && <p class="q2 rt-said">Name a model: the answer follows the live state from then on.</p>}
          {answer && <Said answer={answer} />}
        </div>
        {answer && <Reasons answer={answer} />}
        {form.model && !mistake && <Cmd text={command} />}
      </div>
    </section>
  );
}

/** Models of late, and names in the configuration that are no patterns. */
function modelNames(models: readonly string[]): string[] {
  const names = status.value?.providers.flatMap((one) => one.models) ?? [];
  return [...new Set([...models, ...names])].filter((one) => !/[*?[]/.test(one)).slice(0, 200);
}

interface FieldsProps {
  form: Form;
  models: readonly string[];
  set: (part: Partial<Form>) => void;
}

function Fields({ form, models, set }: FieldsProps) {
  return (
    <div class="form">
      <label for="x-model">Model</label>
      <span class="field">
        <input
          id="x-model"
          list="x-models"
          value={form.model}
          placeholder="claude-opus-4-5"
          spellcheck={false}
          autocomplete="off"
          onInput={(event) => set({ model: event.currentTarget.value })}
        />
      </span>
      <datalist id="x-models">
        {modelNames(models).map((one) => (
          <option key={one} value={one} />
        ))}
      </datalist>
      <label for="x-class">Class</label>
      <select
        class="sel"
        id="x-class"
        value={form.trafficClass}
        onChange={(event) => set({ trafficClass: event.currentTarget.value })}
      >
        <option value="">from the headers, else main</option>
        {CLASSES.map((one) => (
          <option key={one}>{one}</option>
        ))}
      </select>
      <label for="x-tokens">Input tokens</label>
      <span class="field">
        <input
          id="x-tokens"
          inputMode="numeric"
          value={form.tokens}
          placeholder="20,000"
          autocomplete="off"
          onInput={(event) => set({ tokens: event.currentTarget.value })}
        />
      </span>
      <label for="x-session">Session</label>
      <span class="field">
        <input
          id="x-session"
          value={form.session}
          placeholder="a new one"
          spellcheck={false}
          autocomplete="off"
          onInput={(event) => set({ session: event.currentTarget.value })}
        />
      </span>
      <span class="q2">It has</span>
      <span class="row wrap rt-has">
        <label class="row">
          <input type="checkbox" checked={form.images} onChange={(event) => set({ images: event.currentTarget.checked })} />
          images
        </label>
        <Tri label="thinking" value={form.thinking} onPick={(thinking) => set({ thinking })} />
        <Tri label="tools" value={form.tools} onPick={(tools) => set({ tools })} />
      </span>
      <label for="x-headers">Headers</label>
      <span class="field">
        <textarea
          id="x-headers"
          class="rt-headers"
          rows={form.headers.includes("\n") ? 3 : 1}
          value={form.headers}
          placeholder="x-ccrelay-project: payments-api"
          spellcheck={false}
          onInput={(event) => set({ headers: event.currentTarget.value })}
        />
      </span>
    </div>
  );
}

interface TriProps {
  label: string;
  value: Form["tools"];
  onPick: (value: Form["tools"]) => void;
}

function Tri({ label, value, onPick }: TriProps) {
  return (
    <label class="row">
      {label}
      <select
        class="sel"
        value={value}
        onChange={(event) => onPick(event.currentTarget.value as Form["tools"])}
      >
        <option value="">as usual</option>
        <option value="yes">yes</option>
        <option value="no">no</option>
      </select>
    </label>
  );
}

function Said({ answer }: { answer: ExplainResponse }) {
  const sentence = answer.choice?.sentence ?? "";
  const waits = answer.waitsMs > 0n;
  const sent = answer.sentModel ? ` as ${answer.sentModel}` : "";
  return (
    <div class={`note ${answer.target ? "info" : waits ? "warn" : "fail"} rt-said`}>
      <div>
        <b>
          {answer.target
            ? `${answer.target}${sent}${priceOfChosen(answer)}`
            : `No target now: it would ${waits ? "wait in the queue" : "get an error"}`}
        </b>
        {answer.choice?.rule && `Rule ${answer.choice.rule}. `}
        {sentence && `${sentence[0]?.toUpperCase()}${sentence.slice(1)}${sentence.endsWith(".") ? "" : "."} `}
        {answer.affinityTarget &&
          `${tokens(answer.affinityTokens)} tokens of its prompt cache are at ${answer.affinityTarget}.`}
      </div>
    </div>
  );
}

/** Every candidate and provider with its reason, in the order of preference. */
function Reasons({ answer }: { answer: ExplainResponse }) {
  const at = tick.value;
  return (
    <>
      <ul class="why rt-why" aria-label="Candidates, in the order of preference">
        {answer.candidates.map((one) => (
          <Reason key={one.target} one={one} answer={answer} at={at} />
        ))}
        {answer.ineligible.map((one) => (
          <li class="out" key={one.provider}>
            <Icon name="err" />
            <Target provider={one.provider} name="any key" />
            <span>Not eligible: {one.reasons.join("; ")}.</span>
          </li>
        ))}
      </ul>
      {answer.rulesMissed.length > 0 && (
        <ul class="why rt-why" aria-label="Rules that do not match">
          {answer.rulesMissed.map((one) => (
            <li class="out" key={one.rule}>
              <Icon name="err" />
              <span>
                rule <bdi>{one.rule}</bdi>
              </span>
              <span>Does not match: {one.unmet.join("; ")}.</span>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function Reason({ one, answer, at }: { one: Candidate; answer: ExplainResponse; at: number }) {
  const isTaken = one.target === answer.target;
  const slash = one.target.indexOf("/");
  const word = isTaken ? "Taken" : one.available ? "Available" : whyNot(one, at);
  const sent = one.sentModel && one.sentModel !== answer.sentModel ? `as ${one.sentModel}` : "";
  const rest = [facts(one), sent].filter(Boolean).join(", ");
  return (
    <li class={isTaken ? "took" : "out"}>
      <Icon name={isTaken ? "ok" : one.available ? "wait" : "rest"} />
      <Target provider={one.target.slice(0, slash)} name={one.target.slice(slash + 1)} />
      <span>
        <b>{word}.</b> {rest && `${rest[0]?.toUpperCase()}${rest.slice(1)}.`}
        {one.leftOut.length > 0 && (
          <span class="warn">
            {" "}
            Left out, because it was refused:{" "}
            {one.leftOut
              .map((each) => `${each.feature} (${countdown(Math.max(Number(each.untilMs) - at, 0) / 1000)})`)
              .join(", ")}
            .
          </span>
        )}
      </span>
    </li>
  );
}
