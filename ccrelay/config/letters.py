"""Letters that stand for providers where there is little room: the same ones everywhere."""

from collections.abc import Iterable

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def letters(names: Iterable[str]) -> dict[str, str]:
    """Return a letter for each provider, by its name where that is free; `?` when all are taken.

    Args:
        names: of all providers, in the order of the configuration, also of those that are disabled.
    """
    found: dict[str, str] = {}
    for name in names:
        wanted = [char for char in name.upper() if char in _LETTERS]
        free = (char for char in [*wanted, *_LETTERS] if char not in found.values())
        found[name] = next(free, "?")
    return found
