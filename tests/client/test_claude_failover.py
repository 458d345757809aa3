"""The real Claude Code CLI with several keys and providers, some of which fail."""

import base64
import json

import pytest
from msgspec import structs

from ccrelay.demo.content import Message, Thinking
from ccrelay.demo.plan import Document, RequestContext, Stream, error_document
from tests.client.checks import CREDENTIALS, HOP, without
from tests.client.claude import FOREGROUND
from tests.client.rig import UPSTREAM_KEY, chain, pooled
from tests.faults.kinds import KINDS, Claude, Handling

pytestmark = [pytest.mark.client, pytest.mark.process]

FEW = {"CLAUDE_CODE_MAX_RETRIES": "2"}
GREETING = "You said: “hi”"


def keys_of(demo):
    """The credentials of the received requests, in order."""
    return [dict(recorded.headers)["x-api-key"] for recorded in demo.requests]


def faults_of(demo):
    return [recorded.fault for recorded in demo.requests]


# ---- the column "Claude Code, first of two" of tests/faults/README.md


def what_it_does(run, rig):
    if run.exit_code != 0:
        assert run.retries == []
        return Claude.SHOWS
    assert GREETING in run.text
    return Claude.ANSWERS if len(rig.front.seen()) == 1 else Claude.RETRIES


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_single_fault_has_the_documented_effect_on_claude_code(claude, open_rig, kind):
    script = f"{kind.fault},ok" if kind.fault else ""
    rig = open_rig(chain, script=script, others=["ok"], limit_headers=not kind.no_limit_headers)
    run = claude.ask(rig.url, "hi", **FEW)
    assert what_it_does(run, rig) is kind.claude
    records = rig.exchanges(len(rig.front.seen()))
    if kind.claude is Claude.ANSWERS and kind.handling is Handling.RETRIED:
        assert run.retries == []
        [client], [second] = rig.front.seen(), rig.backs[1].seen()
        assert second.body == client.body
        theirs = HOP | CREDENTIALS
        assert without(second.fields, theirs) == without(client.fields, theirs)
        assert (client.status, client.payload) == (second.status, second.payload)
        assert [record["provider"] for record in records] == ["second"]
        assert len(rig.events("failover")) == 1
    else:
        # Duplicates are retries of the client.
        assert [record["attempts"] for record in records] == [1] * len(records)
        assert len(rig.demos[0].requests) == len(rig.front.seen())
        assert list(rig.demos[1].requests) == []


# ---- keys


@pytest.mark.parametrize(
    ("fault", "event", "why"),
    [
        ("401", "key_disabled", "key_refused"),
        ("429,retry_after=30", "key_cooldown", "rate_limited"),
        ("402", "key_cooldown", "quota_spent"),
    ],
)
def test_a_failing_key_is_replaced_for_the_session(claude, open_rig, fault, event, why):
    rig = open_rig(pooled, script=f"{fault},ok")
    run = claude.ask(rig.url, "use a tool")
    again = claude.ask(rig.url, "hi", "--resume", run.session)
    assert (run.retries, again.retries) == ([], [])
    assert run.text.startswith("Done: 2 tool results")
    assert GREETING in again.text
    assert faults_of(rig.demo) == ["status", "ok", "ok", "ok"]
    bad, *good = keys_of(rig.demo)
    assert len(set(good)) == 1
    assert bad not in good
    records = rig.exchanges(3)
    assert [record["attempts"] for record in records] == [2, 1, 1]
    [found] = rig.events(event)
    assert (found["why"], found["level"]) == (
        why,
        "error" if event == "key_disabled" else "warning",
    )


def test_all_keys_rejected_stops_after_one_retry(claude, open_rig):
    rig = open_rig(pooled, script="401")
    run = claude.ask(rig.url, "hi")
    assert run.exit_code != 0
    assert run.retries == []  # by default it retries for three minutes
    assert "refused the relay's key" in run.text
    assert "x-api-key" not in run.text  # in the provider's words it would read as the client's own
    [only] = rig.front.seen()
    assert (only.status, only.response_field(b"x-should-retry")) == (502, b"false")
    assert sorted(keys_of(rig.demo)) == sorted(set(keys_of(rig.demo)))
    assert len(rig.events("key_disabled")) == 3


def test_a_request_during_a_cooldown_of_all_keys_is_queued_and_answered(claude, open_rig):
    limited = "429,retry_after=8"
    rig = open_rig(pooled, script=f"{limited},{limited},{limited},ok", limit_headers=False)
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.retries == []
    assert GREETING in run.text
    [only] = rig.exchanges(1)
    assert (only["status"], only["attempts"]) == (200, 4)
    assert only["queued_ms"] > 6000


