"""A flood of refused requests is a few lines."""

from typing import Any, cast

import pytest

from ccrelay.relay import refusal_log
from ccrelay.relay.refusal_log import INTERVAL_S, OTHERS, RefusalLog
from tests.unit.relay.test_token_throttle import Reactor


class Sink:
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def event(self, level: str, name: str, **fields: Any) -> None:
        self.lines.append({"event": name, **fields})

    def take(self) -> list[dict[str, Any]]:
        lines, self.lines = self.lines, []
        return lines


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def log(reactor: Reactor, sink: Sink) -> RefusalLog:
    return RefusalLog(cast(Any, reactor), cast(Any, sink))


def minute(reactor: Reactor) -> None:
    [(delay, call, _)] = reactor.due
    assert delay == INTERVAL_S
    reactor.due.clear()
    call()


def test_the_first_of_a_kind_is_told_at_once_the_others_once_a_minute(
    log: RefusalLog, reactor: Reactor, sink: Sink
) -> None:
    for number in range(1000):
        log.add(401, "192.0.2.1", f"reason {number}", id=f"req_{number}")
    [first] = sink.take()
    assert first == {
        "event": "request_rejected",
        "id": "req_0",
        "peer": "192.0.2.1",
        "status": 401,
        "reason": "reason 0",
    }
    minute(reactor)
    [told] = sink.take()
    assert told == {
        "event": "requests_rejected",
        "count": 999,
        "peer": "192.0.2.1",
        "status": 401,
        "reason": "reason 999",
    }


def test_a_flood_that_goes_on_is_one_line_a_minute_and_one_that_ends_is_none(
    log: RefusalLog, reactor: Reactor, sink: Sink
) -> None:
    for _ in range(3):
        for _ in range(10):
            log.add(404, "192.0.2.1", "x")
        minute(reactor)
    assert [line.get("count") for line in sink.take()] == [None, 9, 10, 10]
    minute(reactor)
    assert (sink.take(), reactor.due) == ([], [])
    log.add(404, "192.0.2.1", "x")
    assert [line["event"] for line in sink.take()] == ["request_rejected"]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_every_status_and_address_is_a_kind_of_its_own(
    log: RefusalLog, sink: Sink, status: int
) -> None:
    for one in (status, 408):
        for peer in ("192.0.2.1", "192.0.2.2"):
            log.add(one, peer, "x")
            log.add(one, peer, "x")
    assert len(sink.take()) == 4


def test_many_addresses_are_counted_together(
    log: RefusalLog, reactor: Reactor, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusal_log, "KINDS_MAX", 10)
    for number in range(1000):
        log.add(401, f"192.0.2.{number}", "x")
    assert len(sink.take()) == 10
    minute(reactor)
    [told] = sink.take()
    assert (told["peer"], told["count"]) == (OTHERS, 990)
