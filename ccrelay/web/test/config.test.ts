import assert from "node:assert/strict";
import { test } from "node:test";
import { counts, diff, folded, lines } from "../src/pages/config/diff.ts";
import { commentAt, highlight } from "../src/pages/config/highlight.ts";
import { asTyped, headline, placeOf, withEndsOf } from "../src/pages/config/words.ts";

/** The texts that a difference says. */
function sides(before: string, after: string): [string[], string[]] {
  const all = diff(before, after);
  return [
    all.filter((one) => one.kind !== "add").map((one) => one.text),
    all.filter((one) => one.kind !== "del").map((one) => one.text),
  ];
}

test("a difference says both texts, whatever they are", () => {
  let seed = 7;
  const random = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  for (let turn = 0; turn < 300; turn++) {
    const make = (): string => Array.from({ length: random(30) }, () => "abcd"[random(4)]).join("\n");
    const before = make();
    const after = make();
    assert.deepEqual(sides(before, after), [lines(before), lines(after)]);
    for (const line of diff(before, after)) {
      if (line.before) assert.equal(lines(before)[line.before - 1], line.text);
      if (line.after) assert.equal(lines(after)[line.after - 1], line.text);
    }
  }
});

test("a difference is short", () => {
  const before = "a\nb\nc\nd\ne\nf\ng\n";
  assert.deepEqual(counts(diff(before, before)), { added: 0, removed: 0 });
  assert.deepEqual(counts(diff(before, "a\nb\nX\nd\ne\nf\ng\n")), { added: 1, removed: 1 });
  assert.deepEqual(counts(diff(before, "a\nb\nc\nd\nnew\ne\nf\ng\n")), { added: 1, removed: 0 });
  assert.deepEqual(counts(diff("a\nb\nc\na\nb\nb\na", "c\nb\na\nb\na\nc")), { added: 2, removed: 3 });
});

test("very different texts take no long time", () => {
  const began = performance.now();
  const make = (name: string): string => Array.from({ length: 6000 }, (_, i) => `${name}${i}`).join("\n");
  assert.deepEqual(counts(diff(make("a"), make("b"))), { added: 6000, removed: 6000 });
  assert.ok(performance.now() - began < 5000);
});

test("far lines are folded", () => {
  const before = Array.from({ length: 40 }, (_, i) => `line ${i}`);
  const after = before.with(20, "changed");
  const shown = folded(diff(before.join("\n"), after.join("\n")));
  assert.deepEqual(shown.at(0), { kind: "fold", lines: 17 });
  assert.deepEqual(shown.at(-1), { kind: "fold", lines: 16 });
  assert.equal(shown.length, 10);
  assert.deepEqual(folded(diff("a", "a")), []);
});

test("colours take no letter away", () => {
  const texts = [
    "providers:",
    "  - name: a # b",
    '  - {name: "a # b", key: "${KEY}", weight: 3}',
    "    note: it's # a comment",
    "  key: <masked hmac:5cbec909>",
    "'quoted name': 1",
    "url: http://a/#b",
    "",
    "\t\u202e<b>",
  ];
  for (const text of texts) {
    for (const format of ["yaml", "toml"]) {
      assert.equal(highlight(text, format).map((one) => one.text).join(""), text);
    }
  }
});

test("names, comments and secrets have their colours", () => {
  const kinds = (text: string, format?: string): string[] =>
    highlight(text, format).filter((one) => one.kind).map((one) => `${one.kind} ${one.text}`);
  assert.deepEqual(kinds("  - name: a # b"), ["k name", "c # b"]);
  assert.deepEqual(kinds('{name: "x: y", key: "${KEY}"}'), ["k name", "k key", "fpv ${KEY}"]);
  assert.deepEqual(kinds("  key: <masked hmac:5cbec909>"), ["k key", "fpv <masked hmac:5cbec909>"]);
  assert.deepEqual(kinds("[server] # x", "toml"), ["k [server] ", "c # x"]);
  assert.deepEqual(kinds('listen = "a#b"', "toml"), ["k listen"]);
  assert.equal(commentAt("url: http://a/#b", false), 16);
});

test("the headline says whether the file is in force", () => {
  const facts = { revision: 14, reloadProblem: "", isSame: true, appliedAtMs: 0, origin: "", nowMs: 0 };
  assert.equal(headline(facts), "What the file says is in force: number 14");
  assert.match(headline({ ...facts, isSame: false }), /differs/);
  assert.match(headline({ ...facts, reloadProblem: "x" }), /number 14 stays in force/);
});

test("a place is read from a mistake", () => {
  assert.deepEqual(placeOf("/a b/c.yaml:24:5: providers[1]: unknown"), { line: 24, column: 5 });
  assert.deepEqual(placeOf("c.yaml:3: no"), { line: 3, column: 0 });
  assert.equal(placeOf("the file is gone"), null);
});

test("what is typed has the ends of lines of the file", () => {
  const file = "a: 1\r\nb: 2\r\n";
  assert.equal(asTyped(file), "a: 1\nb: 2\n");
  assert.equal(withEndsOf(file, "a: 1\nb: 2\n"), file);
  assert.equal(withEndsOf(file, "a: 1\nb: 3\n"), "a: 1\r\nb: 3\r\n");
  assert.equal(withEndsOf("a: 1\rb\r\n", "a: 1\nb\n"), "a: 1\rb\r\n"); // nothing was typed
  assert.equal(withEndsOf("a\n", "b\n"), "b\n");
});
