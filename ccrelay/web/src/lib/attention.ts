// The sentence at the top, and what needs a look, worst first.
import { Breaker_State, Key_State } from "../api/gen/ccrelay/v1/providers_pb.ts";
import { Notice_Severity, type Status, Status_State } from "../api/gen/ccrelay/v1/relay_pb.ts";
import { count, countdown, moment } from "./format.ts";
import { href } from "./router.ts";
import { isLong, needsLook, windowTitle } from "./words.ts";

export interface Attention {
  tone: "fail" | "warn";
  icon: string;
  subject: string;
  text: string;
  /** A countdown behind the text; empty: none. */
  left: string;
  href: string;
  command: string;
}

/** The answer of the page in words: a sentence and the one below it. */
export function verdictOf(now: Status): [string, string] {
  const today = now.today;
  const lost = Number(today?.lost ?? 0n);
  const failovers = Number(today?.failovers ?? 0n);
  const exchanges = Number(today?.exchanges ?? 0n);
  const lostText = `${count(lost, "exchange was", "exchanges were")} lost today`;
  const handled = failovers
    ? `${count(failovers, "exchange")} needed a second target and got ${failovers === 1 ? "its" : "their"} answer there.`
    : lost
      ? `${count(exchanges, "exchange")} today; none was answered by a second target.`
      : exchanges
        ? `${count(exchanges, "exchange")} today, ${exchanges === 1 ? "answered" : "all answered"} by the first target.`
        : "No exchange yet today.";
  const second = `${failovers ? count(failovers) : "none"} ${failovers > 1 ? "were" : "was"} answered by a second target.`;
  const both = lost ? `${lostText}; ${second}` : handled;
  if (now.state === Status_State.DRAINING) return ["Draining: it ends when what runs has ended.", both];
  if (now.state === Status_State.STARTING) return ["Starting: not all workers serve yet.", both];
  if (!now.answering) return ["Not answering: for some model no target can be used now.", both];
  if (lost) return [`Answering. ${lostText}.`, handled];
  return [`Answering. Nothing was lost today.`, handled];
}

/** What needs a look, worst first. */
export function attentionOf(now: Status, nowMs: number): Attention[] {
  const found: Attention[] = [];
  const told = new Set<string>();
  for (const provider of now.providers) {
    const breaker = provider.breaker;
    if (provider.enabled && (breaker?.state === Breaker_State.OPEN || breaker?.state === Breaker_State.HALF_OPEN)) {
      told.add(provider.name);
      const isOpen = breaker.state === Breaker_State.OPEN;
      const left = (Number(breaker.resumesAtMs) - nowMs) / 1000;
      found.push({
        tone: isOpen ? "fail" : "warn",
        icon: isOpen ? "open" : "half",
        subject: provider.name,
        text: isOpen ? (left > 0 ? "open, probe in" : "open") : "half-open: one request at a time",
        left: isOpen && left > 0 ? countdown(left) : "",
        href: href("providers", provider.name),
        command: `ccrelay providers probe ${provider.name}`,
      });
    }
    for (const key of provider.keys) {
      const target = `${provider.name}/${key.name}`;
      const place = href("providers", target);
      const base = { subject: key.name, left: "", href: place, command: "" };
      if (key.state === Key_State.REFUSED) {
        told.add(target);
        found.push({ ...base, tone: "fail", icon: "err", text: "refused by the provider" });
      } else if (key.state === Key_State.COOLDOWN) {
        told.add(target);
        const left = (Number(key.cooldownUntilMs) - nowMs) / 1000;
        found.push({ ...base, tone: "warn", icon: "rest", text: "cooldown", left: left > 0 ? countdown(left) : "" });
      }
      for (const window of key.windows.filter((one) => isLong(one) && needsLook(one))) {
        told.add(target);
        const isUsed = window.utilization >= 1;
        const at = moment(isUsed ? window.resetsAtMs : window.fullAtMs, nowMs);
        const when = isUsed ? `is used up, resets ${at}` : window.fullAtMs ? `runs out ${at}` : "is nearly used up";
        found.push({
          ...base,
          tone: isUsed ? "fail" : "warn",
          icon: "window",
          text: `${windowTitle(window.name)} ${when}`,
          href: href("usage"),
        });
      }
    }
  }
  const keys = new Set(now.providers.flatMap((one) => [...told].filter((name) => name.startsWith(`${one.name}/`))));
  const short = new Set([...keys].map((name) => name.slice(name.indexOf("/") + 1)));
  for (const notice of now.notices) {
    if (told.has(notice.subject) || short.has(notice.subject)) continue;
    const isError = notice.severity === Notice_Severity.ERROR;
    found.push({
      tone: isError ? "fail" : "warn",
      icon: isError ? "err" : "wait",
      subject: notice.subject,
      text: notice.message.replace(/\.$/, ""),
      left: "",
      href: href(notice.subject === "config" ? "config" : notice.subject === "ledger" ? "config" : "providers"),
      command: notice.command,
    });
  }
  return found.sort((a, b) => Number(a.tone === "warn") - Number(b.tone === "warn"));
}
