"""The table of conversations, and the hashes that all nodes agree on."""

import math
import random
from collections import Counter
from pathlib import Path

import pytest

from ccrelay._fast.affinity_table import FOREIGN, MOVED, UNSIGNED, AffinityTable, hash64, rendezvous
from ccrelay._fast.shared_memory import SharedMemory

NOW = 1000.0
ONE_SET = 8
ALICE, BOB = hash64(b"alice"), hash64(b"bob")


@pytest.fixture
def memory() -> SharedMemory:
    return SharedMemory.private(workers=2, targets=64, bindings=1024)


@pytest.fixture
def table(memory: SharedMemory) -> AffinityTable:
    return AffinityTable(memory)


@pytest.fixture
def small() -> AffinityTable:
    """One set, so that the ninth conversation pushes another one out."""
    return AffinityTable(SharedMemory.private(bindings=ONE_SET))


def known(table: AffinityTable, now: float, *conversations: int) -> list[int]:
    return [one for one in conversations if table.find(one, now) is not None]


# ---- entries


def test_every_worker_finds_a_stored_binding(memory: SharedMemory, table: AffinityTable) -> None:
    table.keep(
        ALICE,
        7,
        NOW,
        ttl_s=3600.0,
        prefix_tokens=150_000,
        cached_tokens=140_000,
        body_bytes=3_000_000_000,
        flags=MOVED | UNSIGNED,
    )
    binding = AffinityTable(memory.as_worker(1)).find(ALICE, NOW + 1.0)
    assert binding is not None
    assert (binding.slot, binding.flags) == (7, MOVED | UNSIGNED)
    assert (binding.prefix_tokens, binding.cached_tokens) == (150_000, 140_000)
    assert binding.body_bytes == 3_000_000_000
    assert (binding.seen_at, binding.ttl_s) == (NOW, 3600.0)
    assert "slot=7" in repr(binding)


def test_an_unknown_conversation_has_no_binding(table: AffinityTable) -> None:
    table.keep(ALICE, 7, NOW)
    assert table.find(BOB, NOW) is None


def test_a_returned_binding_is_a_snapshot(table: AffinityTable) -> None:
    table.keep(ALICE, 7, NOW)
    before = table.find(ALICE, NOW)
    table.keep(ALICE, 8, NOW + 1.0, flags=FOREIGN)
    after = table.find(ALICE, NOW + 1.0)
    assert before is not None
    assert after is not None
    assert (before.slot, before.flags, after.slot, after.flags) == (7, 0, 8, FOREIGN)
    assert table.forget_slot(7) == 0
    assert table.forget_slot(8) == 1


def test_a_binding_expires_with_its_cache(table: AffinityTable) -> None:
    table.keep(ALICE, 7, NOW, ttl_s=300.0)
    binding = table.find(ALICE, NOW + 299.9)
    assert binding is not None
    assert binding.seen_at + binding.ttl_s == NOW + 300.0
    assert table.find(ALICE, NOW + 300.0) is None


def test_a_turn_extends_the_binding(table: AffinityTable) -> None:
    table.keep(ALICE, 7, NOW)
    table.keep(ALICE, 7, NOW + 200.0)
    assert table.find(ALICE, NOW + 400.0) is not None


def test_removing_a_target_removes_its_bindings(table: AffinityTable) -> None:
    for k in range(1, 31):
        table.keep(k, k % 3, NOW)
    assert table.forget_slot(1) == 10
    assert table.forget_slot(1) == 0
    assert known(table, NOW, *range(1, 31)) == [k for k in range(1, 31) if k % 3 != 1]


def test_conversation_zero_is_never_stored(table: AffinityTable) -> None:
    table.keep(0, 7, NOW)
    assert table.find(0, NOW) is None
    assert table.forget_slot(7) == 0


@pytest.mark.parametrize("slot", [-1, 64])
def test_an_unknown_target_slot_is_rejected(table: AffinityTable, slot: int) -> None:
    with pytest.raises(ValueError, match="of 64"):
        table.keep(ALICE, slot, NOW)


@pytest.mark.parametrize("flags", [-1, 1 << 16])
def test_flags_over_sixteen_bits_are_rejected(table: AffinityTable, flags: int) -> None:
    with pytest.raises(ValueError, match="flags"):
        table.keep(ALICE, 1, NOW, flags=flags)


