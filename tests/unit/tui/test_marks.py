from ccrelay.tui import marks as mk
from ccrelay.v1 import exchanges_pb2 as ex
from tests.unit.cli.examples import exchange
from tests.unit.tui.design import NOW_MS, attempts_of_failed

KEY = ("zai", "plan")


def step(at_ms: float) -> int:
    return int(at_ms) // mk.STEP_MS


def test_an_exchange_is_marked_as_long_as_it_lasted() -> None:
    marks = mk.Marks()
    one = exchange(1, "14:30:00", "api", "zai/plan", model="claude-opus-5-5", duration_ms=12_000)
    marks.add(one)
    assert dict(marks.copy()[KEY]) == dict.fromkeys(
        range(step(one.started_at_ms), step(one.started_at_ms + 12_000) + 1), mk.OPUS
    )


def test_families_and_failures_share_a_step() -> None:
    marks = mk.Marks()
    for model in ("claude-haiku-5-5", "glm-5.3", "claude-sonnet-5-5"):
        marks.add(exchange(1, "14:30:00", "api", "zai/plan", model=model, duration_ms=1))
    lost = exchange(2, "14:30:00", "api", "zai/plan", outcome=ex.OUTCOME_LOST, duration_ms=1)
    marks.add(lost)
    assert set(marks.copy()[KEY].values()) == {mk.HAIKU | mk.OTHER | mk.SONNET | mk.FAILED}


def test_count_tokens_and_what_has_no_target_leave_no_mark() -> None:
    marks = mk.Marks()
    marks.add(exchange(1, "14:30:00", "api", "zai/plan", kind="count_tokens"))
    marks.add(exchange(2, "14:30:00", "api", ""))
    assert marks.copy() == {}


def test_attempts_mark_where_it_failed_and_where_it_was_handed_over() -> None:
    marks = mk.Marks()
    one = exchange(1, "14:31:05", "api", "zai/plan", attempts=2)
    marks.add_attempts(one, attempts_of_failed())
    lanes = marks.copy()
    assert set(lanes["anthropic", "team-b"].values()) == {mk.FAILED}
    assert set(lanes[KEY].values()) == {mk.HANDED_OVER}


def test_a_lane_and_the_number_of_lanes_are_bounded() -> None:
    marks = mk.Marks()
    for minute in range(3000):
        one = exchange(minute, "14:30:00", "api", "zai/plan", duration_ms=1)
        one.started_at_ms = NOW_MS + minute * 60_000
        marks.add(one)
    assert len(marks.copy()[KEY]) <= 2 * mk.STEPS + 1
    assert step(one.started_at_ms) in marks.copy()[KEY]
    for number in range(2 * mk.KEYS_MAX):
        marks.add(exchange(number, "14:30:00", "api", f"p/{number}"))
    assert len(marks.copy()) == mk.KEYS_MAX


def test_an_exchange_of_days_marks_a_lane_and_no_more() -> None:
    marks = mk.Marks()
    marks.add(exchange(1, "14:30:00", "api", "zai/plan", duration_ms=3e9))
    assert len(marks.copy()[KEY]) == mk.STEPS + 1
