import importlib.util
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from ccrelay.cli import connection
from ccrelay.cli.main import cli
from ccrelay.control.client import Client, NoRelay, SeveralRelays
from ccrelay.tui import command
from tests.child import run_code
from tests.unit.cli.test_told_commands import TOLD


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    result = CliRunner().invoke(cli, ["top"])
    assert result.exit_code == 1
    assert "pip install 'ccrelay-proxy[tui]'" in result.output


def test_without_a_terminal_it_says_what_to_use() -> None:
    result = CliRunner().invoke(cli, ["top"])
    assert result.exit_code == 2
    assert "ccrelay top --once" in result.output


@pytest.mark.parametrize(("env", "theme"), [({}, "system"), ({"NO_COLOR": "1"}, "none"),
                                            ({"NO_COLOR": ""}, "system")])  # fmt: skip
def test_no_color_is_heeded(env: dict[str, str], theme: str) -> None:
    assert command._default_theme(env) == theme


def test_a_closed_stream_is_no_terminal() -> None:
    class Closed:
        def isatty(self) -> bool:
            raise ValueError

    assert not command._is_terminal(Closed())
    assert not command._is_terminal(None)


def test_an_unknown_theme_is_refused() -> None:
    result = CliRunner().invoke(cli, ["top", "--theme", "pink"])
    assert result.exit_code == 2


def test_textual_is_loaded_by_nothing_but_the_dashboard() -> None:
    assert importlib.util.find_spec("textual") is not None
    code = (
        "import sys, ccrelay.tui.command, ccrelay.tui.once, ccrelay.tui.dashboard, ccrelay.tui.feed"
        "; print(sorted({name.partition('.')[0] for name in sys.modules}"
        " & {'textual', 'rich', 'grpc', 'asyncio'}))"
    )
    assert run_code(code).stdout.strip() == "[]"


def test_it_stays_with_its_relay_while_others_start(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [Client("/run/a.sock")]

    def connect(env: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(connection, "connect", connect)
    finder = command.Finder({})
    first = finder.find()
    assert finder.find() is first
    finder.forget()
    several = SeveralRelays([Path("/run/a.sock"), Path("/run/b.sock")])
    answers += [several, SeveralRelays([Path("/run/b.sock"), Path("/run/c.sock")]), NoRelay("no")]
    assert finder.find().where == "/run/a.sock"  # type: ignore[attr-defined]
    for kind in (SeveralRelays, NoRelay):
        finder.forget()
        with pytest.raises(kind):
            finder.find()


def test_commands_that_are_told_exist() -> None:
    told = set()
    for file in Path(command.__file__).parent.glob("*.py"):
        told |= {found[1].strip() for found in TOLD.finditer(file.read_text())}
    missing = []
    for text in told - {"claude"}:  # the launcher, which is a command of its own
        found: Any = cli
        for word in text.split():
            if not isinstance(found, click.Group):
                break
            found = found.get_command(click.Context(found), word)
            if found is None:
                missing.append(text)
                break
    assert missing == []
    assert len(told) > 10
