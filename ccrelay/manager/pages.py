"""Pages of a list that is ordered by a falling number."""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from ccrelay.manager.errors import invalid

Item = TypeVar("Item")
_TOKEN = re.compile(r"before-([0-9]{1,18})\Z", re.ASCII)


def page(
    items: Sequence[Item], size: int, token: str, number_of: Callable[[Item], int]
) -> tuple[Sequence[Item], str]:
    """One page, and the token of the next; empty: this is the last.

    Args:
        items: the highest number first.
        size: at most so many.
        token: of the page before; empty: the first page.
        number_of: the number of an item. New ones do not shift what is left.

    Raises:
        Refused: INVALID_ARGUMENT, not a token of this list.
    """
    if token:
        found = _TOKEN.match(token)
        if found is None:
            raise invalid("The page token is not one of this list: leave it out to start again.")
        below = int(found[1])
        items = [item for item in items if number_of(item) < below]
    shown = items[:size]
    more = len(items) > size
    return shown, f"before-{number_of(shown[-1])}" if more else ""
