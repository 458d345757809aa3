import pytest

from ccrelay.tui import sessions_view as sv
from ccrelay.tui.paint import bare, cells
from ccrelay.v1 import providers_pb2 as pb, usage_pb2 as us
from tests.unit.cli.served import day, plain, status
from tests.unit.tui.design import NOW_MS, sessions


def test_a_session_that_goes_on_has_no_end() -> None:
    one, *_, last = sessions().sessions
    assert sv.span_of(one, NOW_MS) == "since 12:41"
    assert sv.span_of(last, NOW_MS) == "10:20-11:31"
    yesterday = us.Session(first_at_ms=day("14:00:00") - 86_400_000, last_at_ms=NOW_MS)
    assert sv.span_of(yesterday, NOW_MS) == "since Wed 14:00"


def test_cost_is_what_is_billed_and_what_plans_cover() -> None:
    assert sv.cost(pb.Totals(billed_micros=1_000_000, plan_micros=500_000)) == "$1.50"
    assert sv.cost(pb.Totals(unpriced=2)) == "?"
    assert sv.title_sums(sessions().sessions) == "4, $24.43"


@pytest.mark.parametrize("width", [40, 79, 116, 196])
def test_no_row_is_wider_than_the_screen(width: int) -> None:
    found = [*sessions().sessions, us.Session(project="x" * 300, session="\x1b[31m" * 9)]
    heading, rows = sv.rows(found, status().providers, NOW_MS, plain(width))
    short = sv.short_rows(found, status().providers, NOW_MS, plain(width))
    assert all(cells(line) <= width for line in (heading, *rows, *short))
    assert not any("\x1b" in bare(line) for line in (*rows, *short))


def test_a_row_has_the_words_of_the_design() -> None:
    line = bare(sv.short_rows(sessions().sessions, status().providers, NOW_MS, plain(116))[0])
    assert line.split("  ")[0] == "payments-api"
    for words in ("3f8c41", "since 12:41", "47 turns, 9 agents", "B eu-role, 1 move",
                  "cache 94 %", "190.1k tokens", "$13.84"):  # fmt: skip
        assert words in line


def test_moves_tell_when_the_last_one_was() -> None:
    known = {"s": NOW_MS - 60_000}.get
    for number, at, words in (
        (0, "s", ""),
        (1, "s", "moved 14:31"),
        (3, "s", "3 moves, last 14:31"),
        (2, "other", "2 moves"),
    ):
        one = us.Session(session=at, totals=pb.Totals(moves=number))
        assert sv.moves(one, lambda name: known(name, 0), NOW_MS) == words
