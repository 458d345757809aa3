"""Whatever the relay tells, of clients and of providers, controls no terminal: in every table."""

from collections.abc import Iterator

import pytest

from ccrelay.cli import exchanges_view, keys_view, route_live, sessions_view, status_view
from ccrelay.cli.exchange_view import exchange_lines
from ccrelay.cli.screen import Screen
from ccrelay.cli.table import Cell, Column, draw
from ccrelay.cli.time_range import Range
from ccrelay.cli.under_way import running_lines
from ccrelay.cli.usage_view import usage_lines
from ccrelay.config.letters import letters as letters_of
from tests.unit.cli import examples
from tests.unit.cli.served import day, plain, status
from tests.unit.cli.spoiled import EVIL, Spoil, spoiler
from tests.unit.tui.design import attempts_of_failed, running, sessions

NOW = day("14:32:08")


def everything(spoil: Spoil, screen: Screen) -> Iterator[list[str]]:
    """Lines of all commands."""
    told = spoil(status())
    letters = letters_of(one.name for one in told.providers)
    tries = [spoil(one) for one in attempts_of_failed()]
    rows = exchanges_view.Rows(screen, letters, lambda _: tries)
    exchanges = spoil(examples.exchanges())
    listed = spoil(sessions()).sessions
    parts = spoil(examples.session_parts())
    yield status_view.status_lines(told, screen)
    yield keys_view.providers_lines(told.providers, NOW, screen)
    yield keys_view.keys_lines(told.providers, NOW, screen)
    yield usage_lines(spoil(examples.usage()), ["model"], Range(0, 0), NOW, screen)
    yield exchange_lines(spoil(examples.detail()), screen)
    for burst in exchanges_view.fold(exchanges):
        yield rows.lines(burst, NOW)
    yield running_lines(spoil(running()), rows, letters, screen)
    yield sessions_view.session_lines(listed, letters, NOW, screen)
    yield sessions_view.tree_lines(
        listed[0], parts, exchanges[:3], letters, lambda _: tries, NOW, screen
    )
    yield route_live.live_lines(spoil(examples.explanation()), f"m{EVIL}", NOW, screen)


@pytest.mark.parametrize("texts", [(EVIL, EVIL), ("", EVIL)], ids=["around", "behind"])
@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_answer_controls_the_terminal(width: int, texts: tuple[str, str]) -> None:
    for lines in everything(spoiler(*texts), plain(width)):
        for line in lines:
            assert line.isprintable(), line


@pytest.mark.parametrize("width", [4, 10, 40])
def test_a_table_shows_nothing_else_than_what_is_printable(width: int) -> None:
    cell = Cell(f"long {EVIL} text", shorter=(f"a{EVIL}",))
    lines = draw([Column("A", shrink_to=3), Column("B", shrink_to=2)], [[cell, cell]], plain(width))
    assert all(line.isprintable() for line in lines)
