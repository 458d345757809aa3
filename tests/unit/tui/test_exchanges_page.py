import pytest

from ccrelay.tui.live import Live
from ccrelay.v1 import exchanges_pb2 as ex, relay_pb2 as rl
from tests.unit.cli import examples
from tests.unit.cli.served import status
from tests.unit.tui.design import Shown


def opened(width: int = 120, height: int = 40, **answers: object) -> Shown:
    shown = Shown(width, height, **answers)
    shown.press("g", "e")
    return shown


def add(shown: Shown, number: int, project: str = "new") -> None:
    one = examples.exchange(number, "14:32:07", project, "zai/plan")
    shown.live.on_exchanges(ex.TailResponse(exchanges=[one]))


def test_the_newest_is_the_first() -> None:
    lines = opened().lines()
    assert lines[3].startswith("▌14:32:04  handbook main")
    assert lines[1].startswith(" 3 exchanges under way, following.  ")
    assert lines[1].endswith("418 today")
    add(shown := opened(), 0x999)
    assert any("14:32:07  new main" in line for line in shown.lines())


def test_held_still_new_rows_are_counted_and_not_inserted() -> None:
    shown = opened()
    before = shown.press("f")[3:]
    for number in range(12):
        add(shown, 0x900 + number)
    lines = shown.lines()
    assert lines[3:] == before
    assert "held still, 12 new" in lines[1]
    assert "following" in shown.press("f")[1]
    assert any("new main" in line for line in shown.lines())


def test_space_unfolds_and_folds_a_burst() -> None:
    shown = opened(120, 80)
    lines = shown.lines()
    at = next(at for at, line in enumerate(lines) if "25 x count_tokens" in line)
    unfolded = shown.press(*["j"] * (at - 3), "space")
    assert sum("count_tokens" in line for line in unfolded) == 26
    shown.press("space")
    assert sum("count_tokens" in line for line in shown.lines()) == 1


def test_the_selected_exchange_stays_where_it_is_while_others_come() -> None:
    shown = opened()
    shown.press(*["j"] * 8)
    before = [line for line in shown.lines() if line.startswith("▌")]
    for number in range(50):
        add(shown, 0x900 + number)
    lines = shown.lines()
    assert [line for line in lines if line.startswith("▌")] == before


def test_a_filter_is_followed_and_left_in_two_steps() -> None:
    shown = opened()
    shown.press("/")
    shown.type("handbook")
    assert shown.lines()[-1].startswith(" Filter: handbook")
    lines = shown.press("enter")
    assert shown.feed.followed == ["handbook"]
    assert lines[1].startswith(" Only handbook, following.")
    assert all("handbook" in line for line in lines[3:] if line.startswith((" 14", "▌14")))
    assert not any("streaming" in line for line in lines)
    shown.press("y")
    assert shown.copied == ["ccrelay exchanges --follow --filter handbook"]
    shown.press("/")
    assert shown.press("escape")[1].startswith(" Only handbook")
    assert shown.press("escape")[1].startswith(" 3 exchanges under way")
    assert shown.feed.followed == ["handbook", ""]


def test_a_filter_that_is_refused_says_why() -> None:
    shown = opened()
    shown.press("/")
    shown.type("colour:red")
    shown.press("enter")
    shown.live.on_filter_problem("'colour' is no word of a filter " + "known: x, " * 20 + "end.")
    lines = shown.lines()
    assert "'colour' is no word of a filter" in lines[1]
    assert "end. Esc clears it." in " ".join(shown.text().split())
    assert not any("No exchange matches" in line for line in lines)


def test_filters_with_blanks_are_quoted_in_the_command() -> None:
    shown = opened()
    shown.press("/")
    shown.type("a b; rm")
    shown.press("enter", "y")
    assert shown.copied == ["ccrelay exchanges --follow --filter 'a b; rm'"]


def test_older_ones_are_asked_for_when_the_end_comes_near() -> None:
    older = [
        examples.exchange(0x5000 + number, "13:00:00", "older", "zai/plan") for number in range(200)
    ]
    pages = iter([ex.ExchangesListResponse(exchanges=older), ex.ExchangesListResponse()])
    shown = opened(Exchanges__List=lambda request: next(pages))
    shown.press("end")
    shown.press("end")
    assert any("older main" in line for line in shown.lines())
    requests = shown.asked("Exchanges/List")
    first = min(one.started_at_ms for one in shown.live.exchanges()[0])
    assert requests[0].until_ms == first + 1
    shown.press("end", "end", "end")
    assert len(shown.asked("Exchanges/List")) == 2  # the second one was the last page


def test_nothing_yet_says_what_to_do() -> None:
    live = Live()
    live.on_status(rl.WatchStatusResponse(status=status(), whole=True))
    shown = Shown(live=live)
    text = "\n".join(shown.press("g", "e"))
    assert "Start Claude Code through the relay: ccrelay claude" in text


def test_what_was_left_out_is_said() -> None:
    shown = opened()
    shown.live.on_exchanges(ex.TailResponse(dropped=1_234))
    assert "1,234 left out: this terminal is too slow" in shown.lines()[1]


@pytest.mark.parametrize("width", [30, 60, 80, 99, 100, 140, 200])
def test_huge_names_break_nothing(width: int) -> None:
    shown = Shown(width, 24)
    one = examples.exchange(0x999, "14:32:07", "日本" * 200, "p" * 99 + "/" + "k" * 99)
    one.model = "\x1b[2J" + "m" * 500
    shown.live.on_exchanges(ex.TailResponse(exchanges=[one]))
    lines = shown.press("g", "e")
    assert len(lines) == 24
    assert not any("\x1b" in line for line in lines)
