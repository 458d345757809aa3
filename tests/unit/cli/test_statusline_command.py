"""The status line as a command of the overview."""

import pytest

from ccrelay.cli import statusline
from tests.unit.cli.running import run


@pytest.mark.parametrize(
    ("arguments", "given"), [([], []), (["--socket", "/s"], ["--socket", "/s"])]
)
def test_it_hands_over(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], given: list[str]
) -> None:
    went: list[list[str]] = []
    monkeypatch.setattr(statusline, "main", went.append)
    run("statusline", *arguments)
    assert went == [given]
