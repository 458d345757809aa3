"""`routing.rules`: exceptions from the strategy, by what a request is and says."""

import asyncio
import gzip
import json

import pytest

from ccrelay.config.model import Health, Rule, Use, When
from tests.loopback.relay.harness import Lab, provider, routing
from tests.loopback.relay.scripts import JSON, STREAM, Stage, Turns
from tests.loopback.relay.wires import (
    BODY,
    EVENTS,
    MESSAGE,
    STREAM_BODY,
    chunked_post,
    fault,
    padded,
    post,
    response,
)

SESSION = (b"x-claude-code-session-id", b"s-1")
AGENT = (b"x-claude-code-agent-id", b"agent-1")
HINT = b"x-claude-code-request-class"
COUNT = b"/v1/messages/count_tokens"


def body(**members: object) -> bytes:
    given = {
        "model": "claude-test-1",
        "messages": [{"role": "user", "content": "hi"}],
        **members,
    }
    return json.dumps(given).encode()


def user(*content: object) -> list[object]:
    return [{"role": "user", "content": list(content)}]


IMAGE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
}
TOOL = {"name": "read", "input_schema": {"type": "object"}}
FORMAT = {"format": {"type": "json_schema", "schema": {}}}
SEARCH = [{"type": "web_search_20250305", "name": "web_search"}]
COMPACT = user({"type": "text", "text": "CRITICAL: Respond with TEXT ONLY. Summarize."})
BILLING = "x-anthropic-billing-header: cc_version=2.1; cc_is_subagent=true;"


class House:
    """The provider `plain` for all, and `special` for those whom a rule sends there."""

    def __init__(self, lab: Lab, *rules: Rule, **fields: object) -> None:
        self.lab = lab
        self.plain, self.special = Turns(JSON), Turns(JSON)
        lab.start(
            provider(lab.upstream(self.plain), "plain", models=["claude-*", "xclaude-*"]),
            provider(lab.upstream(self.special), "special", models=["special-*"]),
            routing=routing(rules=list(rules), **fields),
        )

    async def ask(self, wire: bytes) -> str:
        before = len(self.plain.got), len(self.special.got)
        answer = await self.lab.ask(wire)
        assert answer.status == 200, answer.body
        after = len(self.plain.got), len(self.special.got)
        return {(1, 0): "plain", (0, 1): "special"}[after[0] - before[0], after[1] - before[1]]


def to_special(**when: object) -> Rule:
    return Rule(name="to special", when=When(**when), use=Use(model="special-1"))


