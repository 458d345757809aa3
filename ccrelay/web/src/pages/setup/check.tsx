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

/** What came of a check; `asking`: nothing yet. `unproven` is no failure: a key can be written untried. */
export interface Checked {
  result: "asking" | "ok" | "unproven" | "failed";
  text: string;
  models: string[];
}

export const ASKING: Checked = { result: "asking", text: "", models: [] };

export async function check(one: Chosen, model: string): Promise<Checked> {
  try {
    return said(await api.setup.check({ provider: one, model }, { timeoutMs: 60_000 }));
  } catch (error) {
    return { result: "failed", text: problemOf(error).text, models: [] };
  }
}

function said(answer: CheckResponse): Checked {
  const facts = [answer.latencyMs ? `in ${short(answer.latencyMs)}` : "", answer.costMicros ? `cost ${costOfOne(answer.costMicros)}` : ""];
  const extra = facts.filter(Boolean).join(", ");
  const told = answer.message || (answer.ok ? "It answers." : "It refuses.");
  const sentences = answer.unproven ? `Not proven yet: ${told} You can go on without.` : told;
  const text = `${sentences}${extra ? ` (${extra})` : ""}`;
  const { models } = answer;
  if (answer.ok) return { result: "ok", text, models };
  if (answer.unproven) return { result: "unproven", text, models };
  return { result: "failed", text, models };
}

const LOOKS = {
  ok: { icon: "ok", tone: "ok", role: "status" },
  unproven: { icon: "wait", tone: "warn", role: "status" },
  failed: { icon: "err", tone: "fail", role: "alert" },
} as const;

export function CheckWord({ checked }: { checked: Checked | undefined }) {
  if (!checked) return null;
  if (checked.result === "asking") return <span class="state q2">asking</span>;
  const { icon, tone, role } = LOOKS[checked.result];
  return (
    <span class={`state su-check ${tone}`} role={role}>
      <Icon name={icon} />
      <span>{checked.text}</span>
    </span>
  );
}
