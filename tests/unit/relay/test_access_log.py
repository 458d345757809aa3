"""The members of an exchange's line."""

import pytest

from ccrelay._fast.affinity_table import hash64
from ccrelay.config.model import Config, Routing, Rule, Use
from ccrelay.relay.access_log import NO_USAGE, record, usage_of
from ccrelay.relay.exchange import Exchange
from ccrelay.types import Ending, RequestClass
from tests.unit.relay.fakes import (
    STREAM_HEAD,
    FakeDown,
    FakeRelay,
    FakeUpstream,
    json_head,
    provider,
)

START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":'
    b'{"input_tokens":7,"cache_read_input_tokens":5,"output_tokens":1}}}\n\n'
)
CONTENT = b'event: content_block_start\ndata: {"type":"content_block_start"}\n\n'
DELTA = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":20}}\n\n'
)
ALWAYS = {
    *("id", "kind", "model", "sent", "provider", "key", "status", "ending"),
    *("attempts", "bytes_in", "bytes_out", "ms"),
}


@pytest.fixture
def relay() -> FakeRelay:
    return FakeRelay(provider(model_mapping={"m": "sent-m"}))


def begin(relay: FakeRelay) -> tuple[Exchange, FakeUpstream]:
    exchange = relay.open(FakeDown(relay.reactor))
    exchange.find_route()
    return exchange, relay.pools["one"].connect()


def line_of(
    exchange: Exchange, ending: Ending, now: float, own_bytes: int = 0
) -> dict[str, object]:
    """The line as `settle` asks for it."""
    upstream = exchange.upstream
    usage, stop = usage_of(upstream) if upstream is not None else (None, None)
    return record(exchange, ending, now, own_bytes, usage, stop)


def test_an_exchange_that_got_nowhere_has_the_members_every_line_has(relay: FakeRelay) -> None:
    exchange = relay.open(FakeDown(relay.reactor, arrived=4), RequestClass.COUNT_TOKENS)
    line = line_of(exchange, Ending.CLIENT_LEFT, relay.reactor.now + 0.25, 0)
    assert line.keys() == ALWAYS
    assert (line["kind"], line["ending"]) == ("count_tokens", "client_left")
    assert (line["bytes_in"], line["ms"]) == (4, 250.0)
    assert line["provider"] is line["key"] is line["model"] is line["sent"] is None


def test_a_line_tells_what_was_asked_sent_and_to_whom_without_the_key(relay: FakeRelay) -> None:
    exchange, _ = begin(relay)
    line = line_of(exchange, Ending.COMPLETE, relay.reactor.now, 0)
    assert (line["model"], line["sent"], line["provider"]) == ("m", "sent-m", "one")
    assert line["key"] == relay.providers[0].targets[0].fingerprint
    assert "test-key" not in repr(line)


def test_a_stream_leaves_usage_stop_reason_and_times(relay: FakeRelay) -> None:
    exchange, upstream = begin(relay)
    relay.reactor.now += 0.1
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + CONTENT + DELTA)
    upstream.taps.first_event_at = relay.reactor.now + 0.2
    line = line_of(exchange, Ending.COMPLETE, relay.reactor.now + 0.3, 0)
    assert (line["input"], line["output"], line["cache_read"]) == (7, 20, 5)
    assert line["stop"] == "end_turn"
    times = [line["head_ms"], line["first_event_ms"], line["ms"]]
    assert times == [pytest.approx(ms, abs=0.01) for ms in (100.0, 300.0, 400.0)]


def test_an_answer_that_is_no_stream_leaves_its_usage(relay: FakeRelay) -> None:
    _, upstream = begin(relay)
    upstream.respond(json_head(200))
    upstream.taps.json_usage = b'{"input_tokens":3,"output_tokens":4}'
    usage, stop = usage_of(upstream)  # type: ignore[arg-type]
    assert (usage.input, usage.output, stop) == (3, 4, None)


def test_an_answer_without_usage_leaves_zeros(relay: FakeRelay) -> None:
    _, upstream = begin(relay)
    upstream.respond(json_head(500))
    assert usage_of(upstream) == (NO_USAGE, None)  # type: ignore[arg-type]


def test_a_stream_cut_before_its_usage_leaves_what_the_start_told(relay: FakeRelay) -> None:
    _, upstream = begin(relay)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START)
    usage, stop = usage_of(upstream)  # type: ignore[arg-type]
    assert (usage.input, usage.output, stop) == (7, 1, None)


def test_no_head_and_clocks_that_disagree_give_no_negative_times(relay: FakeRelay) -> None:
    exchange, upstream = begin(relay)
    assert line_of(exchange, Ending.TIMED_OUT, relay.reactor.now, 0)["head_ms"] == 0.0
    upstream.head_seen_at = relay.reactor.now - 5.0
    assert line_of(exchange, Ending.TIMED_OUT, relay.reactor.now, 0)["head_ms"] == 0.0


def test_an_answer_of_the_relays_own_counts_before_it_is_sent(relay: FakeRelay) -> None:
    exchange = relay.open(FakeDown(relay.reactor))
    assert line_of(exchange, Ending.ANSWERED, relay.reactor.now, 321)["bytes_out"] == 321


def test_a_line_tells_class_and_conversation_where_there_was_a_choice() -> None:
    relay = FakeRelay(provider("one"), provider("two"))
    down = FakeDown(relay.reactor, session="c-1", extra=b"x-claude-code-agent-id: a-1\r\n")
    exchange = relay.request(down)
    line = line_of(exchange, Ending.COMPLETE, relay.reactor.now)
    assert line["class"] == "subagent"
    assert line["conversation"] == f"{hash64(b'c-1'):016x}"
    assert not {"moved", "queued_ms", "rule"} & line.keys()


def test_a_line_tells_the_rule_the_wait_and_that_the_conversation_moved() -> None:
    rule = Rule(name="by-hand", use=Use(providers=["two"]))
    relay = FakeRelay(
        provider("one"), provider("two"), config=Config(routing=Routing(rules=[rule]))
    )
    exchange = relay.request(FakeDown(relay.reactor))
    exchange.waited_s, exchange.moved = 1.5, True
    line = line_of(exchange, Ending.COMPLETE, relay.reactor.now)
    assert (line["provider"], line["rule"]) == ("two", "by-hand")
    assert (line["queued_ms"], line["moved"]) == (1500.0, True)


def test_an_error_is_in_the_line(relay: FakeRelay) -> None:
    exchange = relay.open(FakeDown(relay.reactor))
    exchange.error = "unfinished"
    assert line_of(exchange, Ending.COMPLETE, relay.reactor.now, 0)["error"] == "unfinished"
