// Where a request would go, and why: the five steps, the rules, and Explain on the live state.
import { Code } from "@connectrpc/connect";
import { useState } from "preact/hooks";
import { api } from "../../api/client.ts";
import type { ExplainResponse, ListRulesResponse } from "../../api/gen/ccrelay/v1/routing_pb.ts";
import type { Status } from "../../api/gen/ccrelay/v1/relay_pb.ts";
import { Dimension } from "../../api/gen/ccrelay/v1/usage_pb.ts";
import { now, status } from "../../api/live.ts";
import { count, dollars, midnight, moment, percent, tokens } from "../../lib/format.ts";
import { useCommand, useKeys } from "../../lib/keys.ts";
import { type Loaded, useLoad } from "../../lib/load.ts";
import { go, href, route } from "../../lib/router.ts";
import { shortModel, shortSession } from "../../lib/words.ts";
import { letterOf, Target } from "../../ui/basic.tsx";
import { Empty, Loading, Sk, SkRows } from "../../ui/states.tsx";
import { term } from "../filter.ts";
import { NoState } from "../no-state.tsx";
import { moveRow } from "../rows.ts";
import { Explain } from "./explain.tsx";
import { asked, command, type Form, fromParams, toParams } from "./form.ts";
import { candidatesNow, headline, howOf } from "./words.ts";

const RULES_EVERY_MS = 10_000;
const EXPLAIN_EVERY_MS = 2_000;
const SESSIONS_SHOWN = 6;

export function RoutingPage() {
  const asks = fromParams(Object.fromEntries(route.value.query));
  const [isTyping, setTyping] = useState(false);
  const models = useModels();
  // Until a model is named, the one that costs most is explained.
  const form = { ...asks, model: asks.model || (isTyping ? "" : (models[0] ?? "")) };
  const change = (next: Form): void => {
    setTyping(true);
    go("routing", "", toParams(next), true);
  };
  const request = asked(form);
  useCommand(form.model ? command(form) : "ccrelay route explain --model claude-opus-4-5");
  useKeys({
    j: () => moveRow(1),
    k: () => moveRow(-1),
    "/": () => document.getElementById("x-model")?.focus(),
  });
  const rules = useLoad(
    (signal) => api.routing.listRules({ sinceMs: BigInt(midnight(0, now())) }, { signal }),
    [status.value?.revision],
    RULES_EVERY_MS,
  );
  const key = JSON.stringify(request);
  const answer = useLoad(
    async (signal) =>
      typeof request === "string" ? null : { key, said: await api.routing.explain(request, { signal }) },
    [key],
    EXPLAIN_EVERY_MS,
  );
  const relay = status.value;
  if (!relay) {
    return (
      <NoState title="The routing could not be read">
        <Skeleton />
      </NoState>
    );
  }
  if (!relay.providers.length) {
    return (
      <Empty title="No target" command="ccrelay init" art whole>
        Without a provider a request has nowhere to go.
      </Empty>
    );
  }
  const shown = answer.data?.key === key ? answer.data.said : null;
  return (
    <>
      <div class="head">
        <div>
          <h1>{headline(relay.strategy, relay.rules)}</h1>
          <p>
            A conversation stays where its prompt cache is, while that is worth it. Changes are made in the file
            and take effect within a second.
          </p>
        </div>
        <div class="tools">
          <a class="btn" href={href("config")}>
            Open the file
          </a>
        </div>
      </div>
      <section class="panel" aria-labelledby="rt-way">
        <h2 id="rt-way" class="vh">
          The way of a request
        </h2>
        <ol class="flow">{shown && asks.model ? <FlowOf answer={shown} model={form.model} /> : <Flow relay={relay} rules={rules.data} />}</ol>
      </section>
      <div class="cols rt-cols">
        <div class="stack">
          <Rules relay={relay} rules={rules} matched={asks.model ? (shown?.choice?.rule ?? "") : ""} />
          <Conversations onPick={(session) => change({ ...form, session })} />
        </div>
        <Explain
          form={form}
          onChange={change}
          models={models}
          answer={shown}
          problem={typeof request === "string" ? null : answer.problem}
          mistake={typeof request === "string" && form.model ? request : ""}
          command={command(form)}
        />
      </div>
    </>
  );
}

