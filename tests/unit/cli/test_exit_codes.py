"""The one table of exit codes."""

import re
import signal

from ccrelay.cli import exit_codes
from tests.pages import rows, section, text_of


def test_signals_are_those_of_shells() -> None:
    assert exit_codes.INTERRUPTED == 128 + signal.SIGINT
    assert exit_codes.PIPE_CLOSED == 128 + signal.SIGPIPE


def test_every_code_has_its_meaning() -> None:
    codes = {
        value for name, value in vars(exit_codes).items() if name.isupper() and name != "MEANINGS"
    }
    assert codes == exit_codes.MEANINGS.keys()


def test_the_page_shows_the_table() -> None:
    shown = rows(section(text_of("cli.md"), "## Exit codes"))
    pairs = [re.fullmatch(r"\| (\d+) \| (.*) \|", row) for row in shown]
    assert {int(pair[1]): pair[2] for pair in pairs if pair} == exit_codes.MEANINGS
