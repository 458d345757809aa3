"""Records over real sockets: who asked, what it cost, how long the relay itself took."""

import time

import msgspec
import pytest

from ccrelay._fast.record_ring import RecordReader
from ccrelay.config.model import Management
from ccrelay.ledger.record import Billing, Record, Result, Why
from ccrelay.types import Ending
from tests.loopback.relay.harness import Lab, provider
from tests.loopback.relay.scripts import JSON, STREAM, always
from tests.loopback.relay.wires import STREAM_BODY, Request, post, response

SESSION = "3f8c1f0a-5b1e-4a57-9d2f-0a4b6c8d1e2f"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
WHO = (
    f"x-claude-code-session-id: {SESSION}\r\nx-claude-code-agent-id: a-1\r\n"
    f"X-CCRelay-Project: web shop\r\nx-ccrelay-other: 1\r\nx_ccrelay_project: 2\r\n"
    f"traceparent: {TRACE}\r\n"
).encode()


def with_fields(raw: bytes, fields: bytes) -> bytes:
    line, _, rest = raw.partition(b"\r\n")
    return line + b"\r\n" + fields + rest


async def written(lab: Lab, count: int = 1) -> list[Record]:
    await lab.records(count)
    frames, _ = RecordReader(lab.relay.memory, 0).read(0, 1 << 20)
    return [msgspec.msgpack.decode(frame, type=Record) for frame in frames]


async def test_the_record_agrees_with_the_log_and_with_the_wall_clock(lab: Lab) -> None:
    lab.start(provider(lab.upstream(always(STREAM)), model_mapping={"claude-*": "claude-opus-5"}))
    before = time.time()
    await lab.ask(with_fields(post(STREAM_BODY), WHO))
    (found,), (line,) = await written(lab), await lab.records()
    assert before * 1e6 - 2e6 <= found.started_at_us <= time.time() * 1e6 + 2e6
    assert (found.session, found.agent, found.project) == (SESSION, "a-1", "web shop")
    assert found.traceparent == TRACE
    assert (line["session"], line["agent"], line["project"]) == (SESSION, "a-1", "web shop")
    for name in ("id", "model", "sent", "provider", "key", "status", "attempts", "input", "output"):
        assert getattr(found, name) == line[name], name
    assert (found.bytes_in, found.bytes_out) == (line["bytes_in"], line["bytes_out"])
    assert found.duration_us / 1000 == pytest.approx(line["ms"], abs=0.002)
    assert found.first_event_us / 1000 == pytest.approx(line["first_event_ms"], abs=0.002)
    assert found.cost_micros == line["cost_micros"]
    assert found.cost_micros > 0
    assert (found.result, found.why, line["why"]) == (Result.OK, Why.ONLY, "only")
    assert (found.ending, found.billing) == (Ending.COMPLETE, Billing.TOKENS)


async def test_what_is_the_relays_own_does_not_go_upstream(lab: Lab) -> None:
    seen: list[Request] = []
    lab.start(provider(lab.upstream(always(STREAM, into=seen))))
    await lab.ask(with_fields(post(STREAM_BODY), WHO))
    sent = {name.lower(): value for name, value in seen[0].headers}
    assert [name for name in sent if b"ccrelay" in name] == []
    assert b"web shop" not in sent.values()
    assert sent[b"traceparent"] == TRACE.encode()
    assert sent[b"x-claude-code-session-id"] == SESSION.encode()


async def test_own_time_leaves_out_what_client_and_provider_take(lab: Lab) -> None:
    lab.start(provider(lab.upstream(always(STREAM[:400], STREAM[400:], pause_s=0.2))))
    client = await lab.client()
    raw = post(STREAM_BODY)
    await client.send(raw[:-5], raw[-5:], pause_s=0.2)
    await client.until(b"\r\n0\r\n\r\n")
    await client.send(raw)
    await client.until(b"\r\n0\r\n\r\n")
    for found in await written(lab, 2):
        assert found.duration_us >= 200_000
        assert 20 < found.own_us < 100_000


async def test_a_failover_is_recorded_with_both_attempts(lab: Lab) -> None:
    busy = response(529, b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}')
    lab.start(
        provider(lab.upstream(always(busy)), name="first"),
        provider(lab.upstream(always(JSON)), name="second"),
    )
    await lab.ask(post())
    (found,) = await written(lab)
    assert [(t.provider, t.status, t.verdict) for t in found.tries] == [
        ("first", 529, "overloaded"),
        ("second", 200, "answered"),
    ]
    assert (found.result, found.why, found.provider) == (
        Result.FAILOVER,
        Why.FAILOVER,
        "second",
    )
    assert found.tries[0].ended_us <= found.tries[1].started_us + 1000


async def test_a_refused_model_is_recorded_without_a_target(lab: Lab) -> None:
    lab.start(provider(lab.upstream(), models=["other"]))
    await lab.ask(with_fields(post(), b"x-ccrelay-project: p\r\n"))
    (found,) = await written(lab)
    assert (found.result, found.status, found.provider) == (Result.REFUSED, 404, "")
    assert (found.project, found.cost_micros, found.billing) == ("p", 0, Billing.UNKNOWN)


async def test_without_management_nothing_is_recorded(lab: Lab) -> None:
    lab.start(provider(lab.upstream(always(JSON))), management=Management(enabled=False))
    assert lab.relay.context.records is None
    await lab.ask(post())
    assert await written(lab) == []
