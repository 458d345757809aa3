// The keys of one provider, each with what can be done to it.
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import {
  Billing,
  type Key,
  Key_State,
  ProbeKind,
  type Provider,
  type Totals,
  type Window,
} from "../../api/gen/ccrelay/v1/providers_pb.ts";
import { tick } from "../../api/live.ts";
import { readOnly } from "../../api/session.ts";
import { countdown, dollars, latency, percent, tokens } from "../../lib/format.ts";
import { href } from "../../lib/router.ts";
import { isLong, needsLook, windowShort } from "../../lib/words.ts";
import { ActButton, Figure, Icon, LiveFigure } from "../../ui/basic.tsx";
import { term } from "../filter.ts";
import { busy, clearCooldown, probe, setWeight, switchKey, targetOf, told } from "./actions.ts";
import { Result } from "./result.tsx";
import { forecast, keyState, tightest } from "./words.ts";

/** Columns that are seen, by the widths of `tokens.css`: a cell over more would make the table wider. */
const columns = signal(10);
const WIDTHS = [
  ["(max-width: 720px)", 3],
  ["(max-width: 1100px)", 6],
  ["(max-width: 1279px)", 9],
] as const;
for (const [query] of WIDTHS) matchMedia(query).addEventListener("change", countColumns);
countColumns();

function countColumns(): void {
  columns.value = WIDTHS.find(([query]) => matchMedia(query).matches)?.[1] ?? 10;
}

/** Targets of which the details are open. */
const opened = signal<ReadonlySet<string>>(new Set());

/** Opens the details of a key. */
export function open(target: string): void {
  opened.value = new Set([...opened.value, target]);
}

function toggle(target: string): void {
  const next = new Set(opened.value);
  if (!next.delete(target)) next.add(target);
  opened.value = next;
}

export function Keys({ provider }: { provider: Provider }) {
  return (
    <div class="tb">
      <table class="fix">
        <thead>
          <tr>
            <th>Key</th>
            <th class="opt-a">Fingerprint</th>
            <th>State</th>
            <th class="n opt-a">In flight</th>
            <th class="opt-a">Room left</th>
            <th class="opt-b">Tightest limit</th>
            <th class="opt-b">Windows</th>
            <th class="n opt-b">First event</th>
            <th class="n">Today</th>
            <th class="n opt-c">
              <span class="vh">Actions</span>
            </th>
          </tr>
        </thead>
        {provider.keys.map((key) => (
          <KeyRows key={key.fingerprint} provider={provider} one={key} />
        ))}
      </table>
    </div>
  );
}

function KeyRows({ provider, one }: { provider: Provider; one: Key }) {
  const target = targetOf(provider, one);
  const isOpen = opened.value.has(target);
  const at = tick.value;
  const said = keyState(one, at);
  const windows = one.windows.filter(isLong);
  const result = told.value.get(target);
  return (
    <tbody>
      <tr id={`p-${target}`} class={isOpen ? "go pick" : "go"} onClick={() => toggle(target)}>
        <td>
          <button
            type="button"
            class="pv-key"
            data-row
            aria-expanded={isOpen}
            title={one.name}
            onClick={(event) => {
              event.stopPropagation();
              toggle(target);
            }}
          >
            <bdi>{one.name}</bdi>
            {one.overrides.length > 0 && <span title="set at run time">*</span>}
          </button>
        </td>
        <td class="opt-a">
          <code class="q2">{one.fingerprint}</code>
        </td>
        <td>
          <span class={`state ${said.tone}`}>
            {said.icon ? <Icon name={said.icon} /> : <span class="pv-dash">–</span>}
            {said.word}
            {said.left && <LiveFigure text={said.left} width={4} />}
          </span>
        </td>
        <td class="n opt-a">{one.inFlight}</td>
        <td class="opt-a">
          <Room room={one.room} />
        </td>
        <td class="opt-b q2">{tightest(one) || <span class="q">none told</span>}</td>
        <td class="opt-b">{windows.length ? <Windows windows={windows} /> : <span class="q">–</span>}</td>
        <td class="n opt-b">
          <Figure text={latency(one.firstEventMs)} />
        </td>
        <td class="n">
          <Today totals={one.today} billing={provider.billing} />
        </td>
        <td class="n opt-c">
          <span class="pv-quick" onClick={(event) => event.stopPropagation()}>
            <Quick
              label={`Test ${target}`}
              off={busy.value.has(target)}
              onClick={() => void probe(provider, one, ProbeKind.COUNT_TOKENS)}
            >
              {busy.value.has(target) ? "Testing" : "Test"}
            </Quick>
            <Quick
              label={`${one.enabled ? "Disable" : "Enable"} ${target}`}
              off={busy.value.has(target)}
              onClick={() => switchKey(provider, one, !one.enabled)}
            >
              {one.enabled ? "Disable" : "Enable"}
            </Quick>
          </span>
        </td>
      </tr>
      {result && (
        <tr>
          <td colSpan={columns.value} class="pv-wide">
            <Result ok={result.ok} text={result.text} />
          </td>
        </tr>
      )}
      {isOpen && (
        <tr>
          <td colSpan={columns.value} class="pv-wide">
            <Details provider={provider} one={one} />
          </td>
        </tr>
      )}
    </tbody>
  );
}

