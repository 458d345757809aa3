"""The record of an exchange, decoded as the manager decodes it."""

import msgspec
import pytest

from ccrelay._fast.record_ring import RecordReader
from ccrelay.config.model import Config, Routing, Rule, Use
from ccrelay.fleet.learned import Window
from ccrelay.ledger.record import Record, Try, WindowSeen
from ccrelay.relay.exchange_record import TRIES_MAX, WINDOWS_MAX, write_record
from ccrelay.types import Ending, RequestClass, TrafficClass
from tests.unit.relay.fakes import CONTENT, STOP, STREAM_HEAD, FakeDown, FakeRelay, provider

DELTA = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":20}}\n\n'
)
USAGE_START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":7,'
    b'"cache_read_input_tokens":5,"cache_creation_input_tokens":30,"output_tokens":1,'
    b'"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20}}}}\n\n'
)
SESSION = "3f8c1f0a-5b1e-4a57-9d2f-0a4b6c8d1e2f"
WHO = f"x-claude-code-session-id: {SESSION}\r\nx-ccrelay-project: api\r\n".encode()
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def relay() -> FakeRelay:
    return FakeRelay(provider(model_mapping={"m": "sent-m"}))


def last(relay: FakeRelay) -> Record:
    return relay.written()[-1]


def test_an_answer_is_recorded_with_all_that_is_known_of_it(relay: FakeRelay) -> None:
    fields = WHO + f"traceparent: {TRACE}\r\n".encode()
    down = FakeDown(relay.reactor, extra=fields)
    exchange = relay.request(down)
    upstream = relay.pools["one"].connect()
    relay.pass_time(1.5)
    upstream.respond(STREAM_HEAD)
    relay.pass_time(0.5)
    upstream.feed(USAGE_START + CONTENT)
    relay.pass_time(1.0)
    upstream.feed(DELTA + STOP)
    upstream.finish()
    found = last(relay)
    assert found.id == exchange.id
    assert found.started_at_us == round((relay.wall_offset + down.received_at) * 1e6)
    assert found.duration_us == 3_000_000
    assert (found.kind, found.traffic) == (RequestClass.MESSAGES, TrafficClass.MAIN)
    assert (found.model, found.sent, found.provider) == ("m", "sent-m", "one")
    assert (found.status, found.ending, found.attempts) == (200, Ending.COMPLETE, 1)
    assert (found.has_usage, found.input, found.output, found.cache_read) == (True, 7, 20, 5)
    assert (found.cache_write_5m, found.cache_write_1h, found.thinking) == (10, 20, 0)
    assert (found.head_us, found.first_event_us) == (1_500_000, 2_000_000)
    assert (found.stream, found.moved, found.stop_reason) == (True, False, "end_turn")
    assert (found.error, found.rule, found.strategy) == ("", "", "failover")
    assert (found.session, found.agent, found.project) == (SESSION, "", "api")
    assert found.traceparent == TRACE
    assert found.conversation == exchange.request.conversation  # type: ignore[union-attr]
    assert found.candidates == f"one/{found.key_name}"
    assert (found.tries, found.windows, found.passed) == ([], [], "")


def test_every_member_of_a_record_is_written(relay: FakeRelay) -> None:
    relay.request(FakeDown(relay.reactor)).on_client_left()
    frames, _ = RecordReader(relay.memory, 0).read(0, 1 << 20)
    assert len(msgspec.msgpack.decode(frames[0])) == len(Record.__struct_fields__)


def test_a_record_without_target_or_route(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, arrived=4)
    relay.request(down)
    relay.pass_time(0.25)
    down.leave()
    found = last(relay)
    assert (found.ending, found.status, found.attempts) == (Ending.CLIENT_LEFT, 0, 0)
    assert (found.model, found.sent, found.provider, found.key, found.key_name) == ("",) * 5
    assert (found.bytes_in, found.traffic, found.has_usage) == (4, -1, False)
    assert (found.candidates, found.strategy, found.session, found.traceparent) == ("",) * 4
    assert found.duration_us == 250_000


def test_a_refusal_is_recorded_with_its_error(relay: FakeRelay) -> None:
    relay = FakeRelay(provider(models=["other"]))
    relay.request(FakeDown(relay.reactor))
    found = last(relay)
    assert (found.status, found.ending) == (404, Ending.ANSWERED)
    assert "not served" in found.error or "model" in found.error.lower()
    assert found.bytes_out > 0


def test_the_rule_that_matched_is_named() -> None:
    rule = Rule(name="to two", use=Use(providers=["two"]))
    config = Config(routing=Routing(strategy="failover", rules=[rule]))
    relay = FakeRelay(provider("one"), provider("two"), config=config)
    relay.request(FakeDown(relay.reactor)).on_client_left()
    assert (last(relay).rule, last(relay).provider) == ("to two", "two")


def test_nothing_is_written_without_a_manager(relay: FakeRelay) -> None:
    relay.context.records = None
    relay.request(FakeDown(relay.reactor)).on_client_left()
    assert relay.written() == []
    assert len(relay.log.records) == 1


def test_what_does_not_fit_is_dropped_and_counted(relay: FakeRelay) -> None:
    ring = relay.context.records
    assert ring is not None
    for _ in range(500):
        relay.request(FakeDown(relay.reactor)).on_client_left()
    assert len(relay.log.records) == 500
    assert 0 < ring.dropped < 500
    assert len(relay.written()) == 500 - ring.dropped


def test_tries_and_windows_are_bounded(relay: FakeRelay) -> None:
    exchange = relay.request(FakeDown(relay.reactor))
    outcome = exchange.outcome
    outcome.tries = [
        Try("one", "sha256:0", "key", f"m-{n}", n, n + 1, 529, "overloaded", "x" * 2000)
        for n in range(TRIES_MAX + 3)
    ]
    outcome.windows = [
        Window(f"w{n}", 0.5 if n else -1.0, 1_700_000_000_000, 0, 0, "allowed")
        for n in range(WINDOWS_MAX + 3)
    ]
    assert relay.context.records is not None
    big = relay.context.records.__class__(relay.memory.as_worker(1))
    written = write_record(
        big,
        relay.wall,
        "req_1",
        exchange.client,
        exchange.route,
        exchange.request,
        exchange.attempt,
        outcome,
        relay.reactor.now,
        ("", "", "", ""),
    )
    assert written == (big.dropped == 0)
    if written:
        frames, _ = RecordReader(relay.memory, 1).read(0, 1)
        found = msgspec.msgpack.decode(frames[0], type=Record)
        assert found.tries[0] == msgspec.structs.replace(outcome.tries[3], error="x" * 512)
        assert (len(found.tries), len(found.windows)) == (TRIES_MAX, WINDOWS_MAX)
        assert found.windows[1] == WindowSeen("w1", 0.5, 1_700_000_000_000, 0, 0, "allowed")
    exchange.on_client_left()
