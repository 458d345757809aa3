"""An event that would come thousands of times is logged once per minute."""

from typing import cast

from ccrelay._fast.conn import Reactor
from ccrelay.relay.notices import EVERY_S, Notices


class Clock:
    now = 100.0


class Log:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, dict[str, object]]] = []

    def event(self, level: str, name: str, **fields: object) -> None:
        self.told.append((level, name, fields))

    def exchange(self, entry: object) -> None:
        raise AssertionError("no exchange is logged here")


def test_each_name_is_logged_once_per_minute_with_its_count() -> None:
    log, clock = Log(), Clock()
    notices = Notices(log, cast(Reactor, clock))
    for _ in range(5):
        notices.event("error", "one", why="x")
    notices.event("warning", "two")
    clock.now += EVERY_S - 1
    notices.event("error", "one", why="x")
    clock.now += 1
    notices.event("error", "one", why="y")
    assert log.told == [
        ("error", "one", {"why": "x", "times": 1}),
        ("warning", "two", {"times": 1}),
        ("error", "one", {"why": "y", "times": 6}),
    ]
