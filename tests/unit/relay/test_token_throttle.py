"""What wrong tokens cost."""

from typing import Any, cast

import pytest

from ccrelay.relay import token_throttle
from ccrelay.relay.token_throttle import FORGET_S, LONGEST_S, TokenThrottle, WrongTokens


def test_the_delay_grows_up_to_a_bound() -> None:
    wrong = WrongTokens()
    delays = [wrong.add("192.0.2.1", 10.0) for _ in range(100)]
    assert delays[:6] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0])
    assert max(delays) == delays[-1] == LONGEST_S


def test_a_quiet_minute_is_forgotten_and_a_trickle_is_not() -> None:
    wrong = WrongTokens()
    for _ in range(5):
        wrong.add("192.0.2.1", 0.0)
    assert wrong.add("192.0.2.1", FORGET_S - 1) == LONGEST_S
    assert wrong.add("192.0.2.1", 2 * FORGET_S - 2) == LONGEST_S
    assert wrong.add("192.0.2.1", 3 * FORGET_S) == pytest.approx(0.1)


def test_addresses_are_counted_apart_in_a_table_that_is_bounded() -> None:
    wrong = WrongTokens(addresses_max=10)
    for number in range(1000):
        assert wrong.add(f"192.0.2.{number}", 0.0) == pytest.approx(0.1)
    assert len(wrong) == 10


def test_who_comes_again_stays_in_the_table() -> None:
    wrong = WrongTokens(addresses_max=10)
    wrong.add("192.0.2.1", 0.0)
    for number in range(100):
        wrong.add(f"198.51.100.{number}", 0.0)
        last = wrong.add("192.0.2.1", 0.0)
    assert last == LONGEST_S


class Down:
    def __init__(self) -> None:
        self.got: list[tuple[bytes, bool]] = []
        self.held = 0

    def pause(self) -> None:
        self.held += 1

    def answer(self, data: bytes, keep_alive: bool) -> None:
        self.got.append((data, keep_alive))


class Reactor:
    """Clock and loop: what is due later is called by hand."""

    def __init__(self) -> None:
        self.now = 5.0
        self.due: list[tuple[float, Any, tuple[Any, ...]]] = []

    @property
    def loop(self) -> "Reactor":
        return self

    def clock(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Any, *args: Any) -> None:
        self.due.append((delay, call, args))


def test_the_answer_waits_and_no_body_is_kept_meanwhile() -> None:
    reactor, down = Reactor(), Down()
    throttle = TokenThrottle(cast(Any, reactor))
    throttle.answer(cast(Any, down), "192.0.2.1", b"401", True)
    assert (down.held, down.got, throttle.waiting) == (1, [], 1)
    [(delay, call, args)] = reactor.due
    assert delay == pytest.approx(0.1)
    call(*args)
    assert (down.got, throttle.waiting) == ([(b"401", True)], 0)


def test_the_answers_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_throttle, "WAITING_MAX", 3)
    throttle = TokenThrottle(cast(Any, Reactor()))
    downs = [Down() for _ in range(5)]
    for down in downs:
        throttle.answer(cast(Any, down), "192.0.2.1", b"401", True)
    assert [down.got for down in downs] == [[], [], [], [(b"401", False)], [(b"401", False)]]
