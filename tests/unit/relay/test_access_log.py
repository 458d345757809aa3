"""The members of an access log entry."""

import pytest

from ccrelay._fast.affinity_table import hash64
from ccrelay.config.model import Config, Routing, Rule, Use
from ccrelay.relay import accounting
from ccrelay.relay.access_log import AccessLogEntry
from ccrelay.relay.exchange import Exchange
from ccrelay.routing.rules import CLASSES
from ccrelay.types import Ending, RequestClass, TrafficClass
from tests.pages import text_of
from tests.unit.relay.fakes import CONTENT, STREAM_HEAD, FakeDown, FakeRelay, provider
from tests.unit.relay.scenario import begin, upstream_of

DELTA = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":20}}\n\n'
)
USAGE_START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":'
    b'{"input_tokens":7,"cache_read_input_tokens":5,"output_tokens":1}}}\n\n'
)
ALWAYS = {
    *("id", "kind", "model", "sent", "provider", "key", "status", "ending"),
    *("attempts", "bytes_in", "bytes_out", "ms"),
}


@pytest.fixture
def relay() -> FakeRelay:
    return FakeRelay(provider(model_mapping={"m": "sent-m"}))


def line_of(
    exchange: Exchange, ending: Ending, now: float, own_bytes: int = 0
) -> dict[str, object]:
    """The entry as `finish` makes it."""
    outcome = exchange.outcome
    outcome.ending, outcome.own_bytes = ending, own_bytes
    upstream = upstream_of(exchange)
    if upstream is not None:
        accounting.read_usage(upstream, outcome)
    return AccessLogEntry(
        exchange.id,
        exchange.client,
        exchange.route,
        exchange.request,
        exchange.attempt,
        outcome,
        now,
    ).members()


def test_an_unrouted_exchange_has_the_required_members(relay: FakeRelay) -> None:
    exchange = relay.open(FakeDown(relay.reactor, arrived=4), RequestClass.COUNT_TOKENS)
    line = line_of(exchange, Ending.CLIENT_LEFT, relay.reactor.now + 0.25, 0)
    assert line.keys() == ALWAYS
    assert (line["kind"], line["ending"]) == ("count_tokens", "client_left")
    assert (line["bytes_in"], line["ms"]) == (4, 250.0)
    assert line["provider"] is line["key"] is line["model"] is line["sent"] is None


def test_an_entry_names_model_provider_and_key_fingerprint(relay: FakeRelay) -> None:
    _, exchange, _ = begin(relay)
    line = line_of(exchange, Ending.COMPLETE, relay.reactor.now, 0)
    assert (line["model"], line["sent"], line["provider"]) == ("m", "sent-m", "one")
    assert line["key"] == relay.providers[0].targets[0].fingerprint
    assert "test-key" not in repr(line)


def test_an_entry_of_a_stream_has_usage_stop_reason_and_times(relay: FakeRelay) -> None:
    _, exchange, upstream = begin(relay)
    relay.reactor.now += 0.1
    upstream.respond(STREAM_HEAD)
    upstream.feed(USAGE_START + CONTENT + DELTA)
    upstream.taps.first_event_at = relay.reactor.now + 0.2
    line = line_of(exchange, Ending.COMPLETE, relay.reactor.now + 0.3, 0)
    assert (line["input"], line["output"], line["cache_read"]) == (7, 20, 5)
    assert line["stop"] == "end_turn"
    times = [line["head_ms"], line["first_event_ms"], line["ms"]]
    assert times == [pytest.approx(ms, abs=0.01) for ms in (100.0, 300.0, 400.0)]


def test_times_are_never_negative(relay: FakeRelay) -> None:
    _, exchange, upstream = begin(relay)
    assert line_of(exchange, Ending.TIMED_OUT, relay.reactor.now, 0)["head_ms"] == 0.0
    upstream.head_seen_at = relay.reactor.now - 5.0
    assert line_of(exchange, Ending.TIMED_OUT, relay.reactor.now, 0)["head_ms"] == 0.0


def test_bytes_out_of_an_own_answer_are_its_size(relay: FakeRelay) -> None:
    exchange = relay.open(FakeDown(relay.reactor))
    assert line_of(exchange, Ending.ANSWERED, relay.reactor.now, 321)["bytes_out"] == 321


def test_an_entry_has_traffic_class_and_conversation_where_routing_read_them() -> None:
    relay = FakeRelay(provider("one"), provider("two"))
    down = FakeDown(relay.reactor, session="c-1", extra=b"x-claude-code-agent-id: a-1\r\n")
    exchange = relay.request(down)
    line = line_of(exchange, Ending.COMPLETE, relay.reactor.now)
    assert line["class"] == "subagent"
    assert line["conversation"] == f"{hash64(b'c-1'):016x}"
    assert not {"moved", "queued_ms", "rule"} & line.keys()


@pytest.mark.parametrize(("name", "traffic"), CLASSES.items())
def test_the_class_is_spelt_as_in_rules(name: str, traffic: TrafficClass) -> None:
    relay = FakeRelay(provider("one"), provider("two"))
    exchange = relay.request(FakeDown(relay.reactor, session="c-1"))
    assert exchange.request is not None
    exchange.request.traffic = int(traffic)
    assert line_of(exchange, Ending.COMPLETE, relay.reactor.now)["class"] == name
    row = next(line for line in text_of("operations.md").splitlines() if "| `class` |" in line)
    assert f"`{name}`" in row


def test_an_entry_has_rule_queue_time_and_move() -> None:
    rule = Rule(name="by-hand", use=Use(providers=["two"]))
    relay = FakeRelay(
        provider("one"), provider("two"), config=Config(routing=Routing(rules=[rule]))
    )
    exchange = relay.request(FakeDown(relay.reactor))
    exchange.outcome.queued_s, exchange.outcome.moved = 1.5, True
    line = line_of(exchange, Ending.COMPLETE, relay.reactor.now)
    assert (line["provider"], line["rule"]) == ("two", "by-hand")
    assert (line["queued_ms"], line["moved"]) == (1500.0, True)


def test_an_entry_has_the_error(relay: FakeRelay) -> None:
    exchange = relay.open(FakeDown(relay.reactor))
    exchange.outcome.error = "unfinished"
    assert line_of(exchange, Ending.COMPLETE, relay.reactor.now, 0)["error"] == "unfinished"


def test_who_asked_and_what_it_cost_are_in_the_line() -> None:
    relay = FakeRelay(provider("one", model_mapping={"m": "claude-opus-5"}), provider("two"))
    extra = b'x-claude-code-agent-id: a 1\r\nx-ccrelay-project: web "shop"\r\n'
    _, _, upstream = begin(relay, session="3f8c", extra=extra)
    upstream.respond(STREAM_HEAD)
    upstream.feed(USAGE_START + CONTENT + DELTA)
    upstream.finish()
    line = relay.log.records[-1]
    assert (line["session"], line["agent"], line["project"]) == ("3f8c", "a 1", 'web "shop"')
    assert (line["cost_micros"], line["why"]) == (538, "strategy")


def test_what_is_not_known_is_not_in_the_line(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    relay.request(down)
    down.leave()
    line = relay.log.records[-1]
    assert line["why"] == "only"
    assert not {"session", "agent", "project", "cost_micros", "own_us"} & line.keys()