CASES: dict[str, tuple[dict[str, object], list[bytes], list[bytes]]] = {
    # condition, those for whom it holds, those for whom it does not
    "main": (
        {"request_class": ["main"]},
        [post(), post(body(tools=[TOOL]))],
        [post(headers=[AGENT]), post(path=COUNT), post(body(output_config=FORMAT))],
    ),
    "sub-agent": (
        {"request_class": ["subagent"]},
        [post(headers=[AGENT]), post(headers=[(HINT, b"subagent")])],
        [post(), post(headers=[(HINT, b"main")]), post(headers=[AGENT], path=COUNT)],
    ),
    "sub-agent by its body": (
        {"request_class": ["subagent"], "tools": False},
        [post(body(system=[{"type": "text", "text": BILLING}]))],
        [post(body(system=[{"type": "text", "text": "x-anthropic-billing-header: a"}]))],
    ),
    "background": (
        {"request_class": ["background"]},
        [post(body(output_config=FORMAT)), post(headers=[(HINT, b"auxiliary")])],
        [post(), post(body(output_config=FORMAT, tools=[TOOL]))],
    ),
    "compaction": (
        {"request_class": ["compaction"]},
        [post(body(messages=COMPACT)), post(headers=[(HINT, b"compaction")])],
        [post(body(messages=user({"type": "text", "text": "say: CRITICAL: Respond with"})))],
    ),
    "count_tokens": ({"request_class": ["count_tokens"]}, [post(path=COUNT)], [post()]),
    "web search": (
        {"request_class": ["web-search"]},
        [post(body(tools=SEARCH))],
        [post(body(tools=[*SEARCH, TOOL])), post()],
    ),
    "images": (
        {"images": True},
        [
            post(body(messages=user({"type": "text", "text": "see"}, IMAGE))),
            post(body(messages=user({"type": "tool_result", "content": [IMAGE]}))),
        ],
        [post(), post(body(messages=user({"type": "text", "text": '"type":"image"'})))],
    ),
    "no images": ({"images": False}, [post()], [post(body(messages=user(IMAGE)))]),
    "thinking": (
        {"thinking": True},
        [post(body(thinking={"type": "adaptive"}))],
        [post(), post(body(thinking={"type": "disabled"}))],
    ),
    "tools": ({"tools": True}, [post(body(tools=[TOOL]))], [post(), post(body(tools=[]))]),
    "long": (
        {"tokens_over": 10_000},
        [post(padded(64_000)), chunked_post([padded(64_000)])],
        [post(padded(8_000)), post()],
    ),
    "short": ({"tokens_under": 10_000}, [post(padded(8_000))], [post(padded(64_000))]),
    "header": (
        {"headers": {"X-Team": "red-*"}},
        [post(headers=[(b"x-team", b"red-1")]), post(headers=[(b"X-TEAM", b"red-")])],
        [post(), post(headers=[(b"x-team", b"blue")]), post(headers=[(b"x-team-2", b"red-1")])],
    ),
    "model": (
        {"model": ["claude-test-*"]},
        [post(), post(b'{"model":"claude-test-9[1m]"}')],
        [post(b'{"model":"claude-x"}'), post(b'{"model":"xclaude-test-1"}')],
    ),
    "all of it": (
        {"model": ["claude-*"], "images": True, "request_class": ["main"]},
        [post(body(messages=user(IMAGE)))],
        [post(body(messages=user(IMAGE)), headers=[AGENT]), post(body())],
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_rule_holds_for_those_it_means_and_for_nobody_else(lab: Lab, case: str) -> None:
    when, meant, others = CASES[case]
    house = House(lab, to_special(**when))
    for wire in meant:
        assert await house.ask(wire) == "special"
        assert lab.sink.records[-1]["rule"] == "to special"
    for wire in others:
        assert await house.ask(wire) == "plain"
        assert "rule" not in lab.sink.records[-1]


async def test_the_first_rule_that_holds_wins(lab: Lab) -> None:
    house = House(
        lab,
        Rule(name="agents", when=When(request_class=["subagent"]), use=Use(providers=["plain"])),
        to_special(),
    )
    assert await house.ask(post(headers=[AGENT])) == "plain"
    assert lab.sink.records[-1]["rule"] == "agents"
    assert await house.ask(post()) == "special"


@pytest.mark.parametrize("wire", [post, lambda sent: chunked_post([sent[:20], sent[20:]])])
async def test_the_models_name_is_all_that_a_rule_changes_in_a_body(lab: Lab, wire: object) -> None:
    house = House(lab, to_special())
    sent = b'{ "n":1.0e0,"model" : "claude-test-1", "messages":[{"model":"claude-test-1"}] }'
    await house.ask(wire(sent))  # type: ignore[operator]
    (got,) = house.special.got
    assert got.body == sent.replace(b'"claude-test-1"', b'"special-1"', 1)
    (record,) = lab.sink.records
    assert (record["model"], record["sent"]) == ("claude-test-1", "special-1")


async def test_a_compressed_body_is_ruled_by_what_is_in_it(lab: Lab) -> None:
    house = House(lab, to_special(images=True))
    sent = body(messages=user(IMAGE))
    wire = post(gzip.compress(sent), headers=[(b"content-encoding", b"gzip")])
    assert await house.ask(wire) == "special"
    assert house.special.got[0].body == sent.replace(b"claude-test-1", b"special-1")


async def test_the_model_of_a_rule_is_mapped_by_each_provider(lab: Lab) -> None:
    first, second = Turns(fault(529)), Turns(STREAM)
    lab.start(
        provider(lab.upstream(first), "one", model_mapping={"cheap": "glm-x"}, models=[]),
        provider(lab.upstream(second), "two", model_mapping={"cheap": "kimi-y"}, models=[]),
        routing=routing(strategy="failover", rules=[Rule(use=Use(model="cheap"))]),
    )
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.status, answer.body) == (200, EVENTS)
    assert first.got[0].body == STREAM_BODY.replace(b"claude-test-1", b"glm-x")
    assert second.got[0].body == STREAM_BODY.replace(b"claude-test-1", b"kimi-y")


async def test_a_rule_lends_a_model_to_a_name_that_nobody_serves(lab: Lab) -> None:
    turns = Turns(JSON)
    lab.start(
        provider(lab.upstream(turns), models=["served"]),
        routing=routing(rules=[Rule(when=When(model=["claude-*"]), use=Use(model="served"))]),
    )
    assert (await lab.ask(post())).status == 200
    answer = await lab.ask(post(b'{"model":"other"}'))
    assert (answer.status, answer.error["type"]) == (404, "not_found_error")
    assert len(turns.got) == 1


async def test_only_the_providers_of_a_rule_are_asked_in_its_order(lab: Lab) -> None:
    turns = {name: Turns(fault(500, message=name)) for name in ("one", "two", "three")}
    rule = Rule(
        when=When(request_class=["subagent"]),
        use=Use(providers=["three", "one"], strategy="failover"),
    )
    lab.start(
        *[provider(lab.upstream(turn), name) for name, turn in turns.items()],
        routing=routing(rules=[rule], queue_timeout_s=0),
        health=Health(failures=100),
    )
    answer = await lab.ask(post(headers=[AGENT]))
    assert answer.json()["error"]["message"] == "one"
    assert {name: len(turn.got) for name, turn in turns.items()} == {"one": 1, "two": 0, "three": 1}
    (told,) = lab.sink.named("failover")
    assert (told["provider"], told["to_provider"]) == ("three", "one")


async def test_a_rule_for_providers_without_the_model_is_a_404(lab: Lab) -> None:
    lab.start(
        provider(lab.upstream(Turns(JSON)), "one"),
        provider(lab.upstream(Turns(JSON)), "two", models=["other"]),
        routing=routing(rules=[Rule(use=Use(providers=["two"]))]),
    )
    answer = await lab.ask(post())
    assert (answer.status, answer.error["type"]) == (404, "not_found_error")


async def test_a_conversation_is_at_home_with_each_rules_providers(lab: Lab) -> None:
    house = House(lab, to_special(images=True))
    seen = body(messages=user(IMAGE))
    for _ in range(3):
        assert await house.ask(post(headers=[SESSION])) == "plain"
        assert await house.ask(post(seen, headers=[SESSION])) == "special"


# ---- when the body is waited for


async def test_a_rule_about_the_head_sends_a_request_on_before_its_body_is_whole(lab: Lab) -> None:
    stage = Stage(whole_request=False)
    lab.start(
        provider(lab.upstream(stage), "one"),
        provider(lab.upstream(Turns(JSON)), "two"),
        routing=routing(
            rules=[
                Rule(
                    when=When(request_class=["subagent"], headers={"x-team": "*"}),
                    use=Use(providers=["one"]),
                )
            ]
        ),
    )
    wire = post(padded(200_000), headers=[AGENT, SESSION, (b"x-team", b"a")])
    client = await lab.client()
    await client.send(wire[:70_000])
    peer = await stage.peer()
    await client.send(wire[70_000:])
    assert (await peer.request()).body == padded(200_000)
    await peer.send(JSON)
    assert (await client.answer()).body == MESSAGE


@pytest.mark.parametrize("when", [When(images=False), When(request_class=["main"])])
async def test_a_rule_about_the_body_waits_for_all_of_it(lab: Lab, when: When) -> None:
    stage = Stage()
    upstream = lab.upstream(stage)
    lab.start(
        provider(upstream, "one"),
        provider(lab.upstream(Turns(JSON)), "two"),
        routing=routing(rules=[Rule(when=when, use=Use(providers=["one"]))]),
    )
    wire = post(padded(200_000), headers=[SESSION])
    client = await lab.client()
    await client.send(wire[:-1])
    await asyncio.sleep(0.1)
    assert upstream.connections == 0
    await client.send(wire[-1:])
    peer = await stage.peer()
    assert peer.seen.body == padded(200_000)
    await peer.send(JSON)
    assert (await client.answer()).body == MESSAGE


async def test_a_client_that_leaves_before_its_body_could_be_judged_leaves_nothing(
    lab: Lab,
) -> None:
    house = House(lab, to_special(images=True))
    client = await lab.client()
    await client.send(post(padded(200_000))[:-10])
    await asyncio.sleep(0.05)
    client.reset()
    (record,) = await lab.records()
    assert record["ending"] == "client_left"
    assert house.plain.got == house.special.got == []


# ---- debug headers


NAMES = {
    b"x-ccrelay-provider",
    b"x-ccrelay-key",
    b"x-ccrelay-attempts",
    b"x-ccrelay-strategy",
    b"x-ccrelay-queued-ms",
}


def own(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    return {name: value for name, value in headers if name.lower().startswith(b"x-ccrelay")}


@pytest.mark.parametrize("debug", [False, True])
async def test_debug_headers_are_there_exactly_when_they_are_switched_on(
    lab: Lab, debug: bool
) -> None:
    replies = (
        (JSON, 200),
        (STREAM, 200),
        (fault(400), 400),
        (response(500, b"no"), 500),
        (b"garbage\r\n\r\n", 502),
    )
    turns = Turns(*[wire for wire, _ in replies])
    lab.start(
        provider(lab.upstream(turns)),
        routing=routing(debug=debug, queue_timeout_s=0),
        health=Health(failures=100),
    )
    for _, status in replies:
        answer = await lab.ask(post(STREAM_BODY))
        assert answer.status == status
        assert set(own(answer.headers)) == (NAMES if debug else set())


async def test_debug_headers_tell_what_was_done(lab: Lab) -> None:
    lab.start(
        provider(lab.upstream(Turns(fault(529))), "one"),
        provider(lab.upstream(Turns(STREAM)), "two", models=["cheap"]),
        provider(lab.upstream(Turns(JSON)), "three", models=["cheap"]),
        routing=routing(
            debug=True,
            rules=[Rule(name="all", use=Use(strategy="failover", model="cheap"))],
            strategy="least-busy",
        ),
    )
    answer = await lab.ask(post(STREAM_BODY))
    assert answer.body == EVENTS
    key = answer.get(b"x-ccrelay-key")
    assert key == str(lab.sink.records[0]["key"]).encode()
    assert b"provider-key" not in key
    assert own(answer.headers) == {
        b"x-ccrelay-provider": b"two",
        b"x-ccrelay-key": key,
        b"x-ccrelay-attempts": b"2",
        b"x-ccrelay-strategy": b"failover",
        b"x-ccrelay-queued-ms": b"0",
        b"x-ccrelay-rule": b"all",
    }


async def test_debug_headers_tell_the_wait(lab: Lab) -> None:
    limited = fault(429, "rate_limit_error", headers=[(b"retry-after", b"1")])
    lab.start(provider(lab.upstream(Turns(limited, JSON))), routing=routing(debug=True))
    answer = await lab.ask(post(BODY))
    assert 800 < int(answer.get(b"x-ccrelay-queued-ms") or 0) < 1500
