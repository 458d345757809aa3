// Providers and their keys, and the hand on them.
import { useEffect } from "preact/hooks";
import type { Provider } from "../../api/gen/ccrelay/v1/providers_pb.ts";
import { status, tick } from "../../api/live.ts";
import { count, countdown, latency } from "../../lib/format.ts";
import { useCommand, useKeys } from "../../lib/keys.ts";
import { route } from "../../lib/router.ts";
import { breakerOf } from "../../lib/words.ts";
import { ActButton, BreakerIcon, Figure, LiveFigure, Mark } from "../../ui/basic.tsx";
import { Empty, Loading, Sk, SkRows } from "../../ui/states.tsx";
import { Confirm } from "../confirm.tsx";
import { NoState } from "../no-state.tsx";
import { moveRow } from "../rows.ts";
import { busy, probeAll, switchProvider, told } from "./actions.ts";
import { Keys, open } from "./keys.tsx";
import { Overrides } from "./overrides.tsx";
import { Result } from "./result.tsx";
import { breakerNote, headline, subline } from "./words.ts";

export function ProvidersPage() {
  useCommand("ccrelay keys");
  useKeys({
    j: () => moveRow(1),
    k: () => moveRow(-1),
    ArrowDown: () => moveRow(1),
    ArrowUp: () => moveRow(-1),
  });
  const now = status.value;
  const wanted = route.value.id;
  const isThere = now !== null;
  useEffect(() => {
    if (!wanted) return;
    open(wanted);
    document.getElementById(`p-${wanted}`)?.scrollIntoView({ block: "center" });
  }, [wanted, isThere]);
  if (!now) {
    return (
      <NoState title="The providers could not be read">
        <Skeleton />
      </NoState>
    );
  }
  if (!now.providers.length) {
    return (
      <Empty title="No provider yet" command="ccrelay init" art whole>
        Nothing can answer a request. Add a provider or a key to have somewhere to go.
      </Empty>
    );
  }
  const providers = now.providers;
  const isBusy = busy.value.size > 0;
  return (
    <>
      <div class="head">
        <div>
          <h1>{headline(providers)}</h1>
          <p>{subline(providers, now.answering)}</p>
        </div>
        <div class="tools">
          <ActButton disabled={isBusy} onClick={() => void probeAll(providers)}>
            {isBusy ? "Testing" : "Test all keys"}
          </ActButton>
        </div>
      </div>
      <div class="stack">
        {providers.map((one) => (
          <ProviderPanel key={one.name} one={one} />
        ))}
      </div>
      <div class="cols pv-more">
        <Overrides providers={providers} />
        <Models providers={providers} />
        <Breakers />
      </div>
      <Confirm />
    </>
  );
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
      <div class="stack">
        <section class="panel">
          <SkRows rows={5} />
        </section>
        <section class="panel">
          <SkRows rows={4} />
        </section>
      </div>
    </Loading>
  );
}

function ProviderPanel({ one }: { one: Provider }) {
  const exchanges = one.keys.reduce((sum, key) => sum + Number(key.today?.exchanges ?? 0), 0);
  const result = told.value.get(one.name);
  return (
    <section class={one.enabled ? "panel" : "panel pv-off"} id={`p-${one.name}`} aria-label={one.name}>
      <header>
        <Mark provider={one.name} />
        <h2 class="pv-name">
          <bdi>{one.name}</bdi>{" "}
          <span class="q pv-kind">
            type {one.type}, priority {one.priority}, weight {one.weight}
          </span>
        </h2>
        {!one.enabled && <span class="tag warn">disabled</span>}
        {one.overrides.length > 0 && <span class="tag line">set at run time</span>}
        <div class="end">
          <span class="opt-a">{count(exchanges, "exchange")} today</span>
          <ActButton
            disabled={busy.value.has(one.name)}
            label={`${one.enabled ? "Disable" : "Enable"} ${one.name}`}
            onClick={() => switchProvider(one, !one.enabled)}
          >
            {one.enabled ? "Disable" : "Enable"}
          </ActButton>
        </div>
      </header>
      {result && <Result ok={result.ok} text={result.text} />}
      <Address one={one} />
      <Keys provider={one} />
    </section>
  );
}

function Address({ one }: { one: Provider }) {
  const at = tick.value;
  const said = breakerOf(one.breaker?.state ?? 0);
  const until = Number(one.breaker?.resumesAtMs ?? 0);
  return (
    <div class="row wrap pv-address">
      <code class="pv-url">{one.baseUrl.replace(/^https:\/\//, "")}</code>
      <span class={`state ${said.tone}`}>
        <BreakerIcon name={said.icon} />
        {said.text}
      </span>
      <span class="q2">{breakerNote(one.breaker, at)}</span>
      <span class="pv-end">
        {until > at ? (
          <span class="fail">
            next probe in <LiveFigure text={countdown((until - at) / 1000)} width={4} />
          </span>
        ) : (
          one.firstEventMs > 0 && (
            <span class="q2">
              first event after <Figure text={latency(one.firstEventMs)} />
            </span>
          )
        )}
      </span>
    </div>
  );
}

/** Which provider serves which names of models. */
function Models({ providers }: { providers: readonly Provider[] }) {
  const names = [...new Set(providers.flatMap((one) => one.models))];
  if (!names.length) return null;
  return (
    <section class="panel">
      <header>
        <h2>Who serves what</h2>
        <div class="end">names and patterns</div>
      </header>
      <div class="tb pv-models">
        <table>
          <thead>
            <tr>
              <th>Model</th>
              {providers.map((one) => (
                <th key={one.name}>
                  <Mark provider={one.name} />
                  <span class="vh">{one.name}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {names.slice(0, MODELS_MAX).map((name) => (
              <tr key={name}>
                <td class="elide">{name}</td>
                {providers.map((one) => (
                  <td key={one.name}>
                    {one.models.includes(name) ? "yes" : <span class="q">-</span>}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {names.length > MODELS_MAX && <footer>{count(names.length - MODELS_MAX, "more name")}</footer>}
    </section>
  );
}

const MODELS_MAX = 60;

function Breakers() {
  return (
    <section class="panel">
      <header>
        <h2>How a breaker works</h2>
      </header>
      <div class="body stack pv-breakers">
        <div class="row">
          <span class="state q2">
            <BreakerIcon name="closed" />
            closed
          </span>
          <span class="q2 grow">Requests are sent. Too many failures open it.</span>
        </div>
        <div class="row">
          <span class="state fail">
            <BreakerIcon name="open" />
            open
          </span>
          <span class="q2 grow">Nothing is sent until the next probe, which comes later and later.</span>
        </div>
        <div class="row">
          <span class="state warn">
            <BreakerIcon name="half" />
            half-open
          </span>
          <span class="q2 grow">One request at a time is let through, to see.</span>
        </div>
        <p class="q2">
          A breaker belongs to an address, a <b>cooldown</b> to a key. A breaker that is open takes no key with
          it; a key that rests leaves its address in use.
        </p>
      </div>
    </section>
  );
}
