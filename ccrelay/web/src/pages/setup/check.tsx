// A provider as the calls take it, and what came when it was asked.
import { api, problemOf } from "../../api/client.ts";
import type { CheckResponse, KeyStore } from "../../api/gen/ccrelay/v1/setup_pb.ts";
import { costOfOne, short } from "../../lib/format.ts";
import { Icon } from "../../ui/basic.tsx";

/** A provider as the calls take it. */
export interface Chosen {
  type: string;
  name: string;
  baseUrl: string;
  key: string;
  variable: string;
  store: KeyStore;
  passThrough: boolean;
  settings: Record<string, string>;
}

/** Reads a provider from its fields; the key with it. */
export type Reader = () => Chosen;

export interface Checked {
  busy: boolean;
  ok: boolean;
  text: string;
  models: string[];
}

export async function check(one: Chosen, model: string): Promise<Checked> {
  try {
    return said(await api.setup.check({ provider: one, model }, { timeoutMs: 60_000 }));
  } catch (error) {
    return { busy: false, ok: false, text: problemOf(error).text, models: [] };
  }
}

function said(answer: CheckResponse): Checked {
  const facts = [answer.latencyMs ? `in ${short(answer.latencyMs)}` : "", answer.costMicros ? `cost ${costOfOne(answer.costMicros)}` : ""];
  const extra = facts.filter(Boolean).join(", ");
  const text = `${answer.message || (answer.ok ? "It answers." : "It refuses.")}${extra ? ` (${extra})` : ""}`;
  return { busy: false, ok: answer.ok, text, models: answer.models };
}

export function CheckWord({ checked }: { checked: Checked | undefined }) {
  if (!checked) return null;
  if (checked.busy) return <span class="state q2">asking</span>;
  return (
    <span class={`state su-check ${checked.ok ? "ok" : "fail"}`} role={checked.ok ? "status" : "alert"}>
      <Icon name={checked.ok ? "ok" : "err"} />
      <span>{checked.text}</span>
    </span>
  );
}
