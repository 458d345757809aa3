"""Allocation of the shared memory: a slot per target and per endpoint, a column per worker process.

Slots are assigned by identity, a digest of provider, URL and secret, so that a credential keeps its
slot over reloads and upgrades, and with it its rate windows and cooldown. A freed slot is reused as
late as possible: exchanges that started before still write to it, and a credential that is
configured again finds its state there.
"""

import hashlib
import os
import sys
from collections.abc import Iterable, Sequence

import msgspec

from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import Config, Provider
from ccrelay.config.problems import ConfigError, Problem
from ccrelay.fleet.layout import Layout

# Every credential can be replaced three times before a freed slot is reused.
HEADROOM = 4
TARGETS_MIN = 256
ENDPOINTS_MIN = 64
BINDINGS = 16_384  # entries of the affinity table, 64 bytes each
# Of workers: three may still be draining (two upgrades, workers sent SIGTERM) beside the newest.
GENERATIONS = 4


class SlotAllocator(msgspec.Struct):
    """Assigns `count` slots to identities.

    `freed` holds (identity, slot) pairs, the one freed first at the front; slots from `unused` on
    have never been assigned.
    """

    count: int
    assigned: dict[str, int] = {}
    freed: list[tuple[str, int]] = []
    unused: int = 0

    def assign(self, identities: Iterable[str]) -> list[int]:
        """Assign a slot to each of these identities, and free all others.

        At most `count` different identities. An identity whose slot has not been reused gets it
        back. Returns the reused slots: they hold the state of another identity and must be cleared.
        """
        wanted = dict.fromkeys(identities)
        known = dict(self.freed) | self.assigned
        freed = [entry for entry in self.freed if entry[0] not in wanted]
        freed += [entry for entry in self.assigned.items() if entry[0] not in wanted]
        assigned = {identity: known[identity] for identity in wanted if identity in known}
        reused: list[int] = []
        for identity in wanted:
            if identity in assigned:
                continue
            if self.unused < self.count:
                assigned[identity] = self.unused
                self.unused += 1
            else:
                assigned[identity] = freed.pop(0)[1]
                reused.append(assigned[identity])
        self.assigned = assigned
        self.freed = freed
        return reused


class Allocations(msgspec.Struct):
    """Slots and columns of one memory that are in use; part of the `Handover` of an upgrade."""

    targets: SlotAllocator
    endpoints: SlotAllocator
    columns: list[int] = []


