"""Sums since midnight, also over midnight."""

from ccrelay.manager import today as module
from ccrelay.manager.today import Today
from ccrelay.store.sums import amounts
from tests.unit.store.making import NOON_US, record

DAY_US = 86_400_000_000
MIDNIGHT_US = NOON_US - 14 * 3_600_000_000


class Hands:
    """A clock that is set."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def test_exchanges_of_today_count_by_the_day_on_which_they_began() -> None:
    today = Today(Hands(NOON_US / 1e6), lambda _: 0)
    today.add(
        [
            record(1),
            record(2, started_at_us=MIDNIGHT_US, provider="zai", key="hmac:2"),
            record(3, started_at_us=MIDNIGHT_US - 1),
        ]
    )
    assert today.total().exchanges == 2
    assert today.of("zai", "hmac:2").exchanges == 1
    assert today.of("zai", "hmac:3").exchanges == 0
    assert today.first_event_ms("zai", "hmac:2") == 900.0
    assert today.first_event_ms("zai", "hmac:3") == 0.0


def test_at_midnight_they_begin_anew() -> None:
    clock = Hands(NOON_US / 1e6)
    today = Today(clock, lambda _: 0)
    today.add([record(1)])
    clock.now_s += 86_400
    assert today.total().exchanges == 0
    assert today.of("anthropic", "hmac:04f4a1b2").exchanges == 0
    today.add([record(2), record(3, started_at_us=NOON_US + DAY_US)])
    assert (today.total().exchanges, len(today.by_key())) == (1, 1)


def test_what_the_ledger_has_is_added_unless_midnight_has_passed() -> None:
    clock = Hands(NOON_US / 1e6)
    today = Today(clock, lambda _: 0)
    found = {("anthropic", "hmac:04f4a1b2"): amounts(record())}
    today.add([record()])
    today.load(today.start_s, found)
    assert today.total().exchanges == 2
    assert today.of("anthropic", "hmac:04f4a1b2").billed == 2000
    today.load(today.start_s - 86_400, found)
    assert today.total().exchanges == 2


def test_midnight_is_that_of_the_zone() -> None:
    today = Today(Hands(NOON_US / 1e6), lambda _: 11 * 3600)  # it is one at night
    assert today.start_s == NOON_US // 1_000_000 - 3600
    today.add([record(started_at_us=NOON_US - 2 * 3_600_000_000)])
    assert today.total().exchanges == 0


def test_memory_is_bounded() -> None:
    today = Today(Hands(NOON_US / 1e6), lambda _: 0)
    for number in range(module.KEYS_MAX + 50):
        today.add([record(number, key=f"hmac:{number}")])
    assert today.total().exchanges == module.KEYS_MAX + 50
    assert len(today.by_key()) == module.KEYS_MAX
