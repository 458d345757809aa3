// One exchange: attempts, why, bill. Beside the table where there is room, over it elsewhere.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { api } from "../api/client.ts";
import {

  type BillLine,
  type Exchange,
  type ExchangesGetResponse,
  Outcome as OutcomeCode,
  type Running,
} from "../api/gen/ccrelay/v1/exchanges_pb.ts";
import { Billing } from "../api/gen/ccrelay/v1/providers_pb.ts";
import { now, tick } from "../api/live.ts";
import { running } from "../api/running.ts";
import { copy } from "../lib/copy.ts";
import { clock, costOfOne, count, day, dollars, elapsed, latency, price, short, size } from "../lib/format.ts";
import { useLoad } from "../lib/load.ts";
import { href } from "../lib/router.ts";
import { shell } from "../lib/shell.ts";
import { agentOf, costOf, isPlan, originOf, purposeOf, shortId, shortModel, shortSession } from "../lib/words.ts";
import { Cmd, Icon, Target } from "./basic.tsx";
import { Outcome, Phase } from "./exchange.tsx";
import { Failed, SkRows } from "./states.tsx";
import { Waterfall } from "./waterfall.tsx";

interface Props {
  id: string;
  /** Goes to an older (1) or newer (-1) one. */
  onStep: (by: number) => void;
  onClose: () => void;
}

export function ExchangeDrawer({ id, onStep, onClose }: Props) {
  const under = running.value.rows.find((one) => one.id === id);
  const isUnder = Boolean(under);
  const answer = useLoad((signal) => api.exchanges.get({ id }, { signal }), [id, isUnder]);
  const box = useRef<HTMLElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    box.current?.focus({ preventScroll: true });
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true });
    };
  }, []);
  const one = answer.data?.exchange;
  return (
    <aside class="drawer" aria-labelledby="drawer-title" tabIndex={-1} ref={box}>
      <header>
        <div class="grow">
          {one ? <Title one={one} /> : under ? <UnderTitle one={under} /> : <PlainTitle id={id} />}
        </div>
        <button type="button" class="btn quiet opt-a" title="Newer (k)" aria-label="Newer" onClick={() => onStep(-1)}>
          <span class="flip">
            <Icon name="down" />
          </span>
        </button>
        <button type="button" class="btn quiet" title="Older (j)" aria-label="Older" onClick={() => onStep(1)}>
          <Icon name="down" />
        </button>
        <button
          type="button"
          class="btn opt-a"
          title="Copy the command that shows the same (y)"
          onClick={() => void copy(shell("ccrelay", "exchange", shortId(id)))}
        >
          <Icon name="copy" small /> Command
        </button>
        <button type="button" class="btn quiet" title="Close (Esc)" aria-label="Close" onClick={onClose}>
          <Icon name="err" />
        </button>
      </header>
      {answer.data && one ? (
        <Details answer={answer.data} one={one} />
      ) : under ? (
        <UnderWay one={under} />
      ) : answer.problem ? (
        <Failed title="This exchange could not be read" problem={answer.problem} onRetry={answer.reload} />
      ) : answer.isLate ? (
        <section>
          <SkRows rows={8} />
        </section>
      ) : null}
    </aside>
  );
}

function PlainTitle({ id }: { id: string }) {
  return (
    <>
      <h2 id="drawer-title">Exchange</h2>
      <div class="q nw sub-1">
        <code>{shortId(id)}</code>
      </div>
    </>
  );
}

function Name({ one }: { one: Exchange | Running }) {
  const agent = agentOf(one);
  return (
    <h2 id="drawer-title">
      <bdi>{originOf(one)}</bdi>{" "}
      <span class="q">
        {purposeOf(one)}
        {agent && <bdi> {agent}</bdi>}
      </span>
    </h2>
  );
}

