"""Compressed request bodies: unpacked in steps, charged, and read in passing."""

import gzip
import random
import time
import tracemalloc
import zlib

import pytest

from ccrelay._fast.memory_account import MemoryAccount
from ccrelay.errors import BadRequest, NoTarget, RelayError, TooLarge
from ccrelay.relay.unpacking import STEP_BYTES, Unpacking

BODY = b'{"model":"m","stream":true,"messages":[1,2,3]}'
NOISE = random.Random(1).randbytes(3_000_000).hex().encode()


def unpacked(data: bytes, limit: int = 1 << 25) -> Unpacking:
    return Unpacking(data, limit).run()


def filled(size: int) -> bytes:
    return BODY[:-1] + b',"x":"' + b"x" * (size - len(BODY) - 7) + b'"}'


def test_a_small_body_is_unpacked_in_one_step_and_read() -> None:
    one = Unpacking(gzip.compress(BODY), 1000)
    assert one.step()
    assert (one.body, one.model, one.streams, one.elements) == (BODY, b'"m"', True, 6)


@pytest.mark.parametrize("size", [STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1, 5 * STEP_BYTES])
def test_a_body_of_any_size_comes_out_whole(size: int) -> None:
    assert unpacked(gzip.compress(filled(size))).body == filled(size)


def test_a_body_that_hardly_shrinks_comes_out_whole() -> None:
    body = b'{"model":"m","x":"%b"}' % NOISE
    assert unpacked(gzip.compress(body, 1)).body == body


def test_no_step_makes_more_than_its_share() -> None:
    one = Unpacking(gzip.compress(filled(30 * STEP_BYTES)), 1 << 25)
    before, steps = 0, 0
    while not one.step():
        steps += 1
        assert one.held - before <= STEP_BYTES
        before = one.held
    assert steps >= 29


def test_a_step_of_a_bomb_takes_no_longer_than_another() -> None:
    bomb = Unpacking(gzip.compress(BODY[:-1] + b" " * 32_000_000), 1 << 25)
    took = []
    for _ in range(20):
        began = time.perf_counter()
        assert not bomb.step()
        took.append(time.perf_counter() - began)
    assert sorted(took)[10] < 0.01  # 150 ms for all of it


def test_a_body_is_unpacked_up_to_exactly_the_limit() -> None:
    assert len(unpacked(gzip.compress(filled(100)), 100).body) == 100
    with pytest.raises(TooLarge):
        unpacked(gzip.compress(filled(101)), 100)


def test_a_bomb_is_not_unpacked_beyond_the_limit() -> None:
    bomb = gzip.compress(BODY[:-1] + b" " * 50_000_000)
    tracemalloc.start()
    with pytest.raises(TooLarge):
        unpacked(bomb, 100_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_what_comes_out_is_charged_step_by_step_and_released() -> None:
    account = MemoryAccount()
    account.bytes_max = 13 * STEP_BYTES  # of which one client has three quarters
    memory = account.share(b"test-client")
    fits = Unpacking(gzip.compress(filled(9 * STEP_BYTES)), 1 << 25, memory)
    assert not fits.step()
    assert memory.held == STEP_BYTES
    fits.run()
    assert memory.held == fits.held == 9 * STEP_BYTES
    with pytest.raises(NoTarget, match="replay_bytes_max"):
        Unpacking(gzip.compress(filled(2 * STEP_BYTES)), 1 << 25, memory).run()
    assert memory.held == fits.held
    fits.drop()
    assert memory.held == 0


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"[1]" + b" " * 9_000_000, "complete JSON"),
        (b'{"model":"m"', "complete JSON"),
        (b'{"a":1}', 'no "model"'),
        (b'{"model":"a","model":"b"}', "Duplicate"),
        (b'{"model":"m","a":' + b"[" * 20_000, "deeply"),
    ],
)
def test_a_body_that_is_of_no_use_ends_the_work_and_frees_what_came(body: bytes, word: str) -> None:
    memory = MemoryAccount().share(b"test-client")
    with pytest.raises(BadRequest, match=word):
        Unpacking(gzip.compress(body), 1 << 25, memory).run()
    assert memory.held == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"plain",
        zlib.compress(BODY),
        gzip.compress(BODY, mtime=0)[:-1],
        gzip.compress(BODY, mtime=0) + gzip.compress(b"two", mtime=0),
        gzip.compress(BODY, mtime=0) + b"tail",
        gzip.compress(BODY * 9, mtime=0)[:-8] + bytes(8),
        gzip.compress(filled(200_000), mtime=0)[:-1],
        gzip.compress(filled(200_000), mtime=0) + b"tail",
    ],
)
def test_what_is_not_one_whole_gzip_member_is_refused(data: bytes) -> None:
    with pytest.raises(RelayError) as refused:
        unpacked(data)
    assert refused.value.status == 400