def test_the_largest_values_round_trip(table: AffinityTable) -> None:
    table.keep(2**64 - 1, 63, NOW, flags=2**16 - 1, prefix_tokens=2**62, body_bytes=2**62)
    binding = table.find(2**64 - 1, NOW)
    assert binding is not None
    assert (binding.slot, binding.flags, binding.prefix_tokens) == (63, 2**16 - 1, 2**62)


def test_flags_are_distinct_bits() -> None:
    assert (MOVED, FOREIGN, UNSIGNED) == (1, 2, 4)


# ---- eviction from a full set


def test_an_expired_entry_is_evicted_first(small: AffinityTable) -> None:
    for k in range(1, 9):
        small.keep(k, 1, NOW + k, ttl_s=10.0 if k == 5 else 300.0)
    small.keep(9, 1, NOW + 20.0)
    assert known(small, NOW + 20.0, *range(1, 10)) == [1, 2, 3, 4, 6, 7, 8, 9]


def test_the_oldest_unmoved_entry_is_evicted_next(small: AffinityTable) -> None:
    for k in range(1, 9):
        small.keep(k, 1, NOW + k, flags=MOVED if k in (1, 2) else FOREIGN)
    small.keep(9, 1, NOW + 20.0)
    assert known(small, NOW + 20.0, *range(1, 10)) == [1, 2, 4, 5, 6, 7, 8, 9]


def test_the_oldest_entry_is_evicted_last(small: AffinityTable) -> None:
    for k in range(1, 9):
        small.keep(k, 1, NOW + 100 - k, flags=MOVED)
    small.keep(9, 1, NOW + 200.0, flags=MOVED)
    assert known(small, NOW + 200.0, *range(1, 10)) == [1, 2, 3, 4, 5, 6, 7, 9]


def test_an_empty_entry_is_used_before_any_eviction(small: AffinityTable) -> None:
    for k in range(1, 9):
        small.keep(k, 2 if k == 4 else 1, NOW, ttl_s=1.0 if k == 1 else 300.0)
    small.forget_slot(2)
    small.keep(9, 1, NOW + 10.0)
    small.keep(10, 1, NOW + 10.0)  # now the expired one
    assert known(small, NOW + 10.0, *range(1, 11)) == [2, 3, 5, 6, 7, 8, 9, 10]


def test_updating_a_binding_evicts_nothing(small: AffinityTable) -> None:
    for k in range(1, 9):
        small.keep(k, 1, NOW)
    for k in range(1, 9):
        small.keep(k, 2, NOW + 1.0)
    assert known(small, NOW + 1.0, *range(1, 9)) == list(range(1, 9))


@pytest.mark.parametrize("number", [1, 3, 8, 100, 1023])
def test_any_table_size_works(number: int) -> None:
    table = AffinityTable(SharedMemory.private(bindings=number))
    for k in range(1, 4000):
        table.keep(k, 1, NOW + k / 1000)
        assert table.find(k, NOW + k / 1000) is not None
    assert 0.9 * number - 8 < len(known(table, NOW + 4.0, *range(1, 4000))) <= number


# ---- hashes


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"", 0x7AB40E090F363A7D),
        (b"a", 0xE2A09A9804F63BFF),
        (b"a\0", 0x021A5CBB88143741),
        (b"12345678", 0x5232BF449FFFD4A0),
        (b"12345678\0", 0x2D8C9C5BB6E0F678),
        (b"0f8fad5b-d9cb-469f-a165-70867728950e", 0x5A152446FA8B649F),
    ],
)
def test_hash64_is_stable_across_releases(data: bytes, value: int) -> None:
    assert hash64(data) == value


def test_hash64_does_not_collide_on_similar_inputs() -> None:
    texts = {bytes([a, b]) * n for a in range(64) for b in range(0, 256, 16) for n in range(8)}
    texts |= {b"\0" * n for n in range(100)}
    assert len({hash64(text) for text in texts}) == len(texts)


def test_hash64_bits_are_unbiased() -> None:
    hashes = [hash64(b"session-%d" % k) for k in range(4000)]
    for bit in range(64):
        assert 1800 < sum(h >> bit & 1 for h in hashes) < 2200


