from typing import Any

from ccrelay.control.denials import QUIET_S, VALUE_MAX, Denials


class Log:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def event(self, level: str, name: str, **fields: object) -> None:
        assert name in ("management_denied", "management_accept_failed")
        self.events.append((level, fields))

    def exchange(self, entry: Any) -> None:
        raise AssertionError


def test_the_first_of_a_kind_in_a_minute_is_a_warning() -> None:
    log, clock = Log(), [5.0]
    denials = Denials(log, lambda: clock[0])
    for why in ("host", "host", "token"):
        denials.note(why)
    clock[0] += QUIET_S
    denials.note("host")
    assert [level for level, _ in log.events] == ["warning", "debug", "warning", "warning"]


def test_what_is_not_suspicious_is_for_debugging() -> None:
    log = Log()
    Denials(log, lambda: 0.0).note("no_token", is_suspicious=False)
    assert log.events == [("debug", {"why": "no_token"})]


def test_what_a_caller_sent_is_cut() -> None:
    log = Log()
    Denials(log, lambda: 0.0).note("x", method="a" * 10_000, uid=7)
    assert log.events == [("warning", {"why": "x", "method": "a" * VALUE_MAX, "uid": 7})]


def test_failures_to_accept_are_told_once_a_minute() -> None:
    log = Log()
    denials = Denials(log, lambda: 0.0)
    for _ in range(3):
        denials.accept_failed(OSError(24, "Too many open files"))
    assert log.events == [("warning", {"error": "[Errno 24] Too many open files"})]
