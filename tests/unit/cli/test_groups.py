"""Unknown commands and options suggest what was meant."""

import pytest

from ccrelay.cli.groups import unknown
from ccrelay.cli.main import COMMANDS
from tests.unit.cli.running import run


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("stauts", "status"),
        ("exchnages", "exchanges"),
        ("sevre", "serve"),
        ("provider", "providers"),
        ("reload!", "reload"),
    ],
)
def test_the_nearest_command_is_suggested(typed: str, meant: str) -> None:
    ended = run(typed)
    assert ended.exit_code == 2
    assert f"No such command {typed!r}. Did you mean {meant!r}?" in ended.stderr


def test_nothing_is_suggested_that_is_not_near() -> None:
    assert unknown("xyzzy", COMMANDS) == "No such command 'xyzzy'."


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["status", "--jsn"], "--json"),
        (["exchanges", "--folow"], "--follow"),
        (["usage", "--sinse", "7d"], "--since"),
    ],
)
def test_the_nearest_option_is_suggested(arguments: list[str], meant: str) -> None:
    ended = run(*arguments)
    assert ended.exit_code == 2
    assert meant in ended.stderr


def test_a_typed_name_cannot_control_the_terminal() -> None:
    ended = run("a\x1b[2J")
    assert "\x1b" not in ended.stderr


@pytest.mark.parametrize("group", ["config", "keys", "overrides", "providers", "route"])
def test_subcommands_are_suggested(group: str) -> None:
    listed = run(group, "--help").stdout
    assert "Commands:" in listed
    assert run(group, "xplain").exit_code == 2


@pytest.mark.parametrize("group", ["config", "keys", "overrides", "providers", "route"])
def test_no_description_of_a_command_is_cut(group: str) -> None:
    shown = run(group, "--help", env={"COLUMNS": "80"}).stdout
    assert "..." not in shown.partition("Commands:")[2]
