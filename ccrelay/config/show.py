"""The effective configuration as plain data, secrets as fingerprints."""

from collections.abc import Iterable
from typing import Any

import msgspec

from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import Auth, Config, Key, Provider
from ccrelay.config.problems import Path

NOT_RUN = "(of a command that is not run here)"


def redacted(config: Config, *, not_run: Iterable[Path] = ()) -> dict[str, Any]:
    """Return the configuration as plain data that is safe to print.

    Keys, relay tokens and values of static headers, which may be credentials, are replaced by
    fingerprints; members that are None are omitted.

    Args:
        config: resolved.
        not_run: places of values that only a command could tell.
    """
    plain: dict[str, Any] = _plain(config)
    for *way, last in not_run:
        place: Any = plain
        for part in way:
            place = place[part]
        place[last] = NOT_RUN
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        hidden = _hidden(value)
        members = {name: getattr(value, name) for name in value.__struct_fields__}
        return {
            name: hidden.get(name, _plain(member))
            for name, member in members.items()
            if member is not None
        }
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _hidden(section: msgspec.Struct) -> dict[str, Any]:
    """Return the redacted values of the secret members of a section."""
    if isinstance(section, Key):
        return {"key": fingerprint(section.key)}
    if isinstance(section, Auth):
        return {"tokens": [fingerprint(token) for token in section.tokens]}
    if isinstance(section, Provider):
        return {"headers": {name: fingerprint(v) for name, v in section.headers.items()}}
    return {}
