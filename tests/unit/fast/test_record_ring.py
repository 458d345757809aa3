"""A worker's ring of records: what is written, what is dropped, and what a reader believes."""

import os
import struct
import tempfile
from collections.abc import Iterator

import msgspec
import pytest

from ccrelay._fast.record_ring import (
    NAMES_BYTES_MAX,
    RECORD_BYTES_MAX,
    TEXT_BYTES_MAX,
    RecordReader,
    RecordRing,
    pack,
)
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay._fast.usage import Usage

RING = 256
SMALL = {"workers": 2, "targets": 1, "endpoints": 1, "bindings": 8}


@pytest.fixture
def memory() -> SharedMemory:
    return SharedMemory.private(workers=2, targets=1, endpoints=1, bindings=8, ring_bytes=RING)


@pytest.fixture
def ring(memory: SharedMemory) -> RecordRing:
    return RecordRing(memory)


@pytest.fixture
def reader(memory: SharedMemory) -> RecordReader:
    return RecordReader(memory, 0)


@pytest.fixture
def wide() -> tuple[RecordRing, RecordReader]:
    memory = SharedMemory.private(ring_bytes=1 << 20)
    return RecordRing(memory), RecordReader(memory, 0)


def put(ring: RecordRing, text: str) -> bool:
    ring.begin()
    ring.text(text)
    return ring.put()


# ---- values


@pytest.mark.parametrize(
    "value",
    [
        *(0, 1, 127, 128, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 63) - 1),
        *(-1, -32, -33, -128, -129, -(1 << 31), -(1 << 63)),
    ],
)
def test_integers_of_any_size(wide: tuple[RecordRing, RecordReader], value: int) -> None:
    ring, reader = wide
    ring.integer(value)
    assert ring.put()
    assert msgspec.msgpack.decode(reader.read(0, 100)[0][0]) == value


def test_a_hash_has_no_sign(wide: tuple[RecordRing, RecordReader]) -> None:
    ring, reader = wide
    ring.hash((1 << 64) - 1)
    assert ring.put()
    assert msgspec.msgpack.decode(reader.read(0, 100)[0][0]) == (1 << 64) - 1


def test_values_of_each_kind_make_one_array(wide: tuple[RecordRing, RecordReader]) -> None:
    ring, reader = wide
    ring.array(20)
    for value in (True, False):
        ring.flag(value)
    ring.nil()
    ring.real(0.25)
    for seconds in (1.5, -1.0, 0.0, float("nan"), float("inf")):
        ring.micros(seconds)
    ring.text(None)
    ring.array(0)
    for number in range(9):
        ring.integer(number)
    assert ring.put()
    assert msgspec.msgpack.decode(reader.read(0, 100)[0][0]) == [
        *(True, False, None, 0.25, 1_500_000, 0, 0, 0, 0, "", []),
        *range(9),
    ]


def test_several_values_by_one_call(wide: tuple[RecordRing, RecordReader]) -> None:
    ring, reader = wide
    ring.array(4 + 4 + 6 + 13 + 13)
    ring.integers(-1, 0, 300, 1 << 40)
    ring.texts("a", None, "", "\u00e4")
    ring.counts(200, 0, 1, 2, 3, 1 << 40)
    ring.answer(Usage(1, 200, 70_000, 1 << 33, 5, 6), 0.5, -1.0, 0.0, 1e-6, True, False)
    ring.answer(None, 0.0, 0.0, 2.0, 0.0, False, True)
    assert ring.put()
    assert msgspec.msgpack.decode(reader.read(0, 100)[0][0]) == [
        *(-1, 0, 300, 1 << 40, "a", "", "", "\u00e4"),
        *(200, 0, 1, 2, 3, 1 << 40),
        *(True, 1, 200, 70_000, 1 << 33, 5, 6, 500_000, 0, 0, 1, True, False),
        *(False, 0, 0, 0, 0, 0, 0, 0, 0, 2_000_000, 0, False, True),
    ]


def test_what_many_records_share_is_packed_once(wide: tuple[RecordRing, RecordReader]) -> None:
    ring, reader = wide
    ring.array(4)
    ring.packed(pack("a", None, "\u00e4" * 300))
    ring.packed(pack("x" * 3000, most=NAMES_BYTES_MAX))
    assert ring.put()
    found = msgspec.msgpack.decode(reader.read(0, 1)[0][0])
    assert found == ["a", "", "\u00e4" * 256, "x" * NAMES_BYTES_MAX]
    assert pack("x" * 9000, most=9000) == pack("x" * NAMES_BYTES_MAX, most=NAMES_BYTES_MAX)


