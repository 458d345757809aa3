"""The real Claude Code CLI with the relay."""

import json

import pytest

from tests.client.checks import (
    assert_mapped,
    assert_passed_through,
    events,
    message_requests,
    only,
)
from tests.client.claude import FOREGROUND
from tests.client.rig import RELAY_TOKEN, SENT_MODEL, UPSTREAM_KEY, mapped

pytestmark = [pytest.mark.client, pytest.mark.process]

MEGABYTE = 1 << 20


def test_a_prompt_is_answered_and_all_headers_are_forwarded(claude, way):
    run = claude.ask(
        way.url,
        "Hello there",
        ANTHROPIC_API_KEY=way.key,
        ANTHROPIC_CUSTOM_HEADERS="x-team: blue\nX-Odd-Case:  spaced  out ",
        CLAUDE_CODE_GATEWAY_HINT_HEADERS="1",
    )
    assert run.exit_code == 0
    assert "You said: “Hello there”" in run.text
    [(client, upstream)] = way.assert_faithful()
    assert client.target == b"/v1/messages?beta=true"
    assert upstream.field(b"x-claude-code-session-id") == run.session.encode()
    assert upstream.field(b"x-claude-code-request-class") == b"main"
    assert (b"x-team", b"blue") in upstream.fields
    assert upstream.field(b"x-odd-case") == b"spaced  out"
    assert len(events(client.payload)) == client.payload.count(b"\n\n")


def test_thinking_and_parallel_tool_blocks_are_kept(claude, way):
    run = claude.ask(way.url, "think and use a tool", ANTHROPIC_API_KEY=way.key)
    assert run.text.startswith("Done: 2 tool results")
    assert sorted(block["content"] for block in run.blocks("tool_result")) == [
        "demo tool 1",
        "demo tool 2",
    ]
    again = claude.ask(
        way.url, "And now something else", "--resume", run.session, ANTHROPIC_API_KEY=way.key
    )
    assert "You said: “And now something else”" in again.text
    found = way.assert_faithful()
    assert len(found) == 3
    sent = [content_blocks(pair.upstream.body) for pair in found]
    for blocks in sent[1:]:
        kinds = [block["type"] for block in blocks]
        assert (kinds.count("tool_use"), kinds.count("tool_result")) == (2, 2)
    [thinking] = run.blocks("thinking")
    assert thinking["signature"] in [block.get("signature") for block in sent[1]]
    # On resume the CLI omits the thinking of a model that it did not request.
    assert (thinking["signature"] in [b.get("signature") for b in sent[2]]) is not way.maps


def content_blocks(body):
    """The content blocks of all messages of a request."""
    contents = [message["content"] for message in json.loads(body)["messages"]]
    return [block for content in contents if isinstance(content, list) for block in content]


def test_sub_agents_keep_their_agent_id(claude, way):
    run = claude.ask(
        way.url, "demo:tool=Agent demo:tools=2", ANTHROPIC_API_KEY=way.key, **FOREGROUND
    )
    assert run.text.startswith("Done: 2 tool results")
    found = way.assert_faithful()
    agents = [pair.upstream.field(b"x-claude-code-agent-id") for pair in found]
    assert len(found) == 4
    assert len({agent for agent in agents if agent}) == 2


def test_a_prompt_of_over_1_mb_is_forwarded(claude, way):
    prompt = 'Grüße, 世界 \U0001f600 \\ " \t. ' * 48_000 + "\nsay something"
    run = claude.ask(way.url, prompt, ANTHROPIC_API_KEY=way.key)
    assert run.exit_code == 0
    [(client, _)] = way.assert_faithful()
    assert len(client.body) > MEGABYTE


def test_a_stream_of_5000_deltas_is_complete(claude, way):
    run = claude.ask(way.url, "demo:deltas=5000", ANTHROPIC_API_KEY=way.key)
    assert run.text.split() == [str(n) for n in range(5000)]
    [(client, _)] = way.assert_faithful()
    assert events(client.payload).count("content_block_delta") == 5000