def test_rendezvous_follows_the_weights() -> None:
    weights = {hash64(b"one"): 1, hash64(b"two"): 2, hash64(b"three"): 3, hash64(b"none"): 0}
    won = Counter(
        max(weights, key=lambda seed: rendezvous(conversation, seed, weights[seed]))
        for conversation in (hash64(b"%d" % k) for k in range(6000))
    )
    for seed, weight in weights.items():
        assert won[seed] == pytest.approx(1000 * weight, abs=150 if weight else 0)
    assert rendezvous(ALICE, 1, 0) == -math.inf


def winner(conversation: int, seeds: list[int]) -> int:
    return max(seeds, key=lambda seed: rendezvous(conversation, seed, 1))


def test_removing_a_node_remaps_only_its_conversations() -> None:
    seeds = [hash64(b"node-%d" % k) for k in range(5)]
    left = [*seeds[:2], *seeds[3:]]
    moved = [
        conversation
        for conversation in (hash64(b"%d" % k) for k in range(500))
        if winner(conversation, seeds) != winner(conversation, left)
    ]
    assert 60 < len(moved) < 140
    assert {winner(conversation, seeds) for conversation in moved} == {seeds[2]}


# ---- many ids of one client


def ids(count: int, seed: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.getrandbits(64) | 1 for _ in range(count)]


@pytest.mark.parametrize("count", [13_000, 100_000])
@pytest.mark.parametrize("flooder", ["another client", "the same client"])
def test_ids_of_one_client_do_not_evict_conversations_of_another(count: int, flooder: str) -> None:
    table = AffinityTable(SharedMemory.private(bindings=16_384))
    ours, client = ids(20, 1), -7
    for turn in range(2):
        for one in ours:
            table.keep(one, 1, NOW + turn, client=client, again=turn > 0)
    attacker = client if flooder == "the same client" else -8
    for n, other in enumerate(ids(count, 2)):
        table.keep(other, 2, NOW + 2.0 + n / count, client=attacker)
    assert known(table, NOW + 4.0, *ours) == ours


def test_not_even_ids_that_come_again_take_more_than_a_share_from_another_client() -> None:
    table = AffinityTable(SharedMemory.private(bindings=16_384))
    ours = ids(20, 1)
    for one in ours:
        table.keep(one, 1, NOW, client=-7)
    for turn in range(2):
        for other in ids(50_000, 2):
            table.keep(other, 2, NOW + 1.0, client=-8, again=turn > 0)
    assert known(table, NOW + 2.0, *ours) == ours


def test_a_client_that_has_filled_a_set_gives_half_of_it_to_another(small: AffinityTable) -> None:
    for k in range(1, 9):
        small.keep(k, 1, NOW, client=-1, again=True)
    for k in range(11, 31):
        small.keep(k, 1, NOW + k, client=-2)
    assert len(known(small, NOW + 50.0, *range(1, 9))) == 4
    assert known(small, NOW + 50.0, *range(11, 31)) == [27, 28, 29, 30]


def test_one_that_came_again_stays_so_and_is_evicted_after_one_that_came_once(
    small: AffinityTable,
) -> None:
    small.keep(1, 1, NOW)
    small.keep(1, 1, NOW + 1.0, again=True)
    small.keep(1, 1, NOW + 1.0)
    for k in range(2, 40):
        small.keep(k, 1, NOW + k)
    assert known(small, NOW + 50.0, 1, 2) == [1]


def test_the_places_of_bindings_depend_on_a_key_that_each_memory_has(
    tmp_path: Path,
) -> None:
    def kept(memory: SharedMemory) -> list[int]:
        table = AffinityTable(memory)
        for one in range(1, 200):
            table.keep(one, 1, NOW)
        return known(table, NOW, *range(1, 200))

    with (tmp_path / "memory").open("w+b") as file:
        SharedMemory.format(file.fileno(), workers=2, targets=2, endpoints=1, bindings=64)
        first = SharedMemory(file.fileno(), 0)
        mine = kept(first)
        again = AffinityTable(SharedMemory(file.fileno(), 1))  # a worker of the next generation
    assert known(again, NOW, *range(1, 200)) == mine
    assert any(kept(SharedMemory.private(bindings=64)) != mine for _ in range(5))
