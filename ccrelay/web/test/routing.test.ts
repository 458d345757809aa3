import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Breaker_State, BreakerSchema, Key_State, KeySchema, ProviderSchema } from "../src/api/gen/ccrelay/v1/providers_pb.ts";
import { term } from "../src/pages/filter.ts";
import { asked, command, EMPTY, fromParams, readTokens, toParams } from "../src/pages/routing/form.ts";
import { candidatesNow } from "../src/pages/routing/words.ts";
import { isLogin, variableOf } from "../src/pages/setup/types.ts";

test("tokens are read as people write them", () => {
  const cases: [string, number | null][] = [
    ["184,000", 184_000],
    ["184 000", 184_000],
    ["184k", 184_000],
    ["1.5M", 1_500_000],
    ["many", null],
    ["-1", null],
    ["99999999999", null],
  ];
  for (const [text, number] of cases) assert.equal(readTokens(text), number, text);
});

test("a form is a request, a command and an address", () => {
  const form = {
    ...EMPTY,
    model: "claude-opus-4-5",
    tokens: "184k",
    tools: "no" as const,
    headers: "x-project: it's\n\nx-team: blue",
    session: "3f8c",
  };
  const request = asked(form);
  assert.ok(typeof request !== "string");
  assert.deepEqual(request.headers, { "x-project": "it's", "x-team": "blue" });
  assert.equal(request.tools, false);
  assert.equal("thinking" in request, false);
  assert.equal(
    command(form),
    "ccrelay route explain --model claude-opus-4-5 --tokens 184000 --no-tools " +
      "--header 'x-project: it'\\''s' --header 'x-team: blue' --session 3f8c",
  );
  assert.deepEqual(fromParams(toParams(form)), form);
  assert.deepEqual(fromParams({ class: "other", thinking: "maybe" }), EMPTY);
});

test("a mistake in a form is one sentence", () => {
  assert.equal(asked(EMPTY), "Name a model.");
  assert.match(String(asked({ ...EMPTY, model: "x", headers: ": y" })), /is not `name: value`/);
});

test("filters hold any value", () => {
  assert.equal(term("provider", "zai"), "provider=zai");
  assert.equal(term("project", 'two "words"'), 'project="two \\"words\\""');
  assert.equal(term("project", "a,b"), 'project="a,b"');
});

test("what is found is told apart by where it was seen", () => {
  const found = (type: string, source: string) => ({ type, source }) as Parameters<typeof isLogin>[0];
  assert.equal(variableOf(found("zai", "ZAI_API_KEY")), "ZAI_API_KEY");
  assert.equal(variableOf(found("ollama", "127.0.0.1:11434")), "");
  assert.equal(isLogin(found("anthropic", "login of Claude Code")), true);
  assert.equal(isLogin(found("anthropic", "ANTHROPIC_API_KEY")), false);
});

test("what keeps targets from being used adds up", () => {
  const key = (state: Key_State) => create(KeySchema, { state });
  const breaker = create(BreakerSchema, { state: Breaker_State.OPEN });
  const providers = [
    create(ProviderSchema, {
      enabled: true,
      breaker,
      keys: [Key_State.IDLE, Key_State.COOLDOWN, Key_State.REFUSED].map(key),
    }),
    create(ProviderSchema, { enabled: true, keys: [Key_State.IN_USE, Key_State.COOLDOWN, Key_State.FULL].map(key) }),
    create(ProviderSchema, { keys: [key(Key_State.IDLE)] }),
  ];
  assert.deepEqual(candidatesNow(providers), [
    "1 of 7 targets",
    "2 with open breaker, 1 in cooldown, 1 full, 1 refused, 1 disabled",
  ]);
});
