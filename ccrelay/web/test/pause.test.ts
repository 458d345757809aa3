import assert from "node:assert/strict";
import { test } from "node:test";
import { queryObjects } from "node:v8";
import { goOn, pause } from "../src/lib/pause.ts";

const LONG_MS = 600_000;
const MANY = 200;

test("a wait ends early by its signal, and by the word to go on", async () => {
  const control = new AbortController();
  const own = pause(LONG_MS, control.signal);
  control.abort();
  await own;
  const all = [1, 2].map(() => pause(LONG_MS, new AbortController().signal));
  goOn();
  await Promise.all(all);
});

test("waits that are over leave nothing behind", async () => {
  const { signal } = new AbortController();
  await pause(0, signal);
  const before = queryObjects(Function) as unknown as number;
  await Promise.all(Array.from({ length: MANY }, () => pause(1, signal)));
  const more = (queryObjects(Function) as unknown as number) - before;
  assert.ok(more < MANY / 2, `${more} functions are kept of ${MANY} waits`);
});
