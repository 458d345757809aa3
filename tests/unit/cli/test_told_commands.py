"""What `ccrelay doctor`, notices and errors tell users to type: commands that exist."""

import re
from pathlib import Path

import click
import pytest

import ccrelay
from ccrelay.cli.main import cli

ROOT = Path(ccrelay.__file__).parent
# Inside quotes or backticks, up to what is filled in.
TOLD = re.compile(r"[\"'`(:] ?ccrelay ((?:[a-z][a-z-]* ?)+)")
PROSE = {"import", "cannot", "without", "answers", "itself", "is", "and", "doctor again"}


def told() -> list[str]:
    files = [*ROOT.glob("cli/*.py"), *ROOT.glob("manager/*.py"), *ROOT.glob("runtime/*.py")]
    found = {m[1].strip() for file in files for m in TOLD.finditer(file.read_text())}
    return sorted(text for text in found if text.split()[0] not in PROSE)


@pytest.mark.parametrize("text", told())
def test_commands_that_are_told_exist(text: str) -> None:
    command: click.Command = cli
    for word in text.split():
        if not isinstance(command, click.Group):
            return  # arguments
        found = command.get_command(click.Context(command), word)
        assert found is not None, f"no such command: ccrelay {text}"
        command = found


def test_some_are_told() -> None:
    assert "keys clear-cooldown" in told()
