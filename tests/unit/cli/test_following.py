"""Following exchanges: over breaks of the stream, and bursts over time."""

import io
import os
from typing import Any

import pytest

from ccrelay.cli import following
from ccrelay.cli.connection import Failed, Relay
from ccrelay.cli.exchange_calls import DETAILS_MAX
from ccrelay.cli.following import Follower, Tail, stop_without_reader
from ccrelay.control.client import CallFailed, NoRelay
from ccrelay.v1 import exchanges_pb2 as ex, providers_pb2 as pb
from tests.unit.cli import examples, served
from tests.unit.cli.served import FakeRelay, relay, zone

__all__ = ["relay", "zone"]


def message(*ids: str, dropped: int = 0) -> ex.TailResponse:
    return ex.TailResponse(exchanges=[ex.Exchange(id=one) for one in ids], dropped=dropped)


def scripted(relay: FakeRelay, *streams: list[Any]) -> list[list[str]]:
    """Read what a Tail brings over several streams, until it fails."""
    left = list(streams)
    relay.answers["Exchanges/Tail"] = lambda request: left.pop(0) if left else NoRelay("gone")
    naps: list[float] = []
    tail = Tail(Relay(), "model:opus", 7, sleep=naps.append)
    tail.start()
    found: list[list[str]] = []
    for _ in range(1_000):
        try:
            answer = tail.next(10.0)
        except Failed:
            return found
        assert answer is not None
        found.append([one.id for one in answer.exchanges])
    raise AssertionError("it does not end")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by a second with each look at it."""
    now = iter(range(1_000, 100_000))
    monkeypatch.setattr("ccrelay.cli.following.time.monotonic", lambda: float(next(now)))


@pytest.mark.usefixtures("impatient")
def test_what_ended_during_a_break_is_there_and_nothing_twice(relay: FakeRelay) -> None:
    found = scripted(
        relay,
        [message("a", "b"), CallFailed("UNAVAILABLE", "the manager was replaced")],
        [message("a", "b", "c"), message("d")],
    )
    assert found == [["a", "b"], ["c"], ["d"]]
    first, second, *_ = relay.of("Exchanges/Tail")
    assert (first.filter, first.last) == ("model:opus", 7)
    assert (second.filter, second.last) == ("model:opus", following.OVERLAP)
    assert len(relay.envs) > 2  # looked for again: it may have another socket


@pytest.mark.usefixtures("impatient")
def test_a_relay_that_stays_away_ends_it(relay: FakeRelay) -> None:
    assert scripted(relay, [message("a")]) == [["a"]]
    assert 5 < len(relay.of("Exchanges/Tail")) < 100


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [(NoRelay("none"), 3), (CallFailed("INVALID_ARGUMENT", "no field"), 2)],
)
def test_a_first_failure_is_final(relay: FakeRelay, error: Exception, exit_code: int) -> None:
    relay.answers["Exchanges/Tail"] = error
    tail = Tail(Relay(), "", 1)
    tail.start()
    with pytest.raises(Failed) as raised:
        tail.next(10.0)
    assert raised.value.exit_code == exit_code


def test_memory_of_what_was_seen_is_bounded(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "SEEN_MAX", 3)
    tail = Tail(Relay(), "", 1)
    for number in range(10):
        tail._new(message(str(number)))
    assert tail._known == {"7", "8", "9"}
    assert [one.id for one in tail._new(message("9", "1")).exchanges] == ["1"]


def test_silence_is_no_message(relay: FakeRelay) -> None:
    assert Tail(Relay(), "", 1).next(0.01) is None


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("ccrelay.cli.following.time.monotonic", made)
    return made


@pytest.fixture
def follower(relay: FakeRelay, monkeypatch: pytest.MonkeyPatch) -> Follower:
    relay.answers["Providers/List"] = pb.ProvidersListResponse(providers=served.status().providers)
    relay.answers["Exchanges/Get"] = examples.detail()
    monkeypatch.setattr("ccrelay.cli.following.time.time", lambda: served.day("14:32:08") / 1000)
    return Follower(Relay(), Tail(Relay(), "", 0))


def counting(number: int) -> ex.TailResponse:
    one = examples.exchange(number, "14:22:10", "handbook", "anthropic/login", kind="count_tokens")
    return ex.TailResponse(exchanges=[one])


def test_a_burst_is_one_row_once_it_is_over(
    follower: Follower, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        follower.step(counting(number))
    clock.now += following.BURST_S / 2
    follower.step(None)
    assert capsys.readouterr().out == ""
    clock.now += following.BURST_S
    follower.step(None)
    assert "all ok" in capsys.readouterr().out
    follower.step(None)
    assert capsys.readouterr().out == ""


def test_another_exchange_ends_a_burst(
    follower: Follower, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    follower.step(counting(1))
    follower.step(ex.TailResponse(exchanges=[examples.FAILED_OVER]))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "> eu-role" in lines[1]
    assert lines[2].startswith("          529 overloaded at team-a")


def test_reasons_are_told_for_ever(
    follower: Follower, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3 * DETAILS_MAX):
        follower.step(ex.TailResponse(exchanges=[examples.FAILED_OVER]))
    assert capsys.readouterr().out.count("529 overloaded at team-a") == 3 * DETAILS_MAX


def test_what_was_left_out_is_said(
    follower: Follower, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    follower.step(message(dropped=1_200))
    assert capsys.readouterr().out == "1,200 exchanges left out: this terminal is too slow\n"


def test_another_width_has_a_heading_of_its_own(
    follower: Follower, clock: Clock, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", "120")
    follower.step(None)
    assert capsys.readouterr().out.startswith("TIME      WHAT                            MODEL")
    follower.step(None)
    assert capsys.readouterr().out == ""


def test_a_reader_that_went_away_ends_it_also_in_silence() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as file:
        stop_without_reader(file)
        os.close(reading)
        with pytest.raises(BrokenPipeError):
            stop_without_reader(file)
    stop_without_reader(io.StringIO())
