"""Sessions as lines: the list, the tree, and what they do in little room."""

from typing import Any

import pytest

from ccrelay.cli.cells import width_of
from ccrelay.cli.sessions_view import branches, session_lines, tree_lines
from ccrelay.v1 import exchanges_pb2 as ex, usage_pb2 as us
from tests.unit.cli import examples
from tests.unit.cli.served import day, plain, zone

__all__ = ["zone"]
pytestmark = pytest.mark.usefixtures("zone")

LETTERS = {"anthropic": "A", "bedrock": "B", "zai": "Z"}
NOW = day("14:32:08")
MOVE = ex.Exchange(
    id="req_ccrelay_07f3a1c", started_at_ms=day("14:27:41"), provider="bedrock", key="eu-role",
    moved=True, attempts=2, cost=ex.Cost(known=True, moved_micros=970_000),
)  # fmt: skip


def tree(width: int = 100, moves: Any = (MOVE,)) -> list[str]:
    one = examples.sessions().sessions[0]
    attempts = list(examples.detail().attempts)
    parts = examples.session_parts()
    return tree_lines(one, parts, list(moves), LETTERS, lambda _: attempts, NOW, plain(width))


def listed(width: int) -> list[str]:
    return session_lines(examples.sessions().sessions, LETTERS, NOW, plain(width))


def test_the_list_has_a_row_for_each() -> None:
    head, first, second, third = listed(130)
    assert head.split() == [
        *("PROJECT", "SESSION", "SINCE", "LAST", "TURNS", "AGENTS", "COST", "TARGET", "MODEL"),
        *("CONTEXT", "HITS"),
    ]
    assert first.split() == [
        *("payments-api", "3f8c41aa-1111", "12:41", "14:32", "47", "2", "$13.84"),
        *("B", "eu-role", "opus-5-5", "190.1k", "94", "%"),
    ]
    assert second.split()[5:7] == ["-", "$3.02p"]
    assert third.split()[0] == "-"
    assert "?" in third


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 140])
def test_no_line_is_too_long(width: int) -> None:
    for line in [*listed(width), *tree(width)]:
        assert width_of(line) <= width, line


def test_on_80_columns_cost_is_there() -> None:
    assert "$13.84" in listed(80)[1]
    assert "3f8c41" in listed(80)[1]


def test_another_day_is_told() -> None:
    one = us.Session(session="s", first_at_ms=day("12:00:00") - 86_400_000, last_at_ms=NOW)
    line = session_lines([one], LETTERS, NOW, plain(120))[1]
    assert "Wed 2 Dec  14:32" in line


def test_the_tree_has_main_then_sub_agents_then_the_rest() -> None:
    lines = tree()
    assert lines[0] == (
        "payments-api 3f8c41aa-1111 has cost $13.84 since 12:41: 47 turns, 2 sub-agents."
    )
    assert lines[1] == "It lives at bedrock/eu-role (opus-5-5, 190.1k tokens of prompt)."
    starts = ["main ", "  general-purpose ", "  Explore ", "background "]
    for line, start in zip(lines[4:], starts, strict=False):
        assert line.startswith(start)
    assert "A team-a, B eu-role" in lines[4]
    assert "PROMPT" in lines[3]  # with what is written to and read from caches, unlike INPUT
    assert "$11.02" in lines[4]
    assert any(line.startswith("all") and "$13.84" in line for line in lines)


def test_moves_have_their_reason_and_price() -> None:
    lines = tree(140)
    assert lines[-2] == "MOVED"
    assert lines[-1].startswith("14:27:41 main to B eu-role: ")
    assert "lost $0.97 of cache" in lines[-1]
    assert lines[-1].endswith("ccrelay exchange 07f3a1c")
    assert "MOVED" not in tree(moves=())


def test_one_conversation_has_no_sum_below_it() -> None:
    one = us.Session(session="s", first_at_ms=NOW, turns=1)
    parts = us.QueryResponse(rows=examples.session_parts().rows[:1])
    lines = tree_lines(one, parts, [], LETTERS, lambda _: (), NOW, plain(100))
    assert lines[0] == "s has cost $0 since 14:32: 1 turn."
    assert not any(line.startswith(("all", "It lives")) for line in lines)


def test_an_agent_named_main_is_no_main_conversation() -> None:
    rows = [
        us.UsageRow(group=["main", "subagent", "m", "a/k"]),
        us.UsageRow(group=["", "", "m", "a/k"]),
        us.UsageRow(group=["", "main", "m", "a/k"]),
    ]
    assert [(one.name, one.is_agent) for one in branches(rows)] == [
        *(("main", False), ("main", True), ("other", False)),
    ]