/** Models of the last seven days, the one that cost most first. */
function useModels(): string[] {
  const loaded = useLoad(async (signal) => {
    const request = { groupBy: [Dimension.MODEL], sinceMs: BigInt(midnight(6, now())), pageSize: 50 };
    const { rows } = await api.usage.query(request, { signal });
    return rows.map((row) => row.group[0] ?? "").filter(Boolean);
  }, []);
  return loaded.data ?? [];
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
      <section class="panel">
        <SkRows rows={2} />
      </section>
      <div class="cols c-half">
        <section class="panel">
          <SkRows rows={5} />
        </section>
        <section class="panel">
          <SkRows rows={8} />
        </section>
      </div>
    </Loading>
  );
}

function Step({ title, figure, text }: { title: string; figure: string; text: string }) {
  return (
    <li>
      <h3>{title}</h3>
      <b title={figure}>{figure}</b>
      <p>{text}</p>
    </li>
  );
}

/** The steps of all requests of today. */
function Flow({ relay, rules }: { relay: Status; rules: ListRulesResponse | null }) {
  const matched = rules?.rules.reduce((sum, one) => sum + one.matched, 0n) ?? 0n;
  const [candidates, others] = candidatesNow(relay.providers);
  const order = relay.providers.map((one) => `${letterOf(one.name)} ${one.priority}`).join(", ");
  const isByPriority = relay.strategy === "failover";
  return (
    <>
      <Step
        title="Request"
        figure={`${count(relay.today?.exchanges ?? 0n)} today`}
        text="read in passing, prompts are not kept"
      />
      <Step
        title="Rules"
        figure={relay.rules ? `${relay.rules}, first one wins` : "none"}
        text={rules ? `${count(matched)} matched, ${count(rules.unmatched)} did not` : "the first one that holds"}
      />
      <Step title="Candidates" figure={candidates} text={others} />
      <Step
        title="Strategy"
        figure={relay.strategy || "not told"}
        text={isByPriority ? `by priority: ${order}` : howOf(relay.strategy)}
      />
      <Step title="Key" figure="cache first" text="then by weight and room" />
    </>
  );
}

/** The steps of the request that is explained. */
function FlowOf({ answer, model }: { answer: ExplainResponse; model: string }) {
  const available = answer.candidates.filter((one) => one.available).length;
  const rule = answer.choice?.rule ?? "";
  const missed = answer.rulesMissed.length;
  return (
    <>
      <Step title="Request" figure={shortModel(model)} text={`class ${answer.trafficClass || "main"}`} />
      <Step
        title="Rules"
        figure={rule || "none matches"}
        text={missed ? `${count(missed, "rule")} before it ${missed === 1 ? "does" : "do"} not match` : "no rule before it"}
      />
      <Step
        title="Candidates"
        figure={`${available} of ${count(answer.candidates.length, "target")}`}
        text={answer.ineligible.length ? `${count(answer.ineligible.length, "provider")} not eligible` : "all providers are eligible"}
      />
      <Step
        title="Strategy"
        figure={answer.choice?.strategy || "not told"}
        text={howOf(answer.choice?.strategy ?? "")}
      />
      <Step title="Key" figure={answer.target || "none now"} text={answer.choice?.reason.replaceAll("_", " ") ?? ""} />
    </>
  );
}

interface RulesProps {
  relay: Status;
  rules: Loaded<ListRulesResponse>;
  /** The rule that the explained request matches. */
  matched: string;
}