function Quick(props: { label: string; off: boolean; onClick: () => void; children: preact.ComponentChildren }) {
  const isOff = readOnly.value || props.off;
  return (
    <button
      type="button"
      class="btn quiet act"
      aria-disabled={isOff}
      aria-label={props.label}
      onClick={() => {
        if (!isOff) props.onClick();
      }}
    >
      {props.children}
    </button>
  );
}

function Room({ room }: { room: number | undefined }) {
  if (room === undefined) return <span class="q">not told</span>;
  return (
    <>
      <span class={room < 0.1 ? "meter warn" : "meter"}>
        <i style={{ width: `${Math.round(Math.min(Math.max(room, 0), 1) * 100)}%` }} />
      </span>{" "}
      <span class="live-n w5">
        <Figure text={percent(room)} />
      </span>
    </>
  );
}

function Windows({ windows }: { windows: Window[] }) {
  return (
    <>
      {windows.map((one, at) => (
        <span key={one.name}>
          {at > 0 && ", "}
          {windowShort(one.name)} <b class={needsLook(one) ? "warn" : ""}>{percent(one.utilization)}</b>
        </span>
      ))}
    </>
  );
}

function Today({ totals, billing }: { totals: Totals | undefined; billing: Billing }) {
  if (billing === Billing.FREE) return <span class="q">free</span>;
  if (!totals) return <span class="q">-</span>;
  if (totals.unpriced > 0n && totals.unpriced >= totals.exchanges) return <span class="q">?</span>;
  const isPlan = totals.planMicros > 0n && !totals.billedMicros;
  return (
    <>
      {dollars(totals.billedMicros + totals.planMicros)}
      {isPlan && <span class="q opt-a"> plan</span>}
      {totals.unpriced > 0n && <span class="q" title="some exchanges have no known price">?</span>}
    </>
  );
}