function Title({ one }: { one: Exchange }) {
  const cost = costOf(one);
  return (
    <>
      <div class="row">
        <Name one={one} />
        <Outcome one={one} />
      </div>
      <div class="q nw sub-1 elide-b">
        <code>{shortId(one.id)}</code> · {day(one.startedAtMs)} {clock(one.startedAtMs)} · {elapsed(one.durationMs)} · {cost}
        {isPlan(one) && " covered by a plan"}
      </div>
    </>
  );
}

function UnderTitle({ one }: { one: Running }) {
  return (
    <>
      <div class="row">
        <Name one={one} />
        <Phase one={one} />
      </div>
      <div class="q nw sub-1">
        <code>{shortId(one.id)}</code> · since {clock(one.startedAtMs)}
      </div>
    </>
  );
}

function UnderWay({ one }: { one: Running }) {
  tick.value;
  return (
    <section>
      <h2>Under way</h2>
      <Facts
        rows={[
          ["For", elapsed(Math.max(0, now() - Number(one.startedAtMs)))],
          ["Target", one.provider && <Target provider={one.provider} name={one.key} />],
          ["Attempt", one.attempts ? `${one.attempts}${one.failed ? `, after ${one.failed.replaceAll("_", " ")}` : ""}` : ""],
          ["Model", one.model && <code>{one.model}</code>],
          ["Sent as", one.sentModel !== one.model && one.sentModel && <code>{one.sentModel}</code>],
          ["First event", one.firstEventMs > 0 && `after ${latency(one.firstEventMs)}`],
          ["Answer", size(one.bytesOut)],
          ["Session", one.session && <SessionLink session={one.session} />],
        ]}
      />
      <p class="q2 mt">Attempts, reasons and the bill are here when it is over.</p>
    </section>
  );
}

function SessionLink({ session }: { session: string }) {
  return (
    <a class="link" href={href("sessions", session)}>
      {shortSession(session)}
    </a>
  );
}

function Facts({ rows }: { rows: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="kv">
      {rows.map(([name, value]) =>
        value ? (
          <>
            <dt key={name}>{name}</dt>
            <dd key={`${name} value`}>{value}</dd>
          </>
        ) : null,
      )}
    </dl>
  );
}

function Details({ answer, one }: { answer: ExchangesGetResponse; one: Exchange }) {
  return (
    <>
      <section>
        <h2>
          Attempts{" "}
          <span>
            {one.firstEventMs > 0 ? (
              <>
                seconds since the request; the client saw nothing before <b class="acc">commit</b>
              </>
            ) : (
              "seconds since the request"
            )}
          </span>
        </h2>
        {answer.attempts.length ? (
          <Waterfall one={one} attempts={answer.attempts} />
        ) : (
          <p class="q2">No target was tried.</p>
        )}
      </section>
      <WhySection answer={answer} one={one} />
      <Notes one={one} />
      <Bill lines={answer.bill} one={one} />
      <Request one={one} />
      <Again one={one} />
    </>
  );
}

const REASONS: Record<string, string> = {
  affinity: "its prompt cache is there",
  strategy: "chosen by the strategy",
  only: "the only target for the model",
  queue: "free after a wait",
  failover: "another target had failed",
  last_resort: "nothing better was left",
  panic: "all breakers were open",
};

const PASSED: Record<string, [string, string]> = {
  available: ["ok", "Could have taken it: the strategy preferred the other one."],
  limit: ["wait", "No room in its limits."],
  cooldown: ["rest", "In cooldown."],
  breaker_open: ["err", "Breaker open."],
  key_refused: ["err", "Its key was refused."],
  max_concurrent: ["wait", "As many at once as allowed."],
  tried: ["err", "Tried before."],
  provider_failed: ["err", "Its provider had failed with another key."],
};
// The routing strategy chooses a provider, and no key.
const OTHER_KEY = "Could have taken it: key_strategy or affinity preferred the other key.";

