"""The list of overrides as it is changed and shown: pure functions.

The supervisor holds the list in force (`config.overrides`); here the next one is made.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import Config
from ccrelay.config.overrides import Override, Setting
from ccrelay.v1 import providers_pb2 as v1


class FileValues(Protocol):
    """What the configuration file says."""

    def value(self, provider: str, key: int | None, setting: Setting) -> int | str | None:
        """The file's value of a setting, 0 and 1 for `enabled`; text where it is an expression;
        None: not known. `key`: its index, None for the provider's own setting."""


def with_override(
    overrides: Sequence[Override], new: Override, file_value: object
) -> list[Override]:
    """The list with one more; it replaces one of the same setting.

    One that says what the file says is none: then the list is without that setting.
    """
    kept = [one for one in overrides if not _same_setting(one, new)]
    return kept if file_value == new.value else [*kept, new]


def _same_setting(one: Override, other: Override) -> bool:
    return (one.provider, one.key, one.setting) == (other.provider, other.key, other.setting)


def override_id(config: Config, override: Override) -> str:
    """Its name in calls: `zai.enabled`, `zai/key-2.weight`."""
    subject = override.provider
    if override.key:
        subject += f"/{_key_name(config, override)}"
    return f"{subject}.{override.setting}"


def _key_name(config: Config, override: Override) -> str:
    """The key's name, where it is unique within its provider; else the fingerprint."""
    for provider in config.providers:
        if provider.name == override.provider:
            names = [key.name for key in provider.keys]
            for key in provider.keys:
                if fingerprint(key.key) == override.key and key.name and names.count(key.name) == 1:
                    return key.name
    return override.key


def key_index(config: Config, override: Override) -> int | None:
    """Index of its key in the configuration; None: there is none."""
    for provider in config.providers:
        if provider.name == override.provider:
            for index, key in enumerate(provider.keys):
                if fingerprint(key.key) == override.key:
                    return index
    return None


def message(config: Config, override: Override, values: FileValues) -> v1.Override:
    """An override as clients see it."""
    index = key_index(config, override) if override.key else None
    told = None
    if not override.key or index is not None:
        told = values.value(override.provider, index, override.setting)
    return v1.Override(
        id=override_id(config, override),
        provider=override.provider,
        key=override.key,
        setting=override.setting,
        value=shown(override.setting, override.value),
        file_value="" if told is None else shown(override.setting, told),
        set_at_ms=override.set_at_ms,
    )


def shown(setting: Setting, value: int | str) -> str:
    """A value as the configuration has it."""
    if isinstance(value, str):
        return value
    if setting == "enabled":
        return "true" if value else "false"
    return str(value)


def chosen(
    config: Config, overrides: Sequence[Override], ids: Iterable[str]
) -> tuple[list[Override], list[str]]:
    """The overrides that are meant, all for no id, and the ids that no override has.

    An id may name the key by name or fingerprint.
    """
    wanted = list(ids)
    if not wanted:
        return list(overrides), []
    by_id: dict[str, Override] = {}
    for one in overrides:
        if one.key:
            by_id[f"{one.provider}/{one.key}.{one.setting}"] = one
        by_id[override_id(config, one)] = one
    found = [one for one in overrides if one in [by_id.get(name) for name in wanted]]
    return found, [name for name in wanted if name not in by_id]
