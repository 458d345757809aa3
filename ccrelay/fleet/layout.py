"""Slots in shared memory: one per target, one per endpoint.

Assigned by the supervisor and sent to every worker, so that all use the same slots.
"""

import msgspec

from ccrelay.config.model import Config


class Layout(msgspec.Struct, frozen=True):
    """Slots by provider name.

    Args:
        targets: one slot per entry of the provider's `keys`, in order, disabled ones included; a
            provider without keys has one.
        endpoints: one slot.
    """

    targets: dict[str, list[int]]
    endpoints: dict[str, int]

    @classmethod
    def of(cls, config: Config) -> "Layout":
        """Consecutive slots, for a process that does not share its memory."""
        targets: dict[str, list[int]] = {}
        taken = 0
        for provider in config.providers:
            count = max(1, len(provider.keys))
            targets[provider.name] = list(range(taken, taken + count))
            taken += count
        endpoints = {provider.name: slot for slot, provider in enumerate(config.providers)}
        return cls(targets, endpoints)
