"""Exchanges under way: the newest message, breaks, and the rows."""

import time
from typing import Any

import pytest

from ccrelay.cli import under_way as module
from ccrelay.cli.connection import Relay
from ccrelay.cli.exchanges_view import Rows
from ccrelay.cli.under_way import UnderWay, running_lines
from ccrelay.control.client import CallFailed, NoRelay
from ccrelay.v1 import exchanges_pb2 as ex
from tests.unit.cli import examples
from tests.unit.cli.served import FakeRelay, plain, relay, zone

__all__ = ["relay", "zone"]

LETTERS = {"anthropic": "A", "bedrock": "B", "zai": "Z"}
UNKNOWN = CallFailed("UNIMPLEMENTED", "no such method")


def read(relay: FakeRelay, *streams: Any) -> tuple[UnderWay, list[float]]:
    """What a reader knows after several streams, and how long it slept."""
    left = list(streams)
    relay.answers["Exchanges/WatchRunning"] = lambda request: left.pop(0) if left else UNKNOWN
    naps: list[float] = []
    made = UnderWay(Relay(), sleep=naps.append)
    made.read()
    return made, naps


def test_the_newest_message_counts(relay: FakeRelay) -> None:
    one, two = ex.WatchRunningResponse(total=1), ex.WatchRunningResponse(total=2)
    made, naps = read(relay, [one, two])
    assert made.newest().total == 2
    assert naps == [module.RETRY_S]
    assert relay.of("Exchanges/WatchRunning")[0].interval_ms == module.INTERVAL_MS


def test_it_goes_on_after_a_break_and_looks_for_the_relay_again(relay: FakeRelay) -> None:
    gone = NoRelay("it is replaced")
    made, naps = read(
        relay, [ex.WatchRunningResponse(total=1), gone], gone, [ex.WatchRunningResponse(total=5)]
    )
    assert made.newest().total == 5
    assert len(naps) == 3
    assert len(relay.envs) == 4


def test_an_older_relay_tells_nothing_and_is_not_asked_again(relay: FakeRelay) -> None:
    made, naps = read(relay)
    assert (made.newest(), naps) == (None, [])


def test_what_is_old_says_nothing_of_now(relay: FakeRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = read(relay, [ex.WatchRunningResponse(total=1)])
    later = time.monotonic() + module.CURRENT_S + 1
    monkeypatch.setattr("ccrelay.cli.under_way.time.monotonic", lambda: later)
    assert made.newest() is None


@pytest.mark.usefixtures("zone")
def test_rows_have_the_columns_of_those_that_are_over() -> None:
    screen = plain(120)
    rows = Rows(screen, LETTERS)
    head = rows.heading()[0]
    one, two, three, empty, foot = running_lines(examples.running(), rows, LETTERS, screen)
    assert (empty, foot) == (
        "", "3 under way, 2 streaming, 1 waiting for room, Ctrl-C ends",
    )  # fmt: skip
    for title, text in (
        ("TIME", "14:31:44"), ("WHAT", "payments-api general-purpose"), ("MODEL", "sonnet-5-5"),
        ("TARGET", "B eu-role"), ("OUTCOME", "streaming"),
    ):  # fmt: skip
        assert one[head.index(title) :].startswith(text), title
    assert one.split()[-5:] == ["1.30", "s", "24.0", "s", "-"]
    assert "sonnet-5-5>glm-5.3" in two
    assert "Z plan (2 tries)" in two
    assert "b20e77 main" in three
    assert three[head.index("TARGET") :].startswith("-")
    assert "waiting" in three


@pytest.mark.usefixtures("zone")
def test_what_is_unusual_has_colour() -> None:
    screen = plain(120, colour=True)
    lines = running_lines(examples.running(), Rows(screen, LETTERS), LETTERS, screen)
    assert ["\x1b[33m" in line for line in lines[:3]] == [False, True, True]


@pytest.mark.usefixtures("zone")
def test_of_many_the_newest_have_room() -> None:
    message = ex.WatchRunningResponse(total=900, at_ms=1_000)
    for number in range(500):
        message.running.add(id=f"req_ccrelay_{number}", started_at_ms=number)
    screen = plain(160, height=20)
    lines = running_lines(message, Rows(screen, LETTERS), LETTERS, screen)
    assert len(lines) == 12
    assert lines[-3].endswith("499")
    assert lines[-1] == "900 under way, Ctrl-C ends"
