"""Targets as records name them: `provider/key`, in lists that are taken apart at spaces and `=`."""

from collections.abc import Iterable

# Of a list: what `_fast.record_ring` writes of one, less room for what stands behind a name.
LIST_CHARS_MAX = 1900
NAME_CHARS_MAX = 64
_SEPARATORS = frozenset(" =/")


def plain(name: str) -> str:
    """A name without what separates names; bounded."""
    return "".join(
        char if char.isprintable() and char not in _SEPARATORS else "_"
        for char in name[:NAME_CHARS_MAX]
    )


def target_name(provider: str, key: str) -> str:
    """`provider/key` of a provider's name and a key's name or fingerprint."""
    return f"{plain(provider)}/{plain(key)}"


def listed(items: Iterable[str]) -> str:
    """Items separated by spaces; those at the end are left out of a list that gets too long."""
    found: list[str] = []
    size = 0
    for item in items:
        size += len(item.encode("utf-8", "replace")) + 1
        if size > LIST_CHARS_MAX:
            break
        found.append(item)
    return " ".join(found)
