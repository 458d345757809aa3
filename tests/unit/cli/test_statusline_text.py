"""The status line as the design shows it, in both widths, and what it does with odd answers."""

from typing import Any

import pytest

from ccrelay.cli import words
from ccrelay.cli.cells import width_of as width_of_cells
from ccrelay.cli.statusline_text import (
    line_of,
    moment,
    percent,
    short_model,
    until,
    width_of,
)
from tests.unit.cli.served import at, day, zone

__all__ = ["zone"]
NOW = day("14:32:08")
AMBER = "\x1b[33m"

pytestmark = pytest.mark.usefixtures("zone")


def window(name: str, used: float, resets: int = 0, full: int = 0) -> dict[str, Any]:
    return {"name": name, "utilization": used, "resets_at_ms": resets, "full_at_ms": full}


WINDOWS = [
    window("5h", 0.62, resets=day("16:00:00")),
    window("7d", 0.71, resets=at("2026-12-06 09:00:00"), full=at("2026-12-05 08:00:00")),
    window("7d_sonnet", 0.1, resets=at("2026-12-06 09:00:00")),
]
ANSWER: dict[str, Any] = {
    "provider": "anthropic",
    "key": "login",
    "model": "claude-sonnet-5-5",
    "session_micros": 3_020_000,
    "today_billed_micros": 17_540_000,
    "today_plan_micros": 8_480_000,
    "cache_hit": 0.96,
    "windows": WINDOWS,
    "room": 0.82,
    "trouble": None,
}
MOVED = {
    "kind": "moved",
    "why": "529",
    "from": "anthropic/team-a",
    "to": "bedrock/eu-role",
    "lost_micros": 970_000,
    "waited_ms": 0,
}


def line(width: int = 140, *, colour: bool = False, told: Any = None, **members: Any) -> str:
    return line_of({**ANSWER, **members}, told or {}, NOW, width, colour=colour)


def test_the_usual_line_is_that_of_the_design() -> None:
    usual = (
        "sonnet-5-5 @ anthropic/login · 5h 62% resets 1:27 · 7d 71%! out Sat 08:00 · $3.02 · "
        "cache 96%"
    )
    assert line() == f"{usual} · today $17.54 + $8.48p"
    assert line(100) == usual


def test_the_short_line_is_that_of_the_design() -> None:
    assert line(79) == "login · 7d 71%! out Sat 08:00 · $3.02"


def test_trouble_is_that_of_the_design() -> None:
    told = "moved team-a > eu-role (529), cache lost $0.97 · room 82% · $13.84"
    assert line(trouble=MOVED, session_micros=13_840_000) == told


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ({**MOVED, "kind": "failover", "lost_micros": 0}, "failover team-a > eu-role (529)"),
        ({**MOVED, "from": "", "why": ""}, "moved to eu-role, cache lost $0.97"),
        ({**MOVED, "from": MOVED["to"], "lost_micros": 0}, "moved to eu-role (529)"),
        ({"kind": "waited", "waited_ms": 6_200, "to": "zai/plan"}, "waited 6.2 s for room at plan"),
        (
            {"kind": "retrying", "why": "rate_limit", "to": "zai/plan"},
            "failing over (rate limit), now plan",
        ),
        ({"kind": "retrying", "why": "connect", "to": ""}, "failing over (connect)"),
    ],
)
def test_other_trouble(trouble: dict[str, Any], told: str) -> None:
    assert line(trouble=trouble).split(" · ")[0] == told


def test_only_what_needs_a_look_has_colour() -> None:
    shown = line(colour=True)
    assert f"{AMBER}7d 71%! out Sat 08:00\x1b[0m" in shown
    assert shown.count("\x1b[") == 2
    assert line(colour=True, trouble=MOVED).startswith(f"{AMBER}moved")
    assert "\x1b[" not in line(trouble=MOVED)


def test_a_key_without_windows_tells_its_room() -> None:
    assert line(windows=[]).split(" · ")[1] == "room 82%"
    assert line(60, windows=[]) == "login · room 82% · $3.02"
    assert line(60, windows=[], room=None) == "login · $3.02"


def test_a_full_window_tells_its_reset() -> None:
    full = window("5h", 1.0, resets=day("16:00:00"), full=day("14:00:00"))
    assert line(windows=[full]).split(" · ")[1] == "5h 100%! resets 1:27"


def test_a_window_of_a_model_is_told_when_it_runs_out() -> None:
    sonnet = window("7d_sonnet", 0.95, resets=at("2026-12-06 09:00:00"))
    assert line(windows=[sonnet]).split(" · ")[1] == "7d_sonnet 95%! resets 2 d 18 h"


def test_before_the_first_answer_the_model_is_claude_codes() -> None:
    empty = {"provider": "", "windows": [], "room": None, "session_micros": None, "cache_hit": None}
    told = {"model": {"display_name": "Opus 5.5"}}
    assert line(told=told, **empty) == "Opus 5.5 @ ccrelay · today $17.54 + $8.48p"
    assert line(told={"model": "x"}, **empty).startswith("ccrelay · ")
    assert line(60, told=told, **empty) == "ccrelay"


def test_what_has_no_room_is_left_out_from_the_right() -> None:
    for width in range(1, 150):
        shown = line(width)
        assert len(shown) <= max(width - 4, 1)
    assert line(20) == "login · $3.02"
    assert line(8) == "log…"


def test_wide_characters_take_their_room() -> None:
    for width in range(5, 60):
        assert width_of_cells(line(width, key="漢字漢字漢字")) <= width - 4
    assert line(12, key="漢字漢字漢字") == "漢字漢…"


def test_what_comes_from_elsewhere_controls_no_terminal() -> None:
    shown = line(provider="a\x1b[2J\n", key="b\u202e")
    assert "\x1b" not in shown
    assert "\n" not in shown
    assert "\u202e" not in shown


def test_amounts_of_today_are_never_one_figure() -> None:
    assert line(today_plan_micros=0).endswith("today $17.54")
    assert line(today_billed_micros=0).endswith("today $8.48p")
    assert line(today_billed_micros=0, today_plan_micros=0).endswith("today $0")


def test_figures_are_those_of_the_other_commands() -> None:
    for name in ("claude-sonnet-5-5", "claude-haiku-4-5-20251001", "glm-5.3", ""):
        assert short_model(name) == words.short_model(name)
    assert [percent(share) for share in (0, 0.004, 0.62, 0.999, 1, 1.5)] == [
        *("0%", "0%", "62%", "99%", "100%", "150%"),
    ]


def test_times() -> None:
    assert until(NOW + 87 * 60_000 + 59_000, NOW) == "1:27"
    assert until(NOW - 1, NOW) == "0:00"
    assert until(NOW + 90 * 3_600_000, NOW) == "3 d 18 h"
    assert moment(day("16:00:00"), NOW) == "16:00"


def test_the_width_is_the_terminals() -> None:
    assert width_of({"COLUMNS": "72"}) == 72
    assert [width_of({"COLUMNS": text}) for text in ("", "x", "0", "000", "9999999")] == [100] * 5