function WhySection({ answer, one }: { answer: ExchangesGetResponse; one: Exchange }) {
  const choice = answer.choice;
  if (!choice || !one.provider) return null;
  const sentence = choice.sentence || `${REASONS[choice.reason] ?? choice.reason}.`;
  return (
    <section>
      <h2>
        Why this target{" "}
        <span>
          {choice.rule ? (
            <>
              rule <code>{choice.rule}</code>
            </>
          ) : (
            "no rule"
          )}
          {choice.strategy && (
            <>
              , strategy <code>{choice.strategy}</code>
            </>
          )}
        </span>
      </h2>
      <ul class="why">
        <li class="took">
          <Icon name="ok" />
          <Target provider={one.provider} name={one.key} />
          <span>
            <b>Taken{choice.reason && `: ${choice.reason.replaceAll("_", " ")}`}.</b> {sentence}
          </span>
        </li>
        {choice.passed.map((passed) => {
          const [provider = "", key = ""] = splitTarget(passed.target);
          const [icon, text] = PASSED[passed.why] ?? ["err", passed.why];
          return (
            <li class="out" key={passed.target}>
              <Icon name={icon} />
              <Target provider={provider} name={key} />
              <span>{passed.why === "available" && provider === one.provider ? OTHER_KEY : text}</span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

function splitTarget(target: string): [string, string] {
  const at = target.indexOf("/");
  return at < 0 ? [target, ""] : [target.slice(0, at), target.slice(at + 1)];
}

function Notes({ one }: { one: Exchange }) {
  const lost = one.cost?.movedMicros ?? 0n;
  const isOther = one.sentModel && one.model && one.sentModel !== one.model;
  if (!one.error && !one.moved && !lost && !isOther) return null;
  const isBroken = one.outcome === OutcomeCode.LOST;
  return (
    <section class="stack">
      {one.error && (
        <div class={isBroken ? "note fail" : "note"}>
          <div>
            <b>{isBroken ? "It was lost" : one.outcome === OutcomeCode.PASSED_ON ? "The provider's error was passed on" : "What went wrong"}</b>
            {one.error}
          </div>
        </div>
      )}
      {(one.moved || lost > 0n) && (
        <div class="note">
          <div>
            <b>The conversation moved{lost > 0n && `, and the move cost ${dollars(lost)}`}</b>
            Its prompt cache at the target before was warm: the prefix was written to a new one instead of read from the old
            one.
          </div>
        </div>
      )}
      {isOther && (
        <div class="note info">
          <div>
            <b>
              Another model answered: {shortModel(one.sentModel)} instead of {shortModel(one.model)}
            </b>
            The target has no model of the name that was asked for, or a rule maps it.
          </div>
        </div>
      )}
    </section>
  );
}

const ITEMS: Record<string, string> = {
  input: "Input",
  cache_write_5m: "Cache write, 5 min",
  cache_write_1h: "Cache write, 1 h",
  cache_read: "Cache read",
  output: "Output",
  fast_mode: "Fast mode",
  inference_us: "Inference in the US",
  web_search: "Web searches",
  otherwise: "Priced otherwise",
};
const WITHOUT_PRICE = new Set(["fast_mode", "inference_us", "web_search", "otherwise"]);

function itemText(line: BillLine, one: Exchange): string {
  const text = ITEMS[line.item] ?? line.item;
  const thinking = one.tokens?.thinking ?? 0n;
  return line.item === "output" && thinking ? `${text}, ${count(thinking)} of it thinking` : text;
}

function Bill({ lines, one }: { lines: readonly BillLine[]; one: Exchange }) {
  const cost = one.cost;
  if (!cost?.known) {
    const hasTokens = one.tokens && (one.tokens.input || one.tokens.output);
    return (
      <section>
        <h2>Bill</h2>
        <p class="q2">
          {hasTokens
            ? "The price of this model is not known. Set one: providers[].prices."
            : "No tokens were reported: nothing to bill."}
        </p>
      </section>
    );
  }
  const isOtherwise = lines.some((line) => line.item === "otherwise");
  const all = lines.reduce((sum, line) => sum + (WITHOUT_PRICE.has(line.item) ? 0n : line.tokens), 0n);
  const saved = cost.uncachedMicros - cost.micros;
  return (
    <section>
      <h2>
        Bill{" "}
        <span>
          <code>{one.sentModel || one.model}</code>
          {cost.pricesVersion && `, prices ${cost.pricesVersion}`}
        </span>
      </h2>
      <table>
        <thead>
          <tr>
            <th>Tokens</th>
            <th class="n">Count</th>
            <th class="n">Per million</th>
            <th class="n">Cost</th>
          </tr>
        </thead>
        <tbody>
          {lines.map((line) => (
            <tr key={line.item}>
              <td>{itemText(line, one)}</td>
              <td class="n">{line.tokens ? count(line.tokens) : "-"}</td>
              <td class="n">{WITHOUT_PRICE.has(line.item) || isOtherwise ? "-" : price(line.priceMicros)}</td>
              <td class="n">{isOtherwise && line.item !== "otherwise" ? "-" : costOfOne(line.micros)}</td>
            </tr>
          ))}
        </tbody>
        <tfoot>
          <tr>
            <td>Total</td>
            <td class="n">{count(all)}</td>
            <td />
            <td class="n">{costOfOne(cost.micros)}</td>
          </tr>
          {saved !== 0n && (
            <tr class="without">
              <td colSpan={3}>Without the prompt cache</td>
              <td class="n">{costOfOne(cost.uncachedMicros)}</td>
            </tr>
          )}
        </tfoot>
      </table>
      <p class="q2 sub-1 mt">
        {saved > 0n && `The cache saved ${costOfOne(saved)}. `}
        {saved < 0n && `Writing to the cache cost ${costOfOne(-saved)} more than it saved here; later turns read it. `}
        {cost.billing === Billing.PLAN && "Covered by a plan; amounts are at list price. "}
        {cost.billing === Billing.FREE && "Free: a local model. "}
        {isOtherwise &&
          "Today's prices do not give this cost: the price table or the configuration was another then, or there is a surcharge that the record does not tell."}
      </p>
    </section>
  );
}

function Request({ one }: { one: Exchange }) {
  return (
    <section>
      <h2>Request</h2>
      <Facts
        rows={[
          ["Asked for", one.model && <code>{one.model}</code>],
          ["Sent", one.sentModel && one.sentModel !== one.model && <code>{one.sentModel}</code>],
          ["Answered", `${one.status ? `HTTP ${one.status}` : "nothing was sent"}${one.stream ? ", stream" : ", one piece"}${one.stopReason ? `, stopped by ${one.stopReason}` : ""}`],
          ["Session", one.session && <SessionLink session={one.session} />],
          ["Project", one.project],
          ["Agent", one.agent],
          ["Size", `${size(one.bytesIn)} in, ${size(one.bytesOut)} out`],
          ["Waited", one.queuedMs >= 1 && `${elapsed(one.queuedMs)} for room`],
          ["Relay added", one.ownUs > 0 && short(one.ownUs / 1000)],
          ["Id", <code>{one.id}</code>],
          ["Kept", "Figures only. Prompts and answers are not stored."],
        ]}
      />
    </section>
  );
}

/** Where the same request would go now. */
function Again({ one }: { one: Exchange }) {
  if (!one.model) return null;
  const used = one.tokens;
  const size = used ? Number(used.input + used.cacheRead + used.cacheWrite5m + used.cacheWrite1h) : 0;
  const kind = one.kind === "count_tokens" ? "count_tokens" : one.trafficClass;
  const words = [
    "ccrelay", "route", "explain", "--model", one.model,
    ...(kind ? ["--class", kind] : []),
    ...(size ? ["--tokens", String(size)] : []),
    ...(one.session ? ["--session", one.session] : []),
  ]; // prettier-ignore
  const query = { model: one.model, class: kind, tokens: size ? String(size) : "", session: one.session };
  return (
    <section>
      <h2>
        Where it would go now{" "}
        <span>
          <a class="link" href={href("routing", "", query)}>
            Explain
          </a>
        </span>
      </h2>
      <Cmd text={shell(...words)} />
    </section>
  );
}

