"""The shared memory: mapping it, and clearing the state of dead workers and reassigned slots."""

import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from ccrelay._fast.rate_limits import Capacity, Cooldown, Dimension, TargetLimits
from ccrelay._fast.shared_memory import SharedMemory

SMALL: dict[str, int] = {
    "workers": 2,
    "targets": 3,
    "endpoints": 2,
    "bindings": 8,
    "ring_bytes": 128,
}


@pytest.fixture
def memory() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


def test_a_mapping_reads_its_layout_from_the_file(memory: int) -> None:
    SharedMemory.format(memory, **SMALL)
    board = SharedMemory(memory, 1)
    assert {name: getattr(board, name) for name in SMALL} == SMALL
    assert board.worker == 1
    assert SharedMemory(memory).worker == -1
    assert str(os.fstat(memory).st_size) in repr(board)


def test_a_memory_has_a_name_of_its_own(memory: int) -> None:
    SharedMemory.format(memory, **SMALL)
    names = [SharedMemory(memory, 0).identity, SharedMemory(memory).identity]
    SharedMemory.format(memory, **SMALL)
    names.append(SharedMemory(memory).identity)
    assert names[0] == names[1] != names[2]
    for name in names:
        assert len(name) == 16
        int(name, 16)


def test_mappings_share_memory_after_the_file_is_closed() -> None:
    with tempfile.TemporaryFile() as file:
        SharedMemory.format(file.fileno(), **SMALL)
        one, two = SharedMemory(file.fileno(), 0), SharedMemory(file.fileno(), 1)
    TargetLimits(one, 2).reserve_unchecked(100.0, 5, 0).commit(100.0, 5, 0)
    assert TargetLimits(two, 2).used(Dimension.INPUT, 100.0) == 5
    assert TargetLimits(two, 1).used(Dimension.INPUT, 100.0) == 0


def test_formatting_again_clears_everything(memory: int) -> None:
    SharedMemory.format(memory, **SMALL)
    TargetLimits(SharedMemory(memory, 0), 0).reserve_unchecked(100.0, 5, 0).commit(100.0, 5, 0)
    SharedMemory.format(memory, **SMALL)
    assert TargetLimits(SharedMemory(memory, 0), 0).used(Dimension.INPUT, 100.0) == 0


def test_a_truncated_file_is_rejected(memory: int) -> None:
    for size in (0, 511):
        os.ftruncate(memory, size)
        with pytest.raises(ValueError, match="too small"):
            SharedMemory(memory, 0)
    SharedMemory.format(memory, **SMALL)
    os.ftruncate(memory, os.fstat(memory).st_size - 1)
    with pytest.raises(ValueError, match="truncated"):
        SharedMemory(memory, 0)


def test_other_files_and_layouts_are_rejected(memory: int) -> None:
    os.ftruncate(memory, 1 << 16)
    with pytest.raises(ValueError, match="another ccrelay version"):
        SharedMemory(memory, 0)
    SharedMemory.format(memory, **SMALL)
    os.pwrite(memory, b"\xff", 0)
    with pytest.raises(ValueError, match="another ccrelay version"):
        SharedMemory(memory, 0)


def test_a_pipe_is_rejected() -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(ValueError, match="too small"):
            SharedMemory(reader, 0)
        with pytest.raises(OSError, match="cannot allocate"):
            SharedMemory.format(writer, **SMALL)
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize(
    "wrong",
    [
        {"workers": 0},
        {"workers": 4097},
        {"targets": 0},
        {"endpoints": 0},
        {"bindings": (1 << 20) + 1},
        {"ring_bytes": 32},
        {"ring_bytes": 1000},
        {"ring_bytes": 1 << 31},
    ],
    ids=str,
)
def test_counts_out_of_range_are_rejected(memory: int, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"slots|worker|ring"):
        SharedMemory.format(memory, **{**SMALL, **wrong})


@pytest.mark.parametrize("worker", [-2, 2])
def test_an_unknown_worker_is_rejected(memory: int, worker: int) -> None:
    SharedMemory.format(memory, **SMALL)
    with pytest.raises(ValueError, match="of 2"):
        SharedMemory(memory, worker)


