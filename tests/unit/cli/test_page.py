"""docs/cli.md is what the commands say, and has all of them."""

import re

import click
import pytest

from ccrelay.cli.main import cli
from ccrelay.cli.page import SHARED, options_of, page
from tests.pages import rows, section, text_of


def acting(group: click.Group, path: str = "") -> dict[str, click.Command]:
    """Every command that does something, by the words that call it."""
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        words = f"{path} {name}".strip()
        if not isinstance(command, click.Group) or command.invoke_without_command:
            found[words] = command
        if isinstance(command, click.Group):
            found |= acting(command, words)
    return found


ACTING = acting(cli)


def test_the_page_is_up_to_date() -> None:
    assert text_of("cli.md") == page(), "run: python -m ccrelay.cli.page > docs/cli.md"


@pytest.mark.parametrize("name", ACTING)
def test_a_command_has_one_row_with_its_options(name: str) -> None:
    shown = section(text_of("cli.md"), "## Commands")
    begins = re.compile(rf"^\| `{re.escape(name)}(`| [^a-z])")
    [row] = [row for row in rows(shown) if begins.match(row)]
    assert re.findall(r"`(--[\w-]+)`", row) == options_of(ACTING[name])


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_option_is_explained(name: str) -> None:
    assert any(f"`{name}" in row for row in rows(section(text_of("cli.md"), "## Shared options")))
    assert any(name in option.opts for one in ACTING.values() for option in one.params)
