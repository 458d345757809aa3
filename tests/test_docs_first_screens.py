"""Compares what the page for beginners shows with what the command prints.

The output is of a real relay before a mock provider; here its columns are compared with the view.
"""

import pytest

from ccrelay.cli.status_view import status_lines
from tests.pages import FENCE, text_of
from tests.unit.cli.served import plain, status, zone

pytestmark = pytest.mark.usefixtures("zone")
__all__ = ["zone"]

WINDOWS = (" 5 H", " 7 D")
WIDE = 140


def block(page: str, words: str) -> str:
    """The block of a page that has these words."""
    [found] = [match[2] for match in FENCE.finditer(page) if words in match[2]]
    return found


FIRST_SCREEN = block(text_of("getting-started.md"), "demo/none ")


def heading(text: str, word: str) -> list[str]:
    """The columns of the table whose first one is named so."""
    [line] = [line for line in text.splitlines() if line.split()[:1] == [word]]
    return line.split()


def test_the_status_has_the_columns_of_the_view() -> None:
    printed = "\n".join(status_lines(status(), plain(WIDE)))
    for window in WINDOWS:
        printed = printed.replace(window, "")
    assert heading(FIRST_SCREEN, "KEY") == heading(printed, "KEY")


def test_no_line_of_the_first_screen_is_wider_than_a_page() -> None:
    assert max(map(len, FIRST_SCREEN.splitlines())) <= 100
