// What the page can do to providers and keys, and what came of it.
import { signal } from "@preact/signals";
import { api, problemOf } from "../../api/client.ts";
import { type Key, ProbeKind, type Provider } from "../../api/gen/ccrelay/v1/providers_pb.ts";
import { status } from "../../api/live.ts";
import { costOfOne, count, short } from "../../lib/format.ts";
import { confirm } from "../confirm.tsx";
import { stops } from "./words.ts";

export interface Told {
  ok: boolean;
  text: string;
}

/** Results by target, `provider` or `provider/key`; of the overrides under their own name. */
export const told = signal<ReadonlyMap<string, Told>>(new Map());
export const busy = signal<ReadonlySet<string>>(new Set());

export const OVERRIDES = "overrides of this run";

/** `provider`, or `provider/key`. */
export function targetOf(provider: Provider, key?: Key): string {
  return key ? `${provider.name}/${key.name}` : provider.name;
}

function tell(target: string, result: Told | null): void {
  const next = new Map(told.value);
  if (result) next.set(target, result);
  else next.delete(target);
  told.value = next;
}

/** Runs one action of a target; its result, or what the relay refuses, is shown there. */
async function run(target: string, work: () => Promise<Told | null>): Promise<void> {
  if (busy.value.has(target)) return;
  busy.value = new Set([...busy.value, target]);
  tell(target, null);
  try {
    tell(target, await work());
  } catch (error) {
    tell(target, { ok: false, text: problemOf(error).text });
  }
  busy.value = new Set([...busy.value].filter((one) => one !== target));
}

/** Takes the state from an answer, before the stream tells it. */
function take(provider: Provider | undefined): void {
  const before = status.value;
  if (!provider || !before) return;
  const providers = before.providers.map((one) => (one.name === provider.name ? provider : one));
  status.value = { ...before, providers };
}

export function switchProvider(provider: Provider, enabled: boolean): void {
  const act = (): void =>
    void run(provider.name, async () => {
      take((await api.providers.setEnabled({ provider: provider.name, enabled })).provider);
      return null;
    });
  if (enabled) return act();
  confirm({
    title: `Disable ${provider.name}?`,
    text: `No more requests are sent to it until it is enabled again. ${stopsNow(provider)}`,
    yes: "Disable",
    act,
  });
}

export function switchKey(provider: Provider, key: Key, enabled: boolean): void {
  const target = targetOf(provider, key);
  const act = (): void =>
    void run(target, async () => {
      const request = { provider: provider.name, key: key.fingerprint, enabled };
      take((await api.providers.setKeyEnabled(request)).provider);
      return null;
    });
  if (enabled) return act();
  confirm({
    title: `Disable ${target}?`,
    text: `This key is not used until it is enabled again. ${stopsNow(provider, key)}`,
    yes: "Disable",
    act,
  });
}

function stopsNow(provider: Provider, key?: Key): string {
  return stops(status.value?.providers ?? [], provider, key);
}

export function clearCooldown(provider: Provider, key: Key): void {
  void run(targetOf(provider, key), async () => {
    const request = { provider: provider.name, key: key.fingerprint };
    const answer = await api.providers.clearCooldown(request);
    take(answer.provider);
    return { ok: true, text: `${count(answer.cleared, "cooldown")} ended.` };
  });
}

export function setWeight(provider: Provider, key: Key, weight: number): void {
  void run(targetOf(provider, key), async () => {
    const request = { provider: provider.name, key: key.fingerprint, weight };
    take((await api.providers.setWeight(request)).provider);
    return { ok: true, text: `Its weight is ${weight} now.` };
  });
}

const KINDS: Record<number, string> = {
  [ProbeKind.CONNECT]: "connect",
  [ProbeKind.COUNT_TOKENS]: "count tokens",
  [ProbeKind.MESSAGE]: "message",
};

/** Asks a provider with a key, now; `model` empty: the relay chooses one. */
export async function probe(
  provider: Provider,
  key: Key,
  kind: ProbeKind,
  model = "",
): Promise<void> {
  await run(targetOf(provider, key), async () => {
    const answer = await api.providers.probe(
      { provider: provider.name, key: key.fingerprint, kind, model },
      { timeoutMs: 60_000 },
    );
    const facts = [
      KINDS[kind] ?? "",
      answer.status ? `HTTP ${answer.status}` : "",
      answer.model,
      `in ${short(answer.latencyMs)}`,
      answer.costMicros ? `cost ${costOfOne(answer.costMicros)}` : "",
    ].filter(Boolean);
    return { ok: answer.ok, text: `${facts.join(", ")}. ${answer.message}` };
  });
}

/** Asks for no message: `count_tokens` costs nothing. */
export async function probeAll(providers: readonly Provider[]): Promise<void> {
  for (const provider of providers) {
    await Promise.all(provider.keys.map((key) => probe(provider, key, ProbeKind.COUNT_TOKENS)));
  }
}

export function writeOverrides(ids: string[], done: () => void): void {
  void run(OVERRIDES, async () => {
    const answer = await api.providers.writeOverrides({ ids });
    done();
    return { ok: true, text: `Written to ${answer.file}: number ${answer.revision} is in force.` };
  });
}

export function dropOverrides(ids: string[], done: () => void): void {
  void run(OVERRIDES, async () => {
    const answer = await api.providers.dropOverrides({ ids });
    done();
    return { ok: true, text: `${count(answer.dropped, "override")} dropped.` };
  });
}