function Details({ provider, one }: { provider: Provider; one: Key }) {
  const target = targetOf(provider, one);
  const at = tick.value;
  const rests = one.groupCooldowns.filter((rest) => Number(rest.untilMs) > at);
  const isResting = one.state === Key_State.COOLDOWN || one.state === Key_State.REFUSED || rests.length > 0;
  const isBusy = busy.value.has(target);
  const [model, setModel] = useState("");
  const names = provider.models.filter((name) => !/[*?[]/.test(name));
  return (
    <div class="pv-details">
      <dl class="kv">
        <dt>Fingerprint</dt>
        <dd>
          <code>{one.fingerprint}</code>
        </dd>
        <dt>In flight</dt>
        <dd>{one.inFlight}</dd>
        {one.cooldownReason && (
          <>
            <dt>Rests because</dt>
            <dd>{one.cooldownReason}</dd>
          </>
        )}
        {rests.map((rest) => (
          <>
            <dt>{rest.group} models</dt>
            <dd>rest for another {countdown((Number(rest.untilMs) - at) / 1000)}</dd>
          </>
        ))}
        {one.windows.map((window) => (
          <WindowLine key={window.name} one={window} at={at} />
        ))}
        <dt>Order</dt>
        <dd>
          priority {one.priority}, weight {one.weight}
        </dd>
        {one.overrides.map((override) => (
          <>
            <dt>At run time</dt>
            <dd>
              {override.setting} is {override.value}; the file says {override.fileValue}
            </dd>
          </>
        ))}
      </dl>
      <div class="pv-acts">
        <div class="row wrap" role="group" aria-label={`Test ${target}`}>
          <ActButton disabled={isBusy} onClick={() => void probe(provider, one, ProbeKind.CONNECT)}>
            Connect
          </ActButton>
          <ActButton disabled={isBusy} onClick={() => void probe(provider, one, ProbeKind.COUNT_TOKENS, model)}>
            Count tokens, free
          </ActButton>
          <ActButton disabled={isBusy} onClick={() => void probe(provider, one, ProbeKind.MESSAGE, model)}>
            One token, billed
          </ActButton>
          <label class="field pv-model">
            <span class="vh">Model to ask {target} for</span>
            <input
              list={`models-${target}`}
              value={model}
              placeholder="model: the relay's choice"
              spellcheck={false}
              autocomplete="off"
              onInput={(event) => setModel(event.currentTarget.value.trim())}
            />
          </label>
          <datalist id={`models-${target}`}>
            {names.slice(0, 200).map((name) => (
              <option key={name} value={name} />
            ))}
          </datalist>
        </div>
        <div class="row wrap">
          <ActButton disabled={isBusy || !isResting} onClick={() => clearCooldown(provider, one)}>
            Clear the cooldown
          </ActButton>
          <ActButton disabled={isBusy} onClick={() => switchKey(provider, one, !one.enabled)}>
            {one.enabled ? "Disable" : "Enable"}
          </ActButton>
          <a class="btn" href={href("exchanges", "", { filter: `${term("provider", provider.name)} ${term("key", one.name)}` })}>
            Its exchanges
          </a>
        </div>
        <WeightForm provider={provider} one={one} off={isBusy} />
      </div>
    </div>
  );
}

function WindowLine({ one, at }: { one: Window; at: number }) {
  const reset = Number(one.resetsAtMs);
  const facts = [
    percent(one.utilization),
    one.limit ? `${tokens(one.used)} of ${tokens(one.limit)}${isLong(one) ? "" : " per minute"}` : "",
    forecast(one, at),
    reset > at ? `resets in ${countdown((reset - at) / 1000)}` : "",
  ].filter(Boolean);
  return (
    <>
      <dt>{windowShort(one.name)}</dt>
      <dd class={needsLook(one) ? "warn" : ""}>{facts.join(", ")}</dd>
    </>
  );
}

const WEIGHT_MAX = 1000;

function WeightForm({ provider, one, off }: { provider: Provider; one: Key; off: boolean }) {
  const [text, setText] = useState("");
  const weight = text.trim() === "" ? NaN : Number(text);
  const isWeight = Number.isInteger(weight) && weight >= 0 && weight <= WEIGHT_MAX;
  return (
    <form
      class="row"
      onSubmit={(event) => {
        event.preventDefault();
        if (!isWeight || readOnly.value || off) return;
        setWeight(provider, one, weight);
        setText("");
      }}
    >
      <label class="row q2">
        Weight
        <span class="field pv-weight">
          <input
            inputMode="numeric"
            placeholder={String(one.weight)}
            value={text}
            aria-invalid={text !== "" && !isWeight}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </span>
      </label>
      <button class="btn act" type="submit" aria-disabled={!isWeight || readOnly.value || off}>
        Set
      </button>
      {text !== "" && !isWeight && <span class="fail">0 to 1,000</span>}
    </form>
  );
}
