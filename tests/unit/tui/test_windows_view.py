import pytest

from ccrelay.tui.glyphs import ASCII, UNICODE
from ccrelay.tui.paint import bare, cells
from ccrelay.tui.windows_view import bar, long_lines, short_lines, windows_of
from ccrelay.v1 import providers_pb2 as pb
from tests.unit.cli.served import plain, status
from tests.unit.tui.design import NOW_MS


def test_only_windows_that_one_waits_for_are_shown() -> None:
    key = pb.Key(name="k", windows=[pb.Window(name="tokens", length_s=60),
                                    pb.Window(name="5h", length_s=18_000),
                                    pb.Window(name="7d_sonnet")])  # fmt: skip
    found = windows_of([pb.Provider(name="zai", keys=[key])])
    assert [(one.letter, one.key, one.window.name) for one in found] == [
        ("Z", "k", "5h"), ("Z", "k", "7d_sonnet"),
    ]  # fmt: skip


def test_of_too_many_those_that_need_a_look_stay_in_their_order() -> None:
    found = windows_of(status().providers, most=2)
    assert [(one.key, one.window.name) for one in found] == [("login", "5h"), ("login", "7d")]
    assert windows_of(status().providers, most=1)[0].window.name == "7d"


@pytest.mark.parametrize("width", [40, 56, 76, 116, 196])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    found = windows_of(status().providers)
    lines = short_lines(found, NOW_MS, plain(width), UNICODE)
    assert all(cells(line) <= width for line in lines)
    assert all(cells(x) <= width for x in long_lines(found, NOW_MS, plain(width), UNICODE, 14))


def test_a_bar_shows_what_is_used_forecast_and_how_much_time_is_gone() -> None:
    window = pb.Window(name="5h", utilization=0.5, utilization_at_reset=0.75, length_s=100,
                       resets_at_ms=NOW_MS + 10_000)  # fmt: skip
    assert bar(window, NOW_MS, 20, plain(80), UNICODE, full=True) == "██████████╱╱╱╱╱░░░┃░"
    assert bar(window, NOW_MS, 8, plain(80), ASCII, full=False) == "####...."


@pytest.mark.parametrize(("used", "glyphs"), [(0.0, 0), (0.001, 1), (1.0, 10), (3.0, 10)])
def test_a_bar_is_not_longer_than_it_may_be(used: float, glyphs: int) -> None:
    window = pb.Window(name="5h", utilization=used, utilization_at_reset=9.0, resets_at_ms=1,
                       length_s=5)  # fmt: skip
    line = bar(window, NOW_MS, 10, plain(80), UNICODE, full=False)
    assert (len(line), line.count("█")) == (10, glyphs)
    assert len(bar(window, NOW_MS, 10, plain(80), UNICODE, full=True)) == 10


def test_the_words_are_those_of_the_design() -> None:
    found = windows_of(status().providers)
    lines = [bare(line) for line in long_lines(found, NOW_MS, plain(48), UNICODE, 14)]
    assert lines[0].split() == ["A", "login", "5-hour", "62", "%"]
    assert lines[5].startswith("runs out Sat 08:00, 25 h early")
    assert lines[-1] == "█ used  ╱ forecast  ┃ time gone"
    short = bare(short_lines(found, NOW_MS, plain(76), UNICODE)[1])
    assert "71 %! runs out Sat 08:00  " in short


def test_windows_that_have_no_room_are_counted() -> None:
    found = windows_of(status().providers)
    lines = [bare(line) for line in long_lines(found, NOW_MS, plain(48), UNICODE, 9)]
    assert len(lines) == 9
    assert "2 more: g p" in lines
