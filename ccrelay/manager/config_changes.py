"""What differs between two configurations, one line for each setting; secrets are not shown."""

from collections.abc import Iterator
from typing import Any

import msgspec

from ccrelay.config.model import Config
from ccrelay.config.placeholders import is_secret
from ccrelay.config.problems import Path, quoted
from ccrelay.config.show import shown_url

LINES_MAX = 200


def config_changes(before: Config, raw_before: Any, after: Config, raw_after: Any) -> list[str]:
    """The lines, in the order of the new configuration.

    Args:
        before: resolved.
        raw_before: the data of its file, before `${...}` are filled in: what is secret is compared
            by it, because the values may not be known here.
        after: resolved.
        raw_after: the data of its file.
    """
    old = dict(_leaves(_plain(before), raw_before))
    new = dict(_leaves(_plain(after), raw_after))
    lines = list(_lines(old, new))
    if len(lines) > LINES_MAX:
        return [*lines[:LINES_MAX], f"and {len(lines) - LINES_MAX} more"]
    return lines


def _lines(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    added, removed = _providers(new) - _providers(old), _providers(old) - _providers(new)
    yield from (f"providers.{name}: added" for name in _in_order(new, added))
    yield from (f"providers.{name}: removed" for name in _in_order(old, removed))
    skipped = {f"providers.{name}" for name in added | removed}
    for place in dict.fromkeys([*new, *old]):
        if ".".join(place.split("\0")[:2]) in skipped:
            continue
        one, other = old.get(place), new.get(place)
        if repr(one) != repr(other):
            yield f"{place.replace(chr(0), '.')}: {_change(one, other)}"


def _change(one: Any, other: Any) -> str:
    if isinstance(one, _Secret) or isinstance(other, _Secret):
        if one is None:
            return "added"
        return "removed" if other is None else "changed"
    if one is None:
        return f"{_shown(other)} (was not set)"
    if other is None:
        return f"not set (was {_shown(one)})"
    return f"{_shown(other)} (was {_shown(one)})"


def _plain(value: Any) -> Any:
    """Structs as mappings, with their defaults."""
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value).strip('"') if isinstance(value, str) else str(value)


def _providers(leaves: dict[str, Any]) -> set[str]:
    return {place.split("\0")[1] for place in leaves if place.startswith("providers\0")}


def _in_order(leaves: dict[str, Any], names: set[str]) -> list[str]:
    found = dict.fromkeys(
        place.split("\0")[1] for place in leaves if place.startswith("providers\0")
    )
    return [name for name in found if name in names]


class _Secret(msgspec.Struct, frozen=True):
    """What stands for a value that is not shown."""

    raw: str


def _leaves(data: Any, raw: Any, path: Path = (), names: tuple[str, ...] = ()) -> Iterator[Any]:
    if isinstance(data, dict) and data:
        for name, value in data.items():
            inner = raw.get(name) if isinstance(raw, dict) else None
            yield from _leaves(value, inner, (*path, name), (*names, str(name)))
    elif isinstance(data, list) and any(isinstance(item, dict) for item in data):
        for index, item in enumerate(data):
            inner = raw[index] if isinstance(raw, list) and index < len(raw) else None
            yield from _leaves(item, inner, (*path, index), (*names, _label(item, index, path)))
    else:
        yield "\0".join(names), _leaf(data, raw, path)


def _leaf(data: Any, raw: Any, path: Path) -> Any:
    if data in ({}, []):
        return None
    if is_secret(path) or path[-2:-1] == ("headers",):
        return _Secret(repr(raw))
    if path[:3] == ("server", "auth", "tokens"):
        return _Secret(repr(raw))
    if path[:1] == ("providers",) and path[-1:] == ("base_url",) and isinstance(data, str):
        return shown_url(data)
    return data


def _label(item: Any, index: int, path: Path) -> str:
    """The name of a provider or key, where it has one: an added one does not shift the others."""
    name = item.get("name") if isinstance(item, dict) else None
    if isinstance(name, str) and path in (("providers",), (*path[:2], "keys")):
        return name
    return str(index)
