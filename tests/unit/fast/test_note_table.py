"""Short texts that all workers share."""

import random

import pytest

from ccrelay._fast.note_table import NOTE_BYTES_MAX, NoteTable
from ccrelay._fast.shared_memory import SharedMemory

NOW = 1_800_000_000.0
ENTRIES = 256


@pytest.fixture
def memory() -> SharedMemory:
    return SharedMemory.private(workers=2)


@pytest.fixture
def table(memory: SharedMemory) -> NoteTable:
    return NoteTable(memory)


def texts(table: NoteTable, now: float = NOW) -> list[bytes]:
    return sorted(text for text, _ in table.notes(now))


def test_every_worker_reads_what_one_keeps(memory: SharedMemory, table: NoteTable) -> None:
    table.keep(b"a\0b", NOW, NOW + 10.0)
    table.keep(b"x" * NOTE_BYTES_MAX, NOW, NOW + 20.0)
    other = NoteTable(memory.as_worker(1))
    assert sorted(other.notes(NOW)) == [(b"a\0b", NOW + 10.0), (b"x" * NOTE_BYTES_MAX, NOW + 20.0)]
    assert texts(other, NOW + 10.0) == [b"x" * NOTE_BYTES_MAX]
    assert texts(other, NOW + 20.0) == []


def test_the_same_text_is_kept_once(table: NoteTable) -> None:
    table.keep(b"a", NOW, NOW + 10.0)
    table.keep(b"a", NOW, NOW + 5.0)
    assert table.notes(NOW) == [(b"a", NOW + 5.0)]


def test_changes_are_counted(memory: SharedMemory, table: NoteTable) -> None:
    before = table.changes
    table.keep(b"a", NOW, NOW + 1.0)
    assert table.changes == NoteTable(memory.as_worker(1)).changes == before + 1
    assert table.forget(b"b") == 0
    assert table.changes == before + 1
    assert table.forget(b"a") == 1
    assert table.changes == before + 2


def test_texts_are_forgotten_by_their_beginning(table: NoteTable) -> None:
    for text in (b"aws\0x", b"aws\0y", b"aws2\0x", b"b\0aws\0x"):
        table.keep(text, NOW, NOW + 9.0)
    assert table.forget(b"aws\0") == 2
    assert texts(table) == [b"aws2\0x", b"b\0aws\0x"]
    assert table.forget(b"aws\0") == 0
    table.keep(b"aws\0x", NOW, NOW + 9.0)
    assert b"aws\0x" in texts(table)


def test_a_full_table_loses_what_expires_first(table: NoteTable) -> None:
    for number in range(ENTRIES):
        table.keep(b"%d" % number, NOW, NOW + 100.0 + (number * 7) % ENTRIES)
    assert len(texts(table)) == ENTRIES
    table.keep(b"new", NOW, NOW + 1000.0)
    assert b"new" in texts(table)
    assert b"0" not in texts(table)
    # An expired one goes first.
    later = NOW + 105.5
    table.keep(b"newer", later, later + 1000.0)
    assert len(texts(table, later)) <= ENTRIES


@pytest.mark.parametrize("text", [b"", b"x" * (NOTE_BYTES_MAX + 1)])
def test_texts_have_limits(table: NoteTable, text: bytes) -> None:
    with pytest.raises(ValueError, match="a note of"):
        table.keep(text, NOW, NOW + 1.0)


def test_the_regions_beside_it_are_left_alone(memory: SharedMemory, table: NoteTable) -> None:
    from ccrelay._fast.affinity_table import AffinityTable, hash64
    from ccrelay._fast.record_ring import RecordRing

    bindings, ring = AffinityTable(memory), RecordRing(memory)
    last = [hash64(b"%d" % number) for number in range(4000)]
    for conversation in last:
        bindings.keep(conversation, 3, 1000.0, ttl_s=300.0)
    found = [one for one in last if bindings.find(one, 1001.0) is not None]
    for number in range(ENTRIES + 50):
        table.keep(b"\xff" * (NOTE_BYTES_MAX - 4) + b"%04d" % number, NOW, NOW + 9.0 + number)
    assert [one for one in last if bindings.find(one, 1001.0) is not None] == found
    assert repr(ring)
    kept = texts(table)
    for conversation in last:
        bindings.keep(conversation, 5, 1000.0, ttl_s=300.0)
    assert texts(table) == kept


def test_against_a_model(memory: SharedMemory) -> None:
    rng = random.Random(5)
    tables = [NoteTable(memory), NoteTable(memory.as_worker(1))]
    model: dict[bytes, float] = {}
    now = NOW
    for _ in range(3000):
        table = rng.choice(tables)
        text = b"%d\0%d" % (rng.randrange(4), rng.randrange(50))
        if rng.random() < 0.02:
            start = b"%d\0" % rng.randrange(4)
            model = {known: until for known, until in model.items() if not known.startswith(start)}
            table.forget(start)
        else:
            model[text] = now + rng.randrange(1, 100)
            table.keep(text, now, model[text])
        now += rng.random()
        model = {known: until for known, until in model.items() if until > now + 1e-5}
        assert texts(rng.choice(tables), now + 1e-5) == sorted(model)
