"""Exchanges under way: what a worker tells the manager when it is asked.

A worker encodes them as one msgpack value; the supervisor passes the bytes on; the manager decodes
them with these types. Members are in the order of the array. New ones go to the end, with a
default, so that a manager reads what an older worker tells.
"""

import enum

import msgspec


class Phase(enum.IntEnum):
    """What an exchange does; numbers as in `ccrelay.v1.Running.Phase`."""

    PREPARING = 1
    QUEUED = 2
    CONNECTING = 3
    AWAITING = 4
    HOLDING = 5
    STREAMING = 6


class Running(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One exchange under way; members named as in `Record` mean the same."""

    id: str
    started_at_us: int  # since 1970
    phase: int  # Phase
    kind: int  # RequestClass
    traffic: int  # TrafficClass; -1: not known
    model: str  # empty: not known yet
    sent: str  # empty: nothing was sent yet
    provider: str  # of the present attempt; empty: none yet
    key: str  # its fingerprint
    key_name: str
    attempts: int  # number of the present attempt; 0: none yet
    session: str
    agent: str
    project: str
    first_event_us: int  # from the request to the first event; 0: none yet
    bytes_out: int
    failed: str  # verdict of the last attempt that failed; empty: none has


class RunningList(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Exchanges under way in one worker, oldest first; `total`: how many there are."""

    total: int
    exchanges: list[Running]
