import pytest

from ccrelay.tui.paint import bare, cells
from ccrelay.tui.rows import (
    COMPACT,
    FULL,
    NARROW,
    SIDE,
    Row,
    RowTable,
    over_rows,
    running_rows,
    short_title,
)
from ccrelay.v1 import exchanges_pb2 as ex
from tests.unit.cli import examples
from tests.unit.cli.served import plain
from tests.unit.tui.design import NOW_MS, attempts_of_failed, running

LETTERS = {"anthropic": "A", "bedrock": "B", "zai": "Z"}


def table(columns: object = NARROW, width: int = 76, **how: object) -> RowTable:
    known = {"letters": {}, "attempts": lambda _: ()} | how
    return RowTable(columns, width, plain(width), **known)  # type: ignore[arg-type]


def test_bursts_of_count_tokens_are_one_row_until_they_are_unfolded() -> None:
    newest_first = examples.exchanges()
    rows = list(over_rows(newest_first, frozenset()))
    assert len(rows) == len(newest_first) - 24
    burst = next(row for row in rows if row.burst and len(row.burst.members) == 25)
    assert burst.id == burst.burst.members[0].id  # type: ignore[union-attr]
    unfolded = list(over_rows(newest_first, {burst.id}))
    assert len(unfolded) == len(rows) + 25
    assert sum(row.is_member for row in unfolded) == 25


def test_those_under_way_are_the_newest_first() -> None:
    rows = running_rows(running().running)
    assert [row.exchange.project for row in rows] == ["handbook", "infra-live", "payments-api"]
    assert bare(table().line(rows[2], NOW_MS)) == (
        "14:31:44 payments-api general-pur… eu-role       streaming   24.0 s       -"
    )


@pytest.mark.parametrize("columns", [NARROW, SIDE, COMPACT, FULL])
@pytest.mark.parametrize("width", [30, 60, 79, 119, 199])
def test_no_row_is_wider_than_the_table(columns: object, width: int) -> None:
    one = examples.exchange(1, "14:21:37", "a" * 300, "p" * 100 + "/" + "k" * 100, model="m" * 200)
    one.traffic_class, one.agent = "subagent", "\u202e" * 50
    drawn = table(columns, width, letters=LETTERS)
    rows = [*over_rows([one, *examples.exchanges()], frozenset()), *running_rows(running().running)]
    assert all(cells(drawn.line(row, NOW_MS)) <= width for row in rows)
    assert cells(drawn.heading()) <= width


def test_figures_are_never_cut() -> None:
    row = next(over_rows(examples.exchanges(), frozenset()))
    for width in (40, 50, 60, 79):
        line = bare(table(COMPACT, width).line(row, NOW_MS))
        assert line.startswith("14:31:12")
        assert "1.1 …" not in line
    assert bare(table(COMPACT, 79).line(row, NOW_MS)).endswith("1.1 s $0.0020p")


def test_a_target_shows_the_way_over_others() -> None:
    one = examples.exchange(1, "14:31:05", "api", "zai/plan", attempts=2)
    row = next(over_rows([one], frozenset()))
    known = {one.id: attempts_of_failed()}
    assert "team-b>plan" in table(attempts=known.get).line(row, NOW_MS)
    wide = table(FULL, 160, letters=LETTERS, attempts=known.get).line(row, NOW_MS)
    assert "A team-b > Z plan" in wide


@pytest.mark.parametrize(
    ("phase", "word"),
    [
        (ex.Running.PHASE_QUEUED, "waiting"),
        (ex.Running.PHASE_HOLDING, "holding"),
        (77, "under way"),
    ],
)
def test_a_phase_has_its_word(phase: int, word: str) -> None:
    row = Row("1", running=ex.Running(id="1", phase=phase, started_at_ms=NOW_MS))
    assert word in table().line(row, NOW_MS)


def test_a_title_says_who_and_when() -> None:
    assert short_title(examples.FAILED_OVER, 60, plain(80)) == "7f3a1c payments-api main, 14:27:41"
    assert len(short_title(examples.FAILED_OVER, 10, plain(80))) == 10