def test_a_session_and_its_sub_agents_use_one_key(claude, open_rig):
    rig = open_rig(pooled)
    run = claude.ask(rig.url, "demo:tool=Agent demo:tools=2", **FOREGROUND)
    again = claude.ask(rig.url, "use a tool", "--resume", run.session, **FOREGROUND)
    assert run.text.startswith("Done: 2 tool results")
    assert again.text.startswith("Done: 2 tool results")
    records = rig.exchanges(6)
    agents = [seen.field(b"x-claude-code-agent-id") for seen in rig.back.seen()]
    assert len({agent for agent in agents if agent}) == 2
    assert sorted(record["class"] for record in records) == ["main"] * 4 + ["subagent"] * 2
    assert len({record["conversation"] for record in records}) == 1
    assert len(keys_of(rig.demo)) == 6
    assert len(set(keys_of(rig.demo))) == 1


# ---- all providers down


def test_claude_reports_that_all_providers_are_overloaded(claude, open_rig):
    rig = open_rig(chain, script="529", others=["529"])
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.exit_code != 0
    assert run.retries == [529, 529]
    assert "529 Overloaded" in run.text
    assert [record["attempts"] for record in rig.exchanges(3)] == [2, 2, 2]
    assert [len(demo.requests) for demo in rig.demos] == [3, 3]
    upstream = {seen.payload for tap in rig.backs for seen in tap.seen()}
    assert all(seen.payload in upstream for seen in rig.front.seen())


def test_claude_shows_the_unreachable_providers(claude, open_rig):
    rig = open_rig(chain, script="", others=["", ""])
    run = claude.ask(rig.url, "hi", **FEW)
    assert run.exit_code != 0
    assert run.retries == [502, 502]
    assert "Cannot reach 127.0.0.1:" in run.text
    assert UPSTREAM_KEY not in run.text
    assert [record["status"] for record in rig.exchanges(3)] == [502, 502, 502]
    assert len(rig.events("connect_failed")) == 9


# ---- thinking signatures


def signer_and_reader(*upstreams):
    """Anthropic, which signs and validates thinking, then a service that does neither."""
    config = chain(*upstreams)
    config["providers"][1] |= {"type": "compatible", "auth": "x-api-key", "models": ["*"]}
    return config


def thinking_of(body):
    """The signatures of the thinking blocks in a request."""
    contents = [message["content"] for message in json.loads(body)["messages"]]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    return [block["signature"] for block in blocks if block["type"] == "thinking"]


@pytest.fixture
def anthropic_signs(monkeypatch):
    """The provider with UPSTREAM_KEY signs thinking and rejects other signatures."""
    plainly = RequestContext.reply_with
    signed = set()

    def sign(block: Thinking) -> Thinking:
        # Format of Claude's signatures: base64 of a message whose first byte is 0x12.
        made = base64.b64encode(b"\x12\x90" + block.signature.encode().ljust(70, b"."))
        signed.add(made.decode())
        return Thinking(block.pieces, made.decode())

    def reply_with(context: RequestContext, message: Message) -> Document | Stream:
        if context.head.get("x-api-key") != UPSTREAM_KEY:
            return plainly(context, message)
        if not signed.issuperset(thinking_of(context.body)):
            text = "messages.1.content.0: Invalid `signature` in `thinking` block"
            return error_document(context, 400, text)
        blocks = tuple(sign(b) if isinstance(b, Thinking) else b for b in message.blocks)
        return plainly(context, structs.replace(message, blocks=blocks))

    monkeypatch.setattr(RequestContext, "reply_with", reply_with)
    return signed


def test_a_thinking_conversation_fails_over_to_another_vendor_and_back(
    claude, open_rig, anthropic_signs
):
    """Each prompt has two turns: thinking with tool calls, then the final text."""
    rig = open_rig(signer_and_reader, script="ok,529,ok", others=["ok,ok,529,ok"])
    prompt = "think and use a tool"
    run = claude.ask(rig.url, prompt)  # the second turn fails over
    claude.ask(
        rig.url, prompt, "--resume", run.session
    )  # on the other provider, the second turn back
    last = claude.ask(rig.url, prompt, "--resume", run.session)  # on the first provider
    assert last.text.startswith("Done: 2 tool results")

    statuses = [seen.status for seen in rig.front.seen()]
    assert statuses == [200] * 6
    served = [record["provider"] for record in rig.exchanges(6)]
    assert served == ["first", "second", "second", "first", "first", "first"]
    moves = [(move["why"], move["provider"]) for move in rig.events("conversation_moved")]
    assert moves == [("failed", "second"), ("failed", "first")]

    asked = {served_by: [] for served_by in ("first", "second")}
    for client, provider in zip(rig.front.seen(), served, strict=True):
        asked[provider].append(thinking_of(client.body))
    at_first, at_second = (
        [thinking_of(seen.body) for seen in tap.seen() if seen.status == 200] for tap in rig.backs
    )
    # The provider without validation gets all blocks, the other only those that it signed.
    assert at_second == asked["second"]
    assert at_first == [[one for one in had if one in anthropic_signs] for had in asked["first"]]
    foreign = [[one for one in had if one not in anthropic_signs] for had in asked["first"]]
    assert [len(had) for had in foreign] == [0, 1, 1, 1]  # the client kept them
    assert len(at_first[-1]) == 2
    assert rig.events("thinking_stripped") == []  # stripped before a rejection
