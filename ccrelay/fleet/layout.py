"""Which slots of the shared memory belong to whom: one per target, one per endpoint.

The supervisor decides it and every worker reads it, so that all of them write to the same words.
"""

import msgspec

from ccrelay.config.model import Config


class Layout(msgspec.Struct, frozen=True):
    """Slots by provider name.

    Args:
        targets: one slot for each entry of the provider's `keys`, in their order, disabled ones
            too; a provider without keys has one.
        endpoints: one slot.
    """

    targets: dict[str, list[int]]
    endpoints: dict[str, int]

    @classmethod
    def of(cls, config: Config) -> "Layout":
        """Number them one after the other: for a process that shares its memory with nobody."""
        targets: dict[str, list[int]] = {}
        taken = 0
        for provider in config.providers:
            count = max(1, len(provider.keys))
            targets[provider.name] = list(range(taken, taken + count))
            taken += count
        endpoints = {provider.name: slot for slot, provider in enumerate(config.providers)}
        return cls(targets, endpoints)
