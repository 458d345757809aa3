"""Compares two resolved configurations for a reload; the result contains no secrets."""

from collections.abc import Iterator
from typing import Any

import msgspec

from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import Config, Key, Provider

# Listening sockets, worker count and log output are fixed at startup.
NEEDS_RESTART = (
    *("server.listen", "server.workers", "logging.format", "logging.file", "logging.exchanges"),
    *("management.enabled", "management.listen"),
)


class Diff(msgspec.Struct, frozen=True, kw_only=True):
    """Names of providers, fingerprints of keys, dotted paths of settings; no values.

    Added and removed keys do not make their provider a changed one.
    """

    providers_added: tuple[str, ...] = ()
    providers_removed: tuple[str, ...] = ()
    providers_changed: tuple[str, ...] = ()
    keys_added: dict[str, tuple[str, ...]] = {}  # unchanged provider name -> fingerprints
    keys_removed: dict[str, tuple[str, ...]] = {}
    settings: tuple[str, ...] = ()  # changed, applied by a reload
    needs_restart: tuple[str, ...] = ()  # changed, applied by a restart or upgrade

    @property
    def is_empty(self) -> bool:
        """Whether there is no difference."""
        return self == Diff()


def changes(old: Config, new: Config) -> Diff:
    """Compare two resolved configurations."""
    before = {provider.name: provider for provider in old.providers}
    after = {provider.name: provider for provider in new.providers}
    stay = [name for name in after if name in before]
    settings = list(_settings(old, new, ""))
    if stay != [name for name in before if name in after]:
        settings.append("providers")  # their order, which failover uses
    return Diff(
        providers_added=tuple(name for name in after if name not in before),
        providers_removed=tuple(name for name in before if name not in after),
        providers_changed=tuple(n for n in stay if _is_changed(before[n], after[n])),
        keys_added=_missing({name: (after[name], before[name]) for name in stay}),
        keys_removed=_missing({name: (before[name], after[name]) for name in stay}),
        settings=tuple(path for path in settings if not _is_fixed(path)),
        needs_restart=tuple(path for path in settings if _is_fixed(path)),
    )


def _settings(old: msgspec.Struct, new: msgspec.Struct, prefix: str) -> Iterator[str]:
    """Yield the paths of members that differ; a list or mapping is one setting."""
    for name in old.__struct_fields__:
        if prefix + name == "providers":
            continue
        one, other = getattr(old, name), getattr(new, name)
        if isinstance(one, msgspec.Struct) and isinstance(other, msgspec.Struct):
            yield from _settings(one, other, f"{prefix}{name}.")
        elif not _same(one, other):
            yield prefix + name


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one.items()) == list(
            other.items()
        )  # the order matters where the first match wins
    return bool(one == other)


def _is_changed(old: Provider, new: Provider) -> bool:
    """Whether anything but added and removed keys differs."""
    both = {key.key for key in old.keys} & {key.key for key in new.keys}

    def rest(provider: Provider) -> Provider:
        keys = [key for key in provider.keys if key.key in both]
        return msgspec.structs.replace(provider, keys=keys)

    return any(_settings(rest(old), rest(new), ""))


def _missing(pairs: dict[str, tuple[Provider, Provider]]) -> dict[str, tuple[str, ...]]:
    """Return the fingerprints of the keys that only the first provider of each pair has."""
    found: dict[str, tuple[str, ...]] = {}
    for name, (provider, other) in pairs.items():
        known = {key.key for key in other.keys}
        keys: list[Key] = [key for key in provider.keys if key.key not in known]
        if keys:
            found[name] = tuple(fingerprint(key.key) for key in keys)
    return found


def _is_fixed(path: str) -> bool:
    return any(path == fixed or path.startswith(f"{fixed}.") for fixed in NEEDS_RESTART)
