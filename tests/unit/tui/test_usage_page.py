import pytest

from ccrelay.tui.glyphs import ASCII, UNICODE
from ccrelay.tui.page import View
from ccrelay.tui.paint import bare, cells
from ccrelay.tui.usage_page import RANGES, day_chart
from ccrelay.v1 import providers_pb2 as pb, usage_pb2 as us
from tests.unit.cli.served import plain
from tests.unit.cli.test_usage_view import AT_120
from tests.unit.tui.design import NOW_MS, Shown, days, failing


def opened(width: int = 122, height: int = 24, **answers: object) -> Shown:
    shown = Shown(width, height, **answers)
    shown.press("g", "u")
    return shown


def test_the_table_is_that_of_the_command() -> None:
    lines = [line[1:] for line in opened().lines()]
    wanted = AT_120.splitlines()
    at = lines.index(wanted[0])
    assert lines[at : at + len(wanted)] == wanted


def test_the_sentence_is_the_sum() -> None:
    line = opened().lines()[1]
    assert line.startswith(" $121.15 billed, $54.59 covered by plans, $1,031.07 saved: 7 days.")
    assert line.endswith("cache 94 %")


def test_dimension_and_range_are_chosen_by_keys() -> None:
    shown = opened()
    shown.press("right", "]", "]", "y")
    assert shown.copied == ["ccrelay usage --by key --since 90d"]
    shown.press("]", "]", "]", "y")
    assert shown.copied[-1] == "ccrelay usage --by key --since 2020-01-01"
    assert shown.asked("Usage/Query")[-2].since_ms == 0
    assert list(shown.asked("Usage/Query")[-2].group_by) == [us.DIMENSION_KEY]
    shown.press(*["["] * 20, "left", "left", "y")
    assert shown.copied[-1] == f"ccrelay usage --by provider --since {RANGES[0]}"


def test_a_filter_is_counted() -> None:
    shown = opened()
    shown.press("/")
    shown.type("model:opus")
    lines = shown.press("enter")
    assert any("only model:opus" in line for line in lines)
    assert shown.asked("Usage/Query")[-1].filter == "model:opus"
    assert not any("only" in line for line in shown.press("escape"))


def test_an_answer_to_an_earlier_question_is_not_shown() -> None:
    shown = opened()
    page = shown.dashboard.page
    late = us.QueryResponse(total=pb.Totals(billed_micros=99_000_000))
    page._on_answer(("provider", "30d", ""), page._bounds, late)  # type: ignore[attr-defined]
    assert "$99.00" not in shown.text()


def test_a_failure_is_said() -> None:
    shown = opened(Usage__Query=failing("The ledger is off.", "UNAVAILABLE"))
    assert shown.text().count("The ledger is off.") >= 1


def test_a_high_terminal_has_a_chart() -> None:
    assert any("Cost per day" in line for line in opened(120, 40).lines())
    assert not any("Cost per day" in line for line in opened(80, 24).lines())


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("number", [1, 7, 31])
def test_the_chart_fits(width: int, number: int) -> None:
    answer = us.QueryResponse(
        rows=[
            us.UsageRow(group=[f"2026-11-{n + 1:02}"], totals=pb.Totals(billed_micros=n + 1))
            for n in range(number)
        ]
    )
    lines = day_chart(answer, View(plain(width), UNICODE, 40, NOW_MS))
    assert all(cells(line) <= max(width, 74) for line in lines)
    assert "01" in lines[-1] or number > 1


def test_the_highest_day_is_the_highest_bar() -> None:
    view = View(plain(80), UNICODE, 40, NOW_MS)
    lines = [bare(line) for line in day_chart(days(), view)]
    assert lines[1].startswith("  $45.00")
    assert lines[1].count("█") == 6
    assert lines[-1].split() == ["27", "28", "29", "30", "01", "02", "03"]
    ascii_lines = day_chart(days(), View(plain(80, unicode=False), ASCII, 40, NOW_MS))
    assert all(line.isascii() for line in ascii_lines)


def test_days_without_cost_have_no_chart() -> None:
    answer = us.QueryResponse(rows=[us.UsageRow(group=["2026-11-01"])])
    assert day_chart(answer, View(plain(80), UNICODE, 40, NOW_MS)) == []


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 200])
def test_the_range_and_the_chosen_dimension_are_seen_at_any_width(width: int) -> None:
    shown = opened(width)
    shown.press("[", "[")
    for _ in range(10):
        line = shown.press("right")[2]
        by = shown.dashboard.page.by  # type: ignore[attr-defined]
        assert f"[{by}]" in line
        assert line.startswith((" the last 24 hours  by", " last 24 h  by"))


def test_80_columns_have_room_for_any_range_and_all_dimensions() -> None:
    shown = opened(80)
    for since in (*["["] * 9, *["]"] * 7):
        assert shown.press(since)[2].endswith("hour rule")
