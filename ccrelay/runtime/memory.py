"""The shared memory as the supervisor keeps it: made once, slots and columns given out.

A slot is a target's or an endpoint's, a column is a worker process's. Both are known by what they
stand for, so that a credential keeps its slot, and with it its windows and rests, over reloads and
upgrades. A slot that was given up is kept from reuse as long as possible: exchanges that began
before still write to it, and whoever comes back finds its state there.
"""

import hashlib
import os
import sys
from collections.abc import Iterable

import msgspec

from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import Config, Provider
from ccrelay.config.problems import ConfigError, Problem
from ccrelay.fleet.layout import Layout

# Room for replacing every credential three times before the first slot is used again.
SPARE = 4
TARGETS_MIN = 256
ENDPOINTS_MIN = 64
BINDINGS = 16_384  # conversations remembered, 64 bytes each
# Three crews may still be finishing (two upgrades, workers sent SIGTERM) beside the newest.
CREWS = 4


class Slots(msgspec.Struct):
    """Who has which of `count` slots; who they are is told by `identities`, digests.

    `freed` holds (identity, slot) of those that were given up, the oldest first; from `unused`
    on, slots have never been given to anybody.
    """

    count: int
    taken: dict[str, int] = {}
    freed: list[tuple[str, int]] = []
    unused: int = 0

    def assign(self, identities: Iterable[str]) -> list[int]:
        """Let exactly these have a slot. Returns the slots that were somebody else's before.

        Needs at most `count` different identities. Those that stay, and those that come back, have
        the slot they had.
        """
        wanted = dict.fromkeys(identities)
        had = dict(self.freed) | self.taken
        freed = [entry for entry in self.freed if entry[0] not in wanted]
        freed += [entry for entry in self.taken.items() if entry[0] not in wanted]
        taken = {identity: had[identity] for identity in wanted if identity in had}
        reused: list[int] = []
        for identity in wanted:
            if identity in taken:
                continue
            if self.unused < self.count:
                taken[identity] = self.unused
                self.unused += 1
            else:
                taken[identity] = freed.pop(0)[1]
                reused.append(taken[identity])
        self.taken = taken
        self.freed = freed
        return reused


class Allotment(msgspec.Struct):
    """What is given out of one memory; goes on to the next image of the supervisor."""

    targets: Slots
    endpoints: Slots
    columns: list[int] = []


class Memory:
    """One shared memory: its descriptor `fd`, and what is given out of it.

    Args:
        fd: formatted; closed by `close`.
        allotment: None: nothing is given out yet.

    Raises ValueError when the memory is of another layout than this version's.
    """

    def __init__(self, fd: int, allotment: Allotment | None = None) -> None:
        self.fd = fd
        self.memory = SharedMemory(fd)
        self.allotment = allotment or Allotment(
            Slots(self.memory.targets), Slots(self.memory.endpoints)
        )

    @classmethod
    def create(cls, config: Config) -> "Memory":
        """Make one with room for this configuration and changes of it. Raises OSError."""
        fd = anonymous_file()
        try:
            SharedMemory.format(
                fd,
                workers=CREWS * config.server.workers + CREWS,
                targets=max(TARGETS_MIN, SPARE * len(set(_target_identities(config)))),
                endpoints=max(ENDPOINTS_MIN, SPARE * len(config.providers)),
                bindings=BINDINGS,
            )
            return cls(fd)
        except BaseException:
            os.close(fd)
            raise

    def lacks(self, config: Config) -> str | None:
        """What it has no room for; None: slots, and columns for a crew and one replacement."""
        if _shortage(self.allotment, config):
            return "no room for this configuration"
        running, workers = len(self.allotment.columns), config.server.workers
        if self.memory.workers - running <= workers:
            return f"no room for {workers} more workers beside the {running} that still run"
        return None

    def layout(self, config: Config) -> Layout:
        """Give every target and endpoint its slot, clearing those that were another's.

        Raises ConfigError, and nothing has changed, when there are too many.
        """
        if shortage := _shortage(self.allotment, config):
            raise ConfigError([Problem(message=shortage)])
        reused = self.allotment.targets.assign(_target_identities(config))
        if reused:
            self._forget(reused)
        for slot in self.allotment.endpoints.assign(map(_endpoint_identity, config.providers)):
            self.memory.clear_endpoint(slot)
        targets, endpoints = self.allotment.targets.taken, self.allotment.endpoints.taken
        return Layout(
            {p.name: [targets[name] for name in _identities(p)] for p in config.providers},
            {p.name: endpoints[_endpoint_identity(p)] for p in config.providers},
        )

    def take_column(self) -> int | None:
        """A column for one more worker process; None: too many are still finishing."""
        taken = self.allotment.columns
        free = next((c for c in range(self.memory.workers) if c not in taken), None)
        if free is not None:
            taken.append(free)
        return free

    def return_column(self, column: int) -> int:
        """Its process is no more. Returns how many exchanges it had in flight."""
        self.allotment.columns.remove(column)
        return self.memory.clear_worker(column)

    def clear_cooldown(self, layout: Layout) -> int:
        """Let every refused credential be tried again; returns how many that were."""
        from ccrelay._fast.rate_limits import Cooldown, TargetLimits  # at reloads only

        slots = {slot for slots in layout.targets.values() for slot in slots}
        gauges = [TargetLimits(self.memory, slot) for slot in sorted(slots)]
        refused = [gauge for gauge in gauges if gauge.cooldown_reason == Cooldown.REFUSED]
        for gauge in refused:
            gauge.clear_cooldown()
        return len(refused)

    def close(self) -> None:
        """Close the descriptor; may be called twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _forget(self, targets: list[int]) -> None:
        from ccrelay._fast.affinity_table import AffinityTable  # when slots have become scarce only

        places = AffinityTable(self.memory)
        for slot in targets:
            self.memory.clear_target(slot)
            places.forget_slot(slot)  # conversations that were warm there are not warm here


def anonymous_file() -> int:
    """A descriptor of memory that no path leads to. Raises OSError."""
    if sys.platform == "linux":
        return os.memfd_create("ccrelay", os.MFD_CLOEXEC)
    import tempfile  # half a megabyte of modules

    with tempfile.TemporaryFile(prefix="ccrelay-") as file:
        return os.dup(file.fileno())


def _shortage(allotment: Allotment, config: Config) -> str | None:
    # Several keys of one provider may be the same secret: those share a slot, as they share what
    # the provider allows them.
    counts = {
        "keys": (len(set(_target_identities(config))), allotment.targets.count),
        "providers": (
            len(set(map(_endpoint_identity, config.providers))),
            allotment.endpoints.count,
        ),
    }
    for what, (count, room) in counts.items():
        if count > room:
            return (
                f"{count} {what} are more than the shared memory of this process has room for "
                f"({room}): send SIGUSR2 to the supervisor, or start it again"
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
