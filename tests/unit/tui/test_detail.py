import pytest

from ccrelay.tui.detail import KEPT_MAX, Details, under_way, waterfall
from ccrelay.tui.glyphs import UNICODE
from ccrelay.tui.page import View
from ccrelay.tui.paint import bare, cells
from ccrelay.v1 import exchanges_pb2 as ex
from tests.unit.cli import examples
from tests.unit.cli.served import plain
from tests.unit.tui.design import NOW_MS, Shown, failing


def test_an_exchange_is_asked_for_once() -> None:
    shown = Shown()
    details = Details(shown.dashboard)
    assert details.get("a") is not None
    assert details.get("a") is not None
    assert len(shown.asked("Exchanges/Get")) == 1


def test_a_selection_that_changes_often_is_not_asked_for_often() -> None:
    shown = Shown()
    details = Details(shown.dashboard)
    assert details.get("a") is not None
    assert details.get("b") is None
    assert details.get("b", at_once=True) is not None
    shown.now_ms += 1_000
    assert details.get("c") is not None


def test_one_that_is_not_there_is_not_asked_for_again_and_again() -> None:
    shown = Shown(Exchanges__Get=failing("No exchange has this id.", "NOT_FOUND"))
    details = Details(shown.dashboard)
    for _ in range(5):
        assert details.get("a", at_once=True) is None
    assert len(shown.asked("Exchanges/Get")) == 1
    assert details.problem("a") == "No exchange has this id."
    shown.now_ms += 10_000
    details.get("a", at_once=True)
    assert len(shown.asked("Exchanges/Get")) == 2


def test_what_is_kept_is_bounded() -> None:
    shown = Shown()
    details = Details(shown.dashboard)
    for number in range(2 * KEPT_MAX):
        details.get(str(number), at_once=True)
    assert len(details._kept) == KEPT_MAX


def test_the_exchange_is_shown_whole_and_scrolls() -> None:
    shown = Shown(100, 16)
    first = shown.press("j", "j", "j", "enter")
    assert any("outcome   failover, HTTP 200" in line for line in first)
    text = "\n".join(shown.press("end"))
    assert "TIME      of 16.6 s in all" in text
    assert any("outcome   failover" in line for line in shown.press("home"))


def test_j_shows_the_older_exchange() -> None:
    shown = Shown()
    shown.press("g", "e", "j", "j", "j", "enter")
    before = shown.lines()[1]
    after = shown.press("j")[1]
    assert before != after
    assert shown.press("k")[1] == before
    shown.press(*"kkkkkkkkk")
    assert "handbook main, 14:32:04" in shown.lines()[1]


def test_the_command_names_the_exchange() -> None:
    shown = Shown()
    shown.press("j", "j", "j", "enter", "y")
    assert shown.copied == ["ccrelay exchange 0fa17"]


def test_one_under_way_tells_what_is_known() -> None:
    shown = Shown(Exchanges__Get=failing("not there yet", "NOT_FOUND"))
    lines = shown.press("enter")
    assert any("anthropic/login  the answer goes to the client; attempt 1" in x for x in lines)
    assert any("Why, and its bill, are known when it is over." in x for x in lines)


def test_why_it_is_not_shown_is_said() -> None:
    shown = Shown(Exchanges__Get=failing("The ledger is off.", "UNAVAILABLE"))
    assert any("The ledger is off." in line for line in shown.press("j", "j", "j", "enter"))


@pytest.mark.parametrize("width", [20, 40, 80])
def test_what_is_under_way_fits(width: int) -> None:
    one = ex.Running(failed="x" * 300, provider="\x1b]0;title\x07" * 9, started_at_ms=NOW_MS)
    lines = under_way(one, NOW_MS, plain(width))
    assert all(cells(line) <= width and "\x1b" not in line for line in lines)
    assert "no target yet" in under_way(ex.Running(), NOW_MS, plain(80))[0]


@pytest.mark.parametrize("width", [50, 80, 160])
def test_attempts_are_bars_on_one_scale(width: int) -> None:
    view = View(plain(width), UNICODE, 20, NOW_MS)
    lines = [bare(line) for line in waterfall(examples.detail(), view)]
    assert all(cells(line) <= width for line in lines)
    # The second one begins where the first one ended.
    assert 0 <= lines[3].index("▓") - lines[2].rindex("✕") <= 1
    assert lines[3].count("▓") > 10 * lines[2].count("✕")
    assert lines[2].endswith("0.41 s")
    one = examples.detail()
    del one.attempts[1:]
    assert waterfall(one, view) == []
