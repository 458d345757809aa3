"""What today will have cost: plain cases."""

from hypothesis import given, strategies as st

from ccrelay.manager.expected import DAYS_MIN, expected_micros
from ccrelay.store.zones import HOUR_S
from tests.unit.store.making import NOON_US

NOON_S = NOON_US // 1_000_000 - 2 * HOUR_S  # 12:00 UTC
NOON_H = NOON_S // HOUR_S


def utc(_: int) -> int:
    return 0


def days(count: int, morning: int, evening: int) -> dict[int, int]:
    found = {}
    for day in range(1, count + 1):
        found[NOON_H - 24 * day - 3] = morning
        found[NOON_H - 24 * day + 6] = evening
    return found


def test_nothing_spent_is_not_known() -> None:
    assert expected_micros({}, NOON_S, utc) == 0
    assert expected_micros(days(5, 10, 10), NOON_S, utc) == 0


def test_without_days_before_it_goes_on_per_hour() -> None:
    assert expected_micros({NOON_H - 1: 500}, NOON_S, utc) == 1000
    early = NOON_S - 7 * HOUR_S
    assert expected_micros({early // HOUR_S: 500}, early, utc) == 0


def test_as_days_before_it_is_as_they_were() -> None:
    costs = {**days(5, 400, 600), NOON_H - 2: 400}
    assert expected_micros(costs, NOON_S, utc) == 1000


def test_twice_as_much_as_usual_goes_on_so() -> None:
    costs = {**days(5, 400, 600), NOON_H - 2: 800}
    assert expected_micros(costs, NOON_S, utc) == 2000


def test_one_early_request_does_not_make_a_day() -> None:
    costs = {**days(5, 1, 600), NOON_H - 2: 100}
    assert expected_micros(costs, NOON_S, utc) == 100 + 4 * 600


def test_two_days_are_too_few() -> None:
    costs = {**days(DAYS_MIN - 1, 400, 0), NOON_H - 2: 400}
    assert expected_micros(costs, NOON_S, utc) == 800


@given(
    st.dictionaries(st.integers(NOON_H - 360, NOON_H), st.integers(0, 10**9)),
    st.sampled_from([-12 * HOUR_S, 0, 5 * HOUR_S + 1800, 14 * HOUR_S]),
)
def test_it_is_never_less_than_what_was_spent(costs: dict[int, int], offset: int) -> None:
    now = NOON_S + 1799
    midnight = (now + offset) // 86_400 * 86_400 - offset
    spent = sum(cost for hour, cost in costs.items() if hour * HOUR_S >= midnight)
    found = expected_micros(costs, now, lambda _: offset)
    assert found == 0 or found >= spent