def test_context_sends_25_parallel_count_tokens_requests(claude, way):
    run = claude.ask(way.url, "/context", ANTHROPIC_API_KEY=way.key)
    assert run.exit_code == 0
    assert "Context Usage" in run.text
    found = way.assert_faithful()
    assert {pair.client.path for pair in found} == {b"/v1/messages/count_tokens"}
    assert len(found) == 25
    assert len(way.rig.front.conversations) > 5
    assert all(pair.client.status == 200 for pair in found)


def test_models_are_discovered(claude, open_rig):
    def listed(upstream):
        config = mapped(upstream)
        config["providers"][0]["models"] = [
            {"id": "claude-house-special", "display_name": "House Special"}
        ]
        return config

    rig = open_rig(listed)
    run = claude.ask(
        rig.url,
        "hi",
        ANTHROPIC_AUTH_TOKEN=RELAY_TOKEN,
        CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY="1",
    )
    assert run.exit_code == 0
    [asked] = [seen for seen in rig.front.seen() if seen.path == b"/v1/models"]
    assert (asked.method, asked.target, asked.status) == (b"GET", b"/v1/models?limit=1000", 200)
    cache = json.loads((claude.config_dir / "cache" / "gateway-models.json").read_text())
    assert "claude-house-special" in json.dumps(cache)
    assert "House Special" in json.dumps(cache)


@pytest.mark.parametrize(
    ("environment", "sent"),
    [
        ({"ANTHROPIC_API_KEY": "test-key-1"}, [(b"x-api-key", b"test-key-1")]),
        ({"ANTHROPIC_AUTH_TOKEN": "test-token-1"}, [(b"Authorization", b"Bearer test-token-1")]),
        (
            {"ANTHROPIC_API_KEY": "test-key-1", "ANTHROPIC_AUTH_TOKEN": "test-token-1"},
            [(b"Authorization", b"Bearer test-token-1"), (b"x-api-key", b"test-key-1")],
        ),
    ],
    ids=["api-key", "auth-token", "both"],
)
def test_the_client_credential_is_passed_through(claude, open_rig, environment, sent):
    rig = open_rig()
    run = claude.ask(rig.url, "hi", **environment)
    assert run.exit_code == 0
    [(_, upstream)] = assert_passed_through(rig)
    assert only(upstream.fields, frozenset((b"authorization", b"x-api-key"))) == sent


@pytest.mark.parametrize("variable", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
def test_a_relay_token_is_accepted_in_both_headers_and_not_forwarded(claude, open_rig, variable):
    rig = open_rig(mapped)
    run = claude.ask(rig.url, "hi", **{variable: RELAY_TOKEN})
    assert run.exit_code == 0
    [(client, upstream)] = assert_mapped(rig)
    assert RELAY_TOKEN.encode() in b"".join(value for _, value in client.fields)
    assert upstream.field(b"x-api-key") == UPSTREAM_KEY.encode()
    assert json.loads(upstream.body)["model"] == SENT_MODEL


def test_a_wrong_token_is_rejected_and_not_retried(claude, open_rig):
    rig = open_rig(mapped)
    run = claude.ask(rig.url, "hi", ANTHROPIC_AUTH_TOKEN="test-wrong-token")
    assert run.exit_code != 0
    assert run.retries == []  # x-should-retry: false; without it the CLI retries for three minutes
    [refused] = rig.front.seen()
    assert refused.status == 401
    assert b"server.auth.tokens" in refused.payload
    assert rig.back.conversations == []


def test_one_connection_serves_all_turns(claude, way):
    claude.ask(way.url, "use a tool", ANTHROPIC_API_KEY=way.key)
    assert len(message_requests(way.assert_faithful())) == 2
    assert len(way.rig.front.conversations) == 1
    assert len(way.rig.back.conversations) == 1
