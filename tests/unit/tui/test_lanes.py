import pytest

from ccrelay.tui import marks as mk
from ccrelay.tui.glyphs import ASCII, UNICODE
from ccrelay.tui.lanes import Lanes, fact, lane_lines, legend, scale
from ccrelay.tui.paint import bare, cells
from ccrelay.v1 import providers_pb2 as pb
from tests.unit.cli.served import plain, status
from tests.unit.tui.design import NOW_MS, filled, running


def lanes(**how: object) -> Lanes:
    live = filled()
    known = {"providers": live.status.providers, "marks": live.lanes(),
             "running": live.running()[0], "now_ms": NOW_MS}  # fmt: skip
    return Lanes(**(known | how))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("width", "wide"), [(30, False), (40, False), (76, False), (76, True), (116, True), (196, True)]
)
def test_all_lines_have_the_width(width: int, wide: bool) -> None:
    lines = lane_lines(lanes(), width, plain(width), UNICODE, wide=wide)
    assert len(lines) == 6
    assert [cells(line) for line in lines[:-1]] == [width] * 5
    assert cells(lines[-1]) <= width


def test_now_stands_where_the_past_ends() -> None:
    lines = lane_lines(lanes(), 76, plain(76), UNICODE)
    at = lines[0].index("▶")
    assert lines[1][at] == "│"
    assert lines[-1][at : at + 3] == "now"
    assert lines[0][at + 1] == "·"


def test_what_is_under_way_is_drawn_up_to_now() -> None:
    one = running().running[0]
    one.started_at_ms = NOW_MS - 300_000
    line = lane_lines(lanes(running=[one], marks={}), 76, plain(76), UNICODE)[3]
    at = line.index("▶")
    cell_ms = scale(76 - 2 - 7 - 1 - 12, NOW_MS).cell_ms
    assert line[:at].count("▓") == pytest.approx(300_000 / cell_ms, abs=1)
    assert line[at - 1] == "▓"


def test_a_mark_stands_at_its_time() -> None:
    layout = scale(60, NOW_MS)
    step = (NOW_MS - 600_000) // mk.STEP_MS
    found = {("anthropic", "login"): {step: mk.SONNET}}
    line = lane_lines(lanes(running=[], marks=found), 60 + 22, plain(82), UNICODE)[0]
    at = line.index("▓") - 10
    assert at == layout.cell_of(step * mk.STEP_MS + 2_500)
    assert at == pytest.approx(layout.past / 2, abs=1)


def test_a_failure_is_shown_before_all_else() -> None:
    step = (NOW_MS - 600_000) // mk.STEP_MS
    for bits, glyph in (
        (mk.OPUS | mk.FAILED, "✕"), (mk.OPUS | mk.HANDED_OVER, "┆"), (mk.OPUS | mk.HAIKU, "█"),
        (mk.HAIKU | mk.OTHER, "▒"), (mk.OTHER, "░"),
    ):  # fmt: skip
        found = {("anthropic", "login"): {step: bits}}
        line = lane_lines(lanes(running=[], marks=found), 76, plain(76), UNICODE)[0]
        assert glyph in line


def test_a_cooldown_is_drawn_from_its_failure_into_the_future() -> None:
    line = lane_lines(lanes(), 116, plain(116), UNICODE, wide=True)[2]
    assert "✕╱╱╱╱╱╱" in line
    assert line.rstrip().endswith("cool 0:47")
    ahead = line[line.index("✕") :].count("╱")
    said = status()
    said.providers[0].keys[2].cooldown_until_ms = NOW_MS + 600_000
    longer = lane_lines(lanes(providers=said.providers), 116, plain(116), UNICODE, wide=True)[2]
    assert longer.count("╱") > ahead
    assert "·" not in longer


def test_too_many_keys_are_counted() -> None:
    lines = lane_lines(lanes(), 76, plain(76), UNICODE, most=3)
    assert len(lines) == 4
    assert bare(lines[2]) == "  3 more keys: g p"


def test_without_unicode_all_is_ascii() -> None:
    lines = lane_lines(lanes(), 76, plain(76, unicode=False), ASCII)
    assert all(line.isascii() for line in lines)
    assert legend(ASCII, plain(80)).isascii()


@pytest.mark.parametrize(
    ("changes", "text", "style"),
    [
        ({"state": pb.Key.STATE_COOLDOWN, "cooldown_until_ms": NOW_MS + 47_000}, "cool 0:47",
         "amber"),
        ({"state": pb.Key.STATE_FULL}, "full", "amber"),
        ({"state": pb.Key.STATE_REFUSED}, "refused", "red"),
        ({"state": pb.Key.STATE_DISABLED}, "disabled", "dim"),
        ({"room": 0.94}, "94 %", ""),
        ({"room": 0.04}, "4 %", "amber"),
        ({}, "-", "dim"),
        ({"windows": [pb.Window(name="5h", utilization=0.5),
                      pb.Window(name="7d_sonnet", utilization=0.4, utilization_at_reset=1.2)]},
         "7d 40 %!", "amber"),
    ],
)  # fmt: skip
def test_what_matters_most_stands_right_of_a_lane(
    changes: dict[str, object], text: str, style: str
) -> None:
    provider = pb.Provider(name="a", enabled=True)
    assert fact(provider, pb.Key(**changes), NOW_MS, wide=False) == (text, style)


def test_a_long_rest_is_told_without_its_word_and_never_cut() -> None:
    said = status()
    said.providers[0].keys[2].cooldown_until_ms = NOW_MS + 58 * 3_600_000
    line = lane_lines(lanes(providers=said.providers), 76, plain(76), UNICODE)[2]
    assert line.endswith("  2 d 10 h ")


def test_an_open_breaker_is_told_of_its_keys() -> None:
    breaker = pb.Breaker(state=pb.Breaker.STATE_OPEN, resumes_at_ms=NOW_MS + 22_000)
    provider = pb.Provider(name="a", enabled=True, breaker=breaker)
    assert fact(provider, pb.Key(room=0.5), NOW_MS, wide=True) == ("open 0:22", "red")