function Rules({ relay, rules, matched }: RulesProps) {
  const said = rules.data;
  const all = said ? said.rules.reduce((sum, one) => sum + one.matched, said.unmatched) : 0n;
  const part = (number: bigint): number => (all ? Number(number) / Number(all) : 0);
  return (
    <section class="panel">
      <header>
        <h2>Rules</h2>
        <div class="end">first one that holds wins</div>
      </header>
      {!said && rules.problem && (
        <p class="body q2">
          {rules.problem.code === Code.Unimplemented
            ? "This relay does not tell how often rules match."
            : rules.problem.text}
        </p>
      )}
      {said?.rules.map((one, i) => (
        <div class={one.name === matched ? "rule rt-hit" : "rule"} key={one.name}>
          <span class="no">{i + 1}</span>
          <span class="rt-text">
            <a data-row href={href("exchanges", "", { filter: term("rule", one.name) })}>
              <b>
                <bdi>{one.name}</bdi>
              </b>
            </a>{" "}
            <Words words={one.when} join=" and " />
          </span>
          <Hits matched={one.matched} part={part(one.matched)} />
          <span class="then">
            {one.use.length ? <Words words={one.use} join=", " /> : "changes nothing"}
            {one.matched > 0n && (
              <span class="q">
                {" "}
                · last {moment(one.lastMatchedAtMs, now())} · {dollars(one.costMicros)} at list price
              </span>
            )}
          </span>
        </div>
      ))}
      {said && (
        <div class="rule">
          <span class="no">–</span>
          <span class="q2">{said.rules.length ? "everything else" : "no rules: every request"}</span>
          <Hits matched={said.unmatched} part={part(said.unmatched)} />
          <span class="then">
            strategy <code>{relay.strategy}</code> over all providers
          </span>
        </div>
      )}
    </section>
  );
}

function Hits({ matched, part }: { matched: bigint; part: number }) {
  return (
    <span class="hits">
      {count(matched)} today{" "}
      <span class="meter rt-meter" title={percent(part)}>
        <i style={{ width: `${(part * 100).toFixed(0)}%` }} />
      </span>
    </span>
  );
}

function Words({ words, join }: { words: string[]; join: string }) {
  return (
    <span class="q2">
      {words.map((one, i) => (
        <>
          {i > 0 && join}
          <code>{one}</code>
        </>
      ))}
    </span>
  );
}

/** Where conversations were answered last; a click asks where the next turn would go. */
function Conversations({ onPick }: { onPick: (session: string) => void }) {
  const loaded = useLoad(
    (signal) =>
      api.usage.listSessions({ sinceMs: BigInt(midnight(0, now())), pageSize: SESSIONS_SHOWN }, { signal }),
    [],
    RULES_EVERY_MS,
  );
  const sessions = loaded.data?.sessions.filter((one) => one.target) ?? [];
  if (!sessions.length) return null;
  return (
    <section class="panel">
      <header>
        <h2>Where conversations are</h2>
        <div class="end">the latest first</div>
      </header>
      <div class="tb">
        <table>
          <thead>
            <tr>
              <th class="elide">Conversation</th>
              <th>Answered last by</th>
              <th class="n opt-a">Prompt</th>
              <th class="n opt-a">Last</th>
              <th class="n">
                <span class="vh">Explain</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {sessions.map((one) => (
              <tr key={one.session}>
                <td class="elide">
                  <a href={href("sessions", one.session)}>
                    <bdi>{one.project || shortSession(one.session)}</bdi>
                  </a>{" "}
                  {one.project && <code class="q opt-a">{shortSession(one.session)}</code>}
                </td>
                <td>
                  <Target
                    provider={one.target.split("/")[0] ?? ""}
                    name={one.target.slice(one.target.indexOf("/") + 1)}
                    brief
                  />
                </td>
                <td class="n opt-a">{tokens(one.promptTokens)}</td>
                <td class="n q opt-a">{moment(one.lastAtMs, now())}</td>
                <td class="n">
                  <button
                    type="button"
                    class="btn quiet"
                    aria-label={`Explain the next turn of ${one.project || one.session}`}
                    onClick={() => onPick(one.session)}
                  >
                    Explain
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
