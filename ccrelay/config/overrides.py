"""Settings that were changed at run time, over what the file says."""

from typing import Literal

import msgspec
from msgspec.structs import replace

from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.model import Config, Key, Provider

Setting = Literal["enabled", "weight"]


class Override(msgspec.Struct, frozen=True):
    """One changed setting.

    Args:
        provider: its name.
        key: fingerprint of the key; empty: the provider's own setting.
        setting: which one. `weight` is that of a key.
        value: the new value; 0 and 1 for `enabled`.
        set_at_ms: when, since 1970.
    """

    provider: str
    key: str
    setting: Setting
    value: int
    set_at_ms: int


def apply_overrides(config: Config, overrides: list[Override]) -> Config:
    """The configuration with overrides applied.

    Those of providers and keys that are gone do nothing.
    """
    if not overrides:
        return config
    return replace(config, providers=[_provider(one, overrides) for one in config.providers])


def _provider(provider: Provider, overrides: list[Override]) -> Provider:
    own = [override for override in overrides if override.provider == provider.name]
    if not own:
        return provider
    enabled = provider.enabled
    for override in own:
        if not override.key and override.setting == "enabled":
            enabled = bool(override.value)
    return replace(provider, enabled=enabled, keys=[_key(key, own) for key in provider.keys])


def _key(key: Key, overrides: list[Override]) -> Key:
    shown = fingerprint(key.key)
    for override in overrides:
        if override.key == shown:
            if override.setting == "enabled":
                key = replace(key, enabled=bool(override.value))
            else:
                key = replace(key, weight=override.value)
    return key
