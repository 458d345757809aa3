import assert from "node:assert/strict";
import { test } from "node:test";
import { axisTime, savings } from "../src/lib/format.ts";

test("caches that were written and not read yet have cost something", () => {
  assert.deepEqual(savings(80_000n), ["Saved by prompt caches", "$0.08"]);
  assert.deepEqual(savings(-30_000n), ["Spent on prompt caches so far", "$0.03"]);
  assert.deepEqual(savings(-900n), ["Spent on prompt caches so far", "$0.0009"]);
  assert.deepEqual(savings(0n), ["Saved by prompt caches", "$0"]);
});

test("an axis of a minute has seconds", () => {
  const at = new Date(2026, 11, 1, 14, 32, 8).getTime();
  assert.equal(axisTime(at, 60_000), "14:32:08");
  assert.equal(axisTime(at, 3_600_000), "14:32");
});