class MemoryAllocator:
    """One shared memory, its descriptor `fd`, and its allocations.

    Args:
        fd: descriptor of a formatted memory; closed by `close`.
        allocations: those of an earlier image; None when nothing is allocated.
        older: descriptors of memories that were replaced, the newest first: workers of earlier
            images write their records there. Closed by `close`, too.

    Raises ValueError when the memory has the format of another version.
    """

    def __init__(
        self, fd: int, allocations: Allocations | None = None, older: Sequence[int] = ()
    ) -> None:
        self.fd = fd
        self.older = list(older)
        self.memory = SharedMemory(fd)
        self.allocations = allocations or Allocations(
            SlotAllocator(self.memory.targets), SlotAllocator(self.memory.endpoints)
        )

    @classmethod
    def create(cls, config: Config) -> "MemoryAllocator":
        """Create a memory sized for this configuration and later changes. Raises OSError."""
        fd = anonymous_file()
        try:
            SharedMemory.format(
                fd,
                workers=GENERATIONS * config.server.workers + GENERATIONS,
                targets=max(TARGETS_MIN, HEADROOM * len(set(_target_identities(config)))),
                endpoints=max(ENDPOINTS_MIN, HEADROOM * len(config.providers)),
                bindings=BINDINGS,
            )
            return cls(fd)
        except BaseException:
            os.close(fd)
            raise

    def capacity_error(self, config: Config) -> str | None:
        """Why an upgrade to `config` needs a larger memory; None when slots and columns suffice."""
        if _slot_shortage(self.allocations, config):
            return "too small for this configuration"
        running, workers = len(self.allocations.columns), config.server.workers
        if self.memory.workers - running <= workers:
            return f"too few columns for {workers} more workers beside the {running} that still run"
        return None

    def assign_layout(self, config: Config) -> Layout:
        """Assign a slot to every target and endpoint, and clear the reused ones.

        Raises ConfigError when there are not enough slots; nothing has changed then.
        """
        if error := _slot_shortage(self.allocations, config):
            raise ConfigError([Problem(message=error)])
        reused = self.allocations.targets.assign(_target_identities(config))
        if reused:
            self._clear_targets(reused)
        for slot in self.allocations.endpoints.assign(map(_endpoint_identity, config.providers)):
            self.memory.clear_endpoint(slot)
        targets, endpoints = self.allocations.targets.assigned, self.allocations.endpoints.assigned
        return Layout(
            {p.name: [targets[name] for name in _identities(p)] for p in config.providers},
            {p.name: endpoints[_endpoint_identity(p)] for p in config.providers},
        )

    def acquire_column(self) -> int | None:
        """Allocate the column of a new worker process; None when all are in use."""
        assigned = self.allocations.columns
        free = next((c for c in range(self.memory.workers) if c not in assigned), None)
        if free is not None:
            assigned.append(free)
        return free

    def release_column(self, column: int) -> int:
        """Free the column of a reaped process; returns the exchanges that it had in flight."""
        self.allocations.columns.remove(column)
        return self.memory.clear_worker(column)

    def clear_refused(self, layout: Layout) -> int:
        """Clear the cooldown of keys that a provider refused (401, 403); returns their number."""
        from ccrelay._fast.rate_limits import Cooldown, TargetLimits  # at reloads only
        from ccrelay._fast.refusals import Refusals

        slots = {slot for slots in layout.targets.values() for slot in slots}
        limits = [TargetLimits(self.memory, slot) for slot in sorted(slots)]
        refused = [limit for limit in limits if limit.cooldown_reason == Cooldown.REFUSED]
        for limit in refused:
            Refusals(limit).clear()
        return len(refused)

    def forget_refused_features(self, providers: Iterable[str]) -> int:
        """Try again what these providers refused of requests; returns how much that is."""
        from ccrelay.fleet.refused_features import RefusedFeatures  # at reloads only

        refused = RefusedFeatures(self.memory)
        return sum(refused.forget(name) for name in providers)

    def close(self) -> None:
        """Close the descriptors. Idempotent."""
        for fd in (self.fd, *self.older):
            if fd >= 0:
                os.close(fd)
        self.fd = -1
        self.older = []

    def _clear_targets(self, targets: list[int]) -> None:
        from ccrelay._fast.affinity_table import (
            AffinityTable,
        )  # imported only when slots are reused

        table = AffinityTable(self.memory)
        for slot in targets:
            self.memory.clear_target(slot)
            table.forget_slot(slot)  # the prompt caches belong to the old credential


def anonymous_file() -> int:
    """Descriptor of an anonymous memory file. Raises OSError."""
    if sys.platform == "linux":
        return os.memfd_create("ccrelay", os.MFD_CLOEXEC)
    import tempfile  # imports 0.5 MB of modules

    with tempfile.TemporaryFile(prefix="ccrelay-") as file:
        return os.dup(file.fileno())


def _slot_shortage(allocations: Allocations, config: Config) -> str | None:
    # Keys of one provider with the same secret share a slot, as they share the provider's limits.
    counts = {
        "keys": (len(set(_target_identities(config))), allocations.targets.count),
        "providers": (
            len(set(map(_endpoint_identity, config.providers))),
            allocations.endpoints.count,
        ),
    }
    for kind, (count, capacity) in counts.items():
        if count > capacity:
            return (
                f"{count} {kind} exceed the capacity of the shared memory ({capacity}): "
                "send SIGUSR2 to the supervisor, or restart it"
            )
    return None


def _target_identities(config: Config) -> list[str]:
    return [name for provider in config.providers for name in _identities(provider)]


def _identities(provider: Provider) -> list[str]:
    secrets = [key.key for key in provider.keys] or [""]
    return [_digest(provider.name, provider.base_url or "", secret) for secret in secrets]


def _endpoint_identity(provider: Provider) -> str:
    return _digest(provider.name, provider.base_url or "")


def _digest(*parts: str) -> str:
    # surrogatepass: as in config.fingerprint.
    data = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).hexdigest()