@pytest.mark.parametrize("n", [-1, 65_536])
def test_an_array_of_impossible_length_is_rejected(ring: RecordRing, n: int) -> None:
    with pytest.raises(ValueError, match="an array of"):
        ring.array(n)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("a" * 31, "a" * 31),
        ("a" * 32, "a" * 32),
        ("a" * 256, "a" * 256),
        ("a" * 600, "a" * TEXT_BYTES_MAX),
        ("ä" * 300, "ä" * 256),
        ("a" + "ä" * 300, "a" + "ä" * 255),
        ("\N{GRINNING FACE}" * 300, "\N{GRINNING FACE}" * 128),
        ("a\ud800b", "a?b"),
        ("\x00\x1b[31m", "\x00\x1b[31m"),
    ],
    ids=range(10),
)
def test_texts_are_utf_8_and_bounded(
    wide: tuple[RecordRing, RecordReader], text: str, kept: str
) -> None:
    ring, reader = wide
    assert put(ring, text)
    assert msgspec.msgpack.decode(reader.read(0, 1)[0][0]) == kept


def test_lists_may_be_longer(wide: tuple[RecordRing, RecordReader]) -> None:
    ring, reader = wide
    ring.names("a" * 5000)
    assert ring.put()
    assert msgspec.msgpack.decode(reader.read(0, 1)[0][0]) == "a" * NAMES_BYTES_MAX


def test_text_that_is_none_is_rejected(ring: RecordRing) -> None:
    with pytest.raises(TypeError, match="not bytes"):
        ring.text(b"bytes")  # type: ignore[arg-type]


def test_an_instant_follows_the_wall_clock(wide: tuple[RecordRing, RecordReader]) -> None:
    ring, reader = wide
    walls = iter([1000.0, 5000.5])
    read = 0

    def wall() -> float:
        nonlocal read
        read += 1
        return next(walls)

    def instant(now: float, at: float) -> float:
        ring.begin()
        ring.instant(now, at, wall)
        assert ring.put()
        return float(msgspec.msgpack.decode(reader.read(0, 1 << 20)[0][-1])) / 1e6

    assert instant(10.0, 9.5) == pytest.approx(999.5)
    assert instant(10.9, 10.9) == pytest.approx(1000.9)
    assert read == 1
    assert instant(11.5, 11.0) == pytest.approx(5000.0)  # it was set meanwhile
    assert read == 2


# ---- the ring


def test_records_come_in_order_and_positions_only_grow(
    ring: RecordRing, reader: RecordReader
) -> None:
    position = 0
    for number in range(100):  # around the end of the ring many times
        assert put(ring, f"{number:03d}" * 9)
        frames, after = reader.read(position, 1)
        assert [msgspec.msgpack.decode(frame) for frame in frames] == [f"{number:03d}" * 9]
        assert after == reader.head == ring.head > position
        reader.release(after)
        position = after
    assert position > 10 * RING
    assert (reader.released, reader.dropped, reader.garbled) == (position, 0, 0)


def test_without_room_a_record_is_dropped_and_counted(
    ring: RecordRing, reader: RecordReader
) -> None:
    kept = 0
    while put(ring, "x" * 20):
        kept += 1
    assert kept == RING // (20 + 1 + 4)
    assert not put(ring, "x" * 20)
    assert (ring.dropped, reader.dropped) == (2, 2)
    frames, position = reader.read(0, 1 << 20)
    assert len(frames) == kept
    reader.release(position)
    assert put(ring, "y")
    assert [msgspec.msgpack.decode(f) for f in reader.read(position, 1)[0]] == ["y"]


def test_a_record_that_fills_the_ring_exactly_fits(ring: RecordRing, reader: RecordReader) -> None:
    assert put(ring, "x" * (RING - 4 - 2))
    assert not put(ring, "")
    frames, position = reader.read(0, 1)
    assert len(frames[0]) == RING - 4
    reader.release(position)
    assert not put(ring, "x" * (RING - 4 - 1))


