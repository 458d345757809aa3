"""A copy of the shared memory is equal at first, and its own from then on."""

import os
import time

import pytest

from ccrelay._fast.affinity_table import AffinityTable
from ccrelay._fast.rate_limits import TargetLimits
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.manager.memory_copy import private_copy


def made() -> tuple[int, SharedMemory]:
    fd = os.memfd_create("test", os.MFD_CLOEXEC)
    SharedMemory.format(fd, workers=3, targets=64, endpoints=8, bindings=16_384)
    return fd, SharedMemory(fd, 1)


def test_a_copy_has_the_state_and_shares_nothing() -> None:
    fd, memory = made()
    now = time.monotonic()
    kept = TargetLimits(memory, 63).reserve(now, 5, 5)
    AffinityTable(memory).keep(42, 63, now, cached_tokens=7)
    before = os.pread(fd, 1 << 26, 0)
    copy = private_copy(fd, memory)
    binding = AffinityTable(copy).find(42, now)
    assert binding is not None
    assert (binding.slot, binding.cached_tokens) == (63, 7)
    limits = TargetLimits(copy, 63)
    assert limits.in_flight == 1
    more = limits.reserve(now, 5, 5)
    assert limits.in_flight == 2
    AffinityTable(copy).forget_slot(63)
    assert os.pread(fd, 1 << 26, 0) == before
    assert kept is not None
    assert more is not None
    os.close(fd)


def test_descriptors_are_given_back() -> None:
    fd, memory = made()
    count = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        private_copy(fd, memory)
    assert len(os.listdir("/proc/self/fd")) == count
    os.close(fd)


def test_what_is_no_shared_memory() -> None:
    memory = SharedMemory.private()
    fd = os.memfd_create("test", os.MFD_CLOEXEC)
    with pytest.raises(ValueError, match="shared memory"):
        private_copy(fd, memory)
    os.write(fd, b"x" * 8192)
    with pytest.raises(ValueError, match="shared memory"):
        private_copy(fd, memory)
    os.close(fd)
