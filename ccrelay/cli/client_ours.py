"""Which variables of a shell are ours: an earlier `ccrelay env` or `claude` has set them.

Without this a value of ours would be taken for one of the user, and stay: the project of another
folder, a token that was replaced, a window of another configuration. A variable lists them, each
with a digest of its value: one that was changed since is the user's.
"""

import hashlib
from collections.abc import Mapping

from ccrelay.cli.client_project import HEADERS

VARIABLE = "CCRELAY_SET"
_DIGEST_CHARACTERS = 16


def without_ours(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables as they would be without us; of custom headers our lines are left out.

    The list itself is left out, too.
    """
    listed = set(env.get(VARIABLE, "").split())
    found = {}
    for name, value in env.items():
        lines = [line for line in _parts(name, value) if _entry(name, line) not in listed]
        if lines and name != VARIABLE:
            found[name] = "\n".join(lines)
    return found


def marked(before: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """Return variables to set, with the list of those that are ours.

    Args:
        before: variables without ours.
        new: those that are set.
    """
    entries = [
        _entry(name, part)
        for name, value in new.items()
        for part in _parts(name, value)
        if part not in _parts(name, before.get(name))
    ]
    return {**new, VARIABLE: " ".join(entries)}


def changes(env: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str | None]:
    """Return what a shell has to set and, by None, to unset.

    Args:
        env: its variables.
        wanted: what is to be set; what is ours and not among it becomes what it would be without.
    """
    before = without_ours(env)
    gone = {name: before.get(name) for name, value in env.items() if before.get(name) != value}
    return {**gone, **marked(before, wanted)}


def _parts(name: str, value: str | None) -> list[str]:
    if value is None:
        return []
    return value.split("\n") if name == HEADERS else [value]


def _entry(name: str, part: str) -> str:
    digest = hashlib.sha256(part.encode(errors="surrogateescape")).hexdigest()
    return f"{name}={digest[:_DIGEST_CHARACTERS]}"
