import assert from "node:assert/strict";
import { test } from "node:test";
import { burn } from "../src/pages/usage/burn.ts";
import { niceStep, pivot, stacked } from "../src/pages/usage/pivot.ts";
import { rangeOf, RANGES, sinceMs, slotLabel, slots, step } from "../src/pages/usage/ranges.ts";

const row = (slot: string, name: string, dollars: number) => ({
  group: [slot, name],
  totals: { billedMicros: BigInt(dollars * 1e6), planMicros: 0n },
});

test("no money is lost from the picture", () => {
  const days = ["2026-12-01", "2026-12-02"];
  const rows = [
    ..."abcdef".split("").map((name, i) => row("2026-12-01", name, i + 1)),
    row("2026-11-30", "a", 5), // before: the clocks of relay and browser differ
    row("2026-12-03", "b", 7), // after
  ];
  const found = pivot(rows, days);
  assert.deepEqual(found.totals, [26, 7]);
  assert.deepEqual(found.series.map((one) => one.name), ["b", "a", "f", null]);
  assert.equal(found.series.reduce((sum, one) => sum + one.total, 0), 33);
  assert.deepEqual(stacked(found.series).at(-1), found.totals);
});

test("what is apart comes last", () => {
  const found = pivot([row("d", "glm", 9), row("d", "claude", 1)], ["d"], (name) => name === "glm");
  assert.deepEqual(found.series.map((one) => one.name), ["claude", "glm"]);
});

test("axes have round steps", () => {
  assert.equal(niceStep(39.7), 10);
  assert.equal(niceStep(4.87), 1);
  assert.equal(niceStep(0.034), 0.01);
  assert.equal(niceStep(0), 1);
});

test("ranges are calendar days, of which today is the last", () => {
  const now = new Date(2026, 11, 3, 14, 32).getTime();
  assert.deepEqual(RANGES.map((one) => one.id), ["today", "7d", "30d", "90d"]);
  assert.equal(sinceMs(rangeOf("7d"), now), new Date(2026, 10, 27).getTime());
  assert.equal(sinceMs(rangeOf("today"), now), new Date(2026, 11, 3).getTime());
  const days = slots(rangeOf("7d"), now);
  assert.equal(days.length, 7);
  assert.deepEqual([days.at(0), days.at(-1)], ["2026-11-27", "2026-12-03"]);
  assert.equal(slots(rangeOf("today"), now).at(14), "2026-12-03T14");
  assert.equal(slotLabel("2026-11-27", 7), "Fri 27");
  assert.equal(slotLabel("2026-11-27", 30), "27 Nov");
  assert.equal(slotLabel("2026-12-03T14", 1), "14:00");
  assert.equal(step(rangeOf("today"), -1).id, "today");
  assert.equal(step(rangeOf("7d"), 1).id, "30d");
});

const HOUR = 3_600_000;
const facts = { utilization: 0.5, resetsAtMs: 10 * HOUR, lengthS: 36_000, fullAtMs: 0, atReset: 0.8 };

test("a window's way ends at what the provider says", () => {
  const found = burn(facts, [{ atMs: HOUR, cost: 1 }, { atMs: 4 * HOUR, cost: 3 }], 6 * HOUR);
  assert.deepEqual(found?.points, [
    [0, 0],
    [HOUR, 0],
    [2 * HOUR, 0.125],
    [4 * HOUR, 0.125],
    [5 * HOUR, 0.5],
    [6 * HOUR, 0.5],
  ]);
  assert.deepEqual(found?.forecast, [10 * HOUR, 0.8]);
});

test("a window without hours is a line, one that is full early says when", () => {
  const found = burn({ ...facts, fullAtMs: 8 * HOUR }, [], 6 * HOUR);
  assert.deepEqual(found?.points, [[0, 0], [6 * HOUR, 0.5]]);
  assert.deepEqual(found?.forecast, [8 * HOUR, 1]);
  assert.equal(found?.fullAtMs, 8 * HOUR);
});

test("a window whose reset is not known has no picture", () => {
  assert.equal(burn({ ...facts, resetsAtMs: 0 }, [], 6 * HOUR), null);
  assert.equal(burn(facts, [], 11 * HOUR), null);
});