def test_a_record_too_large_or_empty_is_dropped(wide: tuple[RecordRing, RecordReader]) -> None:
    ring, reader = wide
    for _ in range(RECORD_BYTES_MAX // TEXT_BYTES_MAX + 1):
        ring.text("x" * TEXT_BYTES_MAX)
    assert not ring.put()
    assert not ring.put()  # nothing was written since
    assert (reader.head, reader.dropped) == (0, 2)
    assert put(ring, "a")


def test_a_record_that_was_begun_and_not_put_is_forgotten(
    ring: RecordRing, reader: RecordReader
) -> None:
    ring.text("half a record")
    assert put(ring, "whole")
    assert [msgspec.msgpack.decode(f) for f in reader.read(0, 100)[0]] == ["whole"]


def test_reading_stops_before_too_many_bytes(ring: RecordRing, reader: RecordReader) -> None:
    for _ in range(5):
        put(ring, "x" * 20)
    frames, position = reader.read(0, 50)
    assert (len(frames), position) == (2, 50)
    frames, position = reader.read(position, 0)
    assert (len(frames), position) == (1, 75)


def test_a_position_is_never_before_what_was_released(
    ring: RecordRing, reader: RecordReader
) -> None:
    for text in ("a", "b", "c"):
        put(ring, text)
    reader.release(6)
    assert [msgspec.msgpack.decode(f) for f in reader.read(0, 100)[0]] == ["b", "c"]
    reader.release(0)
    assert reader.released == 6
    reader.release(1 << 40)  # of another memory
    assert reader.released == reader.head == 18
    assert reader.read(1 << 40, 100) == ([], 18)


def test_the_next_process_of_a_column_goes_on(memory: SharedMemory, reader: RecordReader) -> None:
    put(RecordRing(memory), "first")
    memory.clear_worker(0)
    put(RecordRing(memory), "second")
    assert [msgspec.msgpack.decode(f) for f in reader.read(0, 100)[0]] == ["first", "second"]


def test_workers_have_rings_of_their_own(memory: SharedMemory) -> None:
    put(RecordRing(memory), "zero")
    put(RecordRing(memory.as_worker(1)), "one")
    for column, text in enumerate(["zero", "one"]):
        frames, _ = RecordReader(memory, column).read(0, 100)
        assert [msgspec.msgpack.decode(frame) for frame in frames] == [text]


def test_a_full_ring_reaches_no_other_word(memory: SharedMemory) -> None:
    rings = [RecordRing(memory), RecordRing(memory.as_worker(1))]
    for ring in rings:
        while put(ring, "x" * 11):
            pass
    for column in range(2):
        reader = RecordReader(memory, column)
        frames, position = reader.read(0, 1 << 20)
        assert {msgspec.msgpack.decode(frame) for frame in frames} == {"x" * 11}
        assert (position, reader.dropped, reader.garbled) == (len(frames) * 16, 1, 0)


# ---- what cannot be


def test_a_reader_needs_a_column_and_a_writer_its_own(memory: SharedMemory) -> None:
    for column in (-1, 2):
        with pytest.raises(ValueError, match="of 2"):
            RecordReader(memory, column)
    with tempfile.TemporaryFile() as file:
        SharedMemory.format(file.fileno(), **SMALL)
        with pytest.raises(ValueError, match="by workers only"):
            RecordRing(SharedMemory(file.fileno()))


class Broken:
    """A ring in a file, to write into."""

    def __init__(self, fd: int) -> None:
        SharedMemory.format(fd, **SMALL, ring_bytes=RING)
        self.fd = fd
        self.ring = RecordRing(SharedMemory(fd, 1))  # the last region of the file
        self.reader = RecordReader(SharedMemory(fd), 1)
        self.start = os.fstat(fd).st_size - RING

    def write(self, at: int, data: bytes) -> None:
        os.pwrite(self.fd, data, self.start + at)

    def set_word(self, word: int, value: int) -> None:
        os.pwrite(self.fd, struct.pack("=q", value), self.start - 128 + 8 * word)


@pytest.fixture
def broken() -> Iterator[Broken]:
    with tempfile.TemporaryFile() as file:
        yield Broken(file.fileno())


@pytest.mark.parametrize("length", [0, 7, 100, 0xFFFFFFFF, 0x80000000])
def test_a_length_without_sense_is_left_out_and_counted(broken: Broken, length: int) -> None:
    put(broken.ring, "a")
    put(broken.ring, "b")
    broken.write(6, struct.pack("=I", length))
    frames, position = broken.reader.read(0, 100)
    assert [msgspec.msgpack.decode(frame) for frame in frames] == ["a"]
    assert (position, broken.reader.garbled) == (12, 1)
    broken.reader.release(position)
    put(broken.ring, "c")
    assert [msgspec.msgpack.decode(f) for f in broken.reader.read(position, 100)[0]] == ["c"]


@pytest.mark.parametrize(
    ("head", "released"),
    [(-1, 0), (0, -1), (5, 6), (RING + 1, 0), ((1 << 63) - 1, 0), (-(1 << 63), (1 << 63) - 1)],
)
def test_positions_without_sense_are_left_behind(broken: Broken, head: int, released: int) -> None:
    broken.set_word(0, head)
    broken.set_word(8, released)
    frames, position = broken.reader.read(0, 100)
    assert (frames, broken.reader.garbled) == ([], 1)
    assert position == max(head, 0)
    broken.reader.release(position)
    if head == (1 << 63) - 1:
        return  # no more can be written: that many bytes take 300,000 years
    if head < 0:
        broken.set_word(0, 0)
    assert put(broken.ring, "again")
    frames, _ = broken.reader.read(position, 100)
    assert [msgspec.msgpack.decode(frame) for frame in frames] == ["again"]
