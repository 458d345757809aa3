"""How many client connections a worker takes, by what it may have open."""

import resource

from ccrelay.config.model import Limits

# Open besides connections: log, listeners, the event loop, the supervisor's channel, look-ups.
RESERVED = 64
# A machine without a limit.
UNLIMITED = 1 << 20
MEMORY_BESIDES_REPLAY = 64 << 20
UNADMITTED_LEAST = 64


def open_files_max() -> int:
    """The soft limit of open files in force."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return UNLIMITED if soft == resource.RLIM_INFINITY else soft


def connections_max(limits: Limits, open_files: int) -> int:
    """The limit of client connections: as configured, else what can be kept.

    An exchange needs two descriptors: its client's and its provider's.
    """
    return limits.connections_max or max((open_files - RESERVED) // 2, 1)


def too_many(limits: Limits, open_files: int) -> bool:
    """Whether more connections are configured than can be served at once."""
    configured = limits.connections_max or 0
    return 2 * configured + RESERVED > open_files


def unadmitted_max(limits: Limits, connections: int) -> int:
    """The limit of connections of one address without an admitted request; 0: none."""
    if limits.unadmitted_per_address_max is not None:
        return limits.unadmitted_per_address_max
    return max(connections // 4, UNADMITTED_LEAST)


def memory_max(limits: Limits) -> int:
    """The limit of what a worker holds for its clients, bytes."""
    if limits.memory_bytes_max is not None:
        return limits.memory_bytes_max
    return limits.replay_bytes_max + MEMORY_BESIDES_REPLAY
