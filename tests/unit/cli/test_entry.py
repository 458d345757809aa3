"""What goes where: the status line past click, everything else to the command line."""

import sys

import pytest

from ccrelay.cli import entry, main, statusline


@pytest.mark.parametrize(
    ("arguments", "way"),
    [
        (["statusline"], ("statusline", [])),
        (["statusline", "--socket", "/s"], ("statusline", ["--socket", "/s"])),
        (["statusline", "--help"], ("click", None)),
        (["statusline", "-h"], ("click", None)),
        (["status"], ("click", None)),
        ([], ("click", None)),
        (["status", "statusline"], ("click", None)),
    ],
)
def test_where_a_command_goes(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], way: tuple[str, list[str] | None]
) -> None:
    went: list[tuple[str, list[str] | None]] = []
    monkeypatch.setattr(sys, "argv", ["ccrelay", *arguments])
    monkeypatch.setattr(statusline, "main", lambda given: went.append(("statusline", given)))
    monkeypatch.setattr(main, "main", lambda: went.append(("click", None)))
    entry.main()
    assert went == [way]