def test_as_worker_keeps_private_memory_alive() -> None:
    twin = SharedMemory.private(workers=2, targets=2).as_worker(1)
    assert twin.worker == 1
    assert TargetLimits(twin, 1).reserve(1.0, 1, 1) is not None


def test_clear_worker_zeroes_only_its_column() -> None:
    board = SharedMemory.private(workers=2, targets=3)
    lives, dies = TargetLimits(board, 1), TargetLimits(board.as_worker(1), 1)
    held = [
        lives.reserve_unchecked(10.0, 0, 0),
        dies.reserve_unchecked(10.0, 0, 0),
        dies.reserve_unchecked(10.0, 0, 0),
    ]
    assert board.clear_worker(1) == 2
    assert lives.in_flight == 1
    assert lives.used(Dimension.REQUESTS, 10.0) == 3  # they may have been served
    assert board.clear_worker(1) == 0
    assert len(held) == 3


def test_clear_target_resets_only_its_slot() -> None:
    board = SharedMemory.private(targets=3)
    gauges = [TargetLimits(board, slot) for slot in range(3)]
    held = []
    for gauge in gauges:
        held.append(gauge.reserve_unchecked(10.0, 7, 3))
        gauge.start_cooldown(99.0, Cooldown.RATE)
        gauge.learn(Dimension.TOKENS, 50, 20, 60.0, 60.0, 10.0)
    board.clear_target(1)
    assert gauges[1].state(10.0, 1, 1) == Capacity.READY
    assert (gauges[1].in_flight, gauges[1].used(Dimension.TOKENS, 10.0)) == (0, 0)
    assert gauges[1].learned(Dimension.TOKENS, 10.0) is None
    for gauge in (gauges[0], gauges[2]):
        assert (gauge.in_flight, gauge.used(Dimension.TOKENS, 10.0)) == (1, 10)
        assert gauge.cooldown_until() == 99.0
        assert gauge.learned(Dimension.TOKENS, 10.0) == (50, 20)
    assert len(held) == 3


def test_reservations_from_before_clear_target_are_inert() -> None:
    board = SharedMemory.private()
    gauge = TargetLimits(board, 0)
    settled, cancelled, forgotten = (gauge.reserve_unchecked(10.0, 4, 4) for _ in range(3))
    board.clear_target(0)
    new = gauge.reserve_unchecked(10.0, 5, 5)
    settled.adjust(10.0, 9)
    assert settled.commit(10.0, 0, 0)
    assert cancelled.cancel(10.0)
    del forgotten
    assert (gauge.in_flight, gauge.used(Dimension.TOKENS, 10.0)) == (1, 10)
    assert gauge.used(Dimension.REQUESTS, 10.0) == 1
    assert new.commit(10.0, 5, 5)


def test_a_negative_column_does_not_offset_other_workers(memory: int) -> None:
    # A worker settled while the supervisor cleared the slot: its column says -1.
    SharedMemory.format(memory, **SMALL)
    clears = SharedMemory(memory)
    lives, late = TargetLimits(SharedMemory(memory, 0), 0), TargetLimits(SharedMemory(memory, 1), 0)
    held = [lives.reserve_unchecked(10.0, 0, 0), lives.reserve_unchecked(10.0, 0, 0)]
    late.reserve_unchecked(10.0, 0, 0).commit(10.0, 0, 0)
    before = os.pread(memory, os.fstat(memory).st_size, 0)
    held.append(late.reserve_unchecked(10.0, 0, 0))
    after = os.pread(memory, os.fstat(memory).st_size, 0)
    changed = [at for at in range(0, len(after), 8) if before[at : at + 8] != after[at : at + 8]]
    os.pwrite(memory, (-1).to_bytes(8, sys.byteorder, signed=True), max(changed))
    assert (lives.in_flight, late.in_flight, len(held)) == (2, 2, 3)
    assert clears.clear_worker(1) == 0
    assert lives.in_flight == 2


@pytest.mark.parametrize("slot", [-1, 2])
def test_clearing_an_unknown_slot_is_rejected(slot: int) -> None:
    board = SharedMemory.private(workers=2, targets=2, endpoints=2)
    for clear in (board.clear_worker, board.clear_target, board.clear_endpoint):
        with pytest.raises(ValueError, match="of 2"):
            clear(slot)
