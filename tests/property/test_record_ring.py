"""The ring of records against a readable twin, over processes, and with a writer that is killed."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import msgspec
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ccrelay._fast.record_ring import RecordReader, RecordRing
from ccrelay._fast.shared_memory import SharedMemory
from tests.child import PROGRAM, child_environment
from tests.reference.record_ring import Ring, decoded, text_of

RING = 128
CALM = settings(deadline=None, max_examples=60, stateful_step_count=80)

scalars = st.one_of(
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False),
    st.text(st.characters(), max_size=600),
)


class Twins(RuleBasedStateMachine):
    """Records of any size, read and released in any order, around the end again and again."""

    def __init__(self) -> None:
        super().__init__()
        memory = SharedMemory.private(ring_bytes=RING)
        self.ring, self.reader, self.twin = RecordRing(memory), RecordReader(memory, 0), Ring(RING)
        self.position = 0

    @rule(text=st.text(st.characters(max_codepoint=127), max_size=RING))
    def put(self, text: str) -> None:
        self.ring.begin()
        self.ring.text(text)
        assert self.ring.put() == self.twin.put(msgspec.msgpack.encode(text))

    @rule(bytes_max=st.integers(-1, RING))
    def read(self, bytes_max: int) -> None:
        found = self.reader.read(self.position, bytes_max)
        assert found == self.twin.read(self.position, bytes_max)
        self.position = found[1]

    @rule()
    def release(self) -> None:
        self.reader.release(self.position)
        self.twin.release(self.position)

    @rule()
    def restart(self) -> None:
        """The manager begins anew, from what was released."""
        self.position = 0

    @invariant()
    def they_agree(self) -> None:
        assert (self.reader.head, self.reader.released) == (self.twin.head, self.twin.released)
        assert (self.ring.dropped, self.reader.garbled) == (self.twin.dropped, 0)


TestTwins = Twins.TestCase
TestTwins.settings = CALM


@given(st.lists(scalars, max_size=20))
@settings(deadline=None)
def test_any_values_come_out_as_they_went_in(values: list[Any]) -> None:
    memory = SharedMemory.private(ring_bytes=1 << 16)
    ring = RecordRing(memory)
    ring.array(len(values))
    for value in values:
        write(ring, value)
    assert ring.put()
    frames, _ = RecordReader(memory, 0).read(0, 1)
    expected = [text_of(value) if isinstance(value, str) else value for value in values]
    assert decoded(frames[0]) == expected


def write(ring: RecordRing, value: Any) -> None:
    if value is None:
        ring.nil()
    elif isinstance(value, bool):
        ring.flag(value)
    elif isinstance(value, float):
        ring.real(value)
    elif isinstance(value, str):
        ring.text(value)
    elif value >= 1 << 63:
        ring.hash(value)
    else:
        ring.integer(value)


@given(st.binary(max_size=2 * RING), st.integers(0, 3 * RING), st.integers(0, 3 * RING))
@settings(deadline=None)
def test_a_reader_survives_anything_and_gets_on(data: bytes, head: int, released: int) -> None:
    with tempfile.TemporaryFile() as file:
        fd = file.fileno()
        SharedMemory.format(fd, workers=1, targets=1, endpoints=1, bindings=8, ring_bytes=RING)
        start = os.fstat(fd).st_size - RING
        os.pwrite(fd, data[:RING], start)
        os.pwrite(fd, head.to_bytes(8, sys.byteorder), start - 128)
        os.pwrite(fd, released.to_bytes(8, sys.byteorder), start - 64)
        reader, ring = RecordReader(SharedMemory(fd), 0), RecordRing(SharedMemory(fd, 0))
        frames, position = reader.read(0, 1 << 20)
        assert sum(map(len, frames)) <= RING
        assert position == head or (frames and position <= head)
        reader.release(head)
        ring.text("next")
        assert ring.put()
        assert [decoded(one) for one in reader.read(head, 1 << 20)[0]] == ["next"]


# ---- several processes

# Writes numbered records of many sizes as fast as it can.
WRITER = """
import sys, time
from ccrelay._fast.record_ring import RecordRing
from ccrelay._fast.shared_memory import SharedMemory
fd, start, count = map(int, sys.argv[1:])
ring = RecordRing(SharedMemory(fd, 0))
print("ready", flush=True)
number = start
while number < start + count:
    ring.begin()
    ring.array(2)
    ring.integer(number)
    ring.text("x" * (number * 7919 % 500))
    if ring.put():
        number += 1
    else:
        time.sleep(0.0001)
"""


def start_writer(fd: int, start: int, count: int) -> subprocess.Popen[str]:
    writer = subprocess.Popen(
        [*PROGRAM, WRITER, str(fd), str(start), str(count)],
        pass_fds=[fd],
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    return writer


def checked(frames: list[bytes]) -> list[int]:
    """The numbers of records that are whole."""
    numbers = []
    for frame in frames:
        number, text = decoded(frame)
        assert text == "x" * (number * 7919 % 500)
        numbers.append(number)
    return numbers


def drain(reader: RecordReader, position: int, seen: list[int]) -> int:
    frames, position = reader.read(position, 1 << 14)
    seen += checked(frames)
    reader.release(position)
    return position


def test_two_processes_lose_nothing_and_a_killed_one_leaves_no_half_record() -> None:
    with tempfile.TemporaryFile() as file:
        fd = file.fileno()
        SharedMemory.format(fd, workers=1, targets=1, endpoints=1, bindings=8, ring_bytes=1 << 13)
        reader = RecordReader(SharedMemory(fd), 0)
        seen: list[int] = []
        position = 0
        for life in range(6):
            endless = life < 5
            writer = start_writer(fd, len(seen), 1 << 40 if endless else 20_000)
            try:
                until = time.monotonic() + (0.05 + 0.013 * life if endless else 30.0)
                while time.monotonic() < until and writer.poll() is None:
                    position = drain(reader, position, seen)
                if endless:
                    writer.send_signal(signal.SIGKILL)
                writer.wait(30)
                while position < reader.head:
                    position = drain(reader, position, seen)
            finally:
                writer.kill()
                writer.wait()
                assert writer.stdout is not None
                writer.stdout.close()
            assert seen == list(range(len(seen)))
            assert (reader.garbled, writer.returncode) == (0, -signal.SIGKILL if endless else 0)
        assert len(seen) > 20_000
        assert position > 100 * (1 << 13)


def test_a_reader_that_is_killed_reads_on_from_what_was_released() -> None:
    with tempfile.TemporaryFile() as file:
        fd = file.fileno()
        SharedMemory.format(fd, workers=1, targets=1, endpoints=1, bindings=8, ring_bytes=1 << 13)
        ring = RecordRing(SharedMemory(fd, 0))
        for number in range(10):
            ring.integer(number)
            assert ring.put()
        first = RecordReader(SharedMemory(fd), 0)
        frames, position = first.read(0, 4)
        first.release(position)
        first.read(position, 1 << 20)  # and was killed before it released these
        second = RecordReader(SharedMemory(fd), 0)
        again, _ = second.read(0, 1 << 20)
        assert [decoded(one) for one in frames + again] == list(range(10))
