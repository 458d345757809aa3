"""The table of conversations, and the hashes that all nodes agree on."""

import math
from collections import Counter

import pytest

from ccrelay._fast.affinity_table import FOREIGN, MOVED, UNSIGNED, AffinityTable, hash64, rendezvous
from ccrelay._fast.shared_memory import SharedMemory

NOW = 1000.0
ONE_SET = 8
ALICE, BOB = hash64(b"alice"), hash64(b"bob")


@pytest.fixture
def board() -> SharedMemory:
    return SharedMemory.private(workers=2, targets=64, places=1024)


@pytest.fixture
def places(board: SharedMemory) -> AffinityTable:
    return AffinityTable(board)


@pytest.fixture
def small() -> AffinityTable:
    """One set, so that the ninth conversation pushes another one out."""
    return AffinityTable(SharedMemory.private(places=ONE_SET))


def known(places: AffinityTable, now: float, *conversations: int) -> list[int]:
    return [one for one in conversations if places.find(one, now) is not None]


# ---- entries


def test_what_is_kept_is_found_again_by_every_worker(
    board: SharedMemory, places: AffinityTable
) -> None:
    places.keep(
        ALICE,
        7,
        NOW,
        ttl_s=3600.0,
        prefix_tokens=150_000,
        body_bytes=3_000_000_000,
        flags=MOVED | UNSIGNED,
    )
    place = AffinityTable(board.as_worker(1)).find(ALICE, NOW + 1.0)
    assert place is not None
    assert (place.slot, place.flags) == (7, MOVED | UNSIGNED)
    assert (place.prefix_tokens, place.body_bytes) == (150_000, 3_000_000_000)
    assert (place.seen_at, place.ttl_s) == (NOW, 3600.0)
    assert "slot=7" in repr(place)


def test_an_unknown_conversation_is_nowhere(places: AffinityTable) -> None:
    places.keep(ALICE, 7, NOW)
    assert places.find(BOB, NOW) is None


def test_a_copy_stays_as_it_was_when_the_entry_changes(places: AffinityTable) -> None:
    places.keep(ALICE, 7, NOW)
    before = places.find(ALICE, NOW)
    places.keep(ALICE, 8, NOW + 1.0, flags=FOREIGN)
    after = places.find(ALICE, NOW + 1.0)
    assert before is not None
    assert after is not None
    assert (before.slot, before.flags, after.slot, after.flags) == (7, 0, 8, FOREIGN)
    assert places.forget_slot(7) == 0
    assert places.forget_slot(8) == 1


def test_a_place_is_warm_until_its_cache_expires_and_is_nowhere_then(places: AffinityTable) -> None:
    places.keep(ALICE, 7, NOW, ttl_s=300.0)
    place = places.find(ALICE, NOW + 299.9)
    assert place is not None
    assert place.seen_at + place.ttl_s == NOW + 300.0
    assert places.find(ALICE, NOW + 300.0) is None


def test_a_turn_makes_it_live_on(places: AffinityTable) -> None:
    places.keep(ALICE, 7, NOW)
    places.keep(ALICE, 7, NOW + 200.0)
    assert places.find(ALICE, NOW + 400.0) is not None


def test_a_target_that_is_gone_takes_its_conversations_along(places: AffinityTable) -> None:
    for k in range(1, 31):
        places.keep(k, k % 3, NOW)
    assert places.forget_slot(1) == 10
    assert places.forget_slot(1) == 0
    assert known(places, NOW, *range(1, 31)) == [k for k in range(1, 31) if k % 3 != 1]


def test_conversation_zero_is_none(places: AffinityTable) -> None:
    places.keep(0, 7, NOW)
    assert places.find(0, NOW) is None
    assert places.forget_slot(7) == 0


@pytest.mark.parametrize("slot", [-1, 64])
def test_a_target_that_there_is_not_is_refused(places: AffinityTable, slot: int) -> None:
    with pytest.raises(ValueError, match="of 64"):
        places.keep(ALICE, slot, NOW)


@pytest.mark.parametrize("flags", [-1, 1 << 16])
def test_flags_that_have_no_room_are_refused(places: AffinityTable, flags: int) -> None:
    with pytest.raises(ValueError, match="flags"):
        places.keep(ALICE, 1, NOW, flags=flags)


def test_the_largest_values_fit(places: AffinityTable) -> None:
    places.keep(2**64 - 1, 63, NOW, flags=2**16 - 1, prefix_tokens=2**62, body_bytes=2**62)
    place = places.find(2**64 - 1, NOW)
    assert place is not None
    assert (place.slot, place.flags, place.prefix_tokens) == (63, 2**16 - 1, 2**62)


def test_flags_are_bits_of_their_own() -> None:
    assert (MOVED, FOREIGN, UNSIGNED) == (1, 2, 4)


# ---- who goes when a set is full


def test_an_expired_entry_goes_first(small: AffinityTable) -> None:
    for k in range(1, 9):
        small.keep(k, 1, NOW + k, ttl_s=10.0 if k == 5 else 300.0)
    small.keep(9, 1, NOW + 20.0)
    assert known(small, NOW + 20.0, *range(1, 10)) == [1, 2, 3, 4, 6, 7, 8, 9]


def test_then_the_oldest_that_is_where_hashing_puts_it_anyway(small: AffinityTable) -> None:
    for k in range(1, 9):
        small.keep(k, 1, NOW + k, flags=MOVED if k in (1, 2) else FOREIGN)
    small.keep(9, 1, NOW + 20.0)
    assert known(small, NOW + 20.0, *range(1, 10)) == [1, 2, 4, 5, 6, 7, 8, 9]


def test_then_the_oldest(small: AffinityTable) -> None:
    for k in range(1, 9):
        small.keep(k, 1, NOW + 100 - k, flags=MOVED)
    small.keep(9, 1, NOW + 200.0, flags=MOVED)
    assert known(small, NOW + 200.0, *range(1, 10)) == [1, 2, 3, 4, 5, 6, 7, 9]


def test_an_empty_entry_is_taken_before_anybody_goes(small: AffinityTable) -> None:
    for k in range(1, 9):
        small.keep(k, 2 if k == 4 else 1, NOW, ttl_s=1.0 if k == 1 else 300.0)
    small.forget_slot(2)
    small.keep(9, 1, NOW + 10.0)
    small.keep(10, 1, NOW + 10.0)  # now the expired one
    assert known(small, NOW + 10.0, *range(1, 11)) == [2, 3, 5, 6, 7, 8, 9, 10]


def test_a_conversation_that_is_there_pushes_nobody_out(small: AffinityTable) -> None:
    for k in range(1, 9):
        small.keep(k, 1, NOW)
    for k in range(1, 9):
        small.keep(k, 2, NOW + 1.0)
    assert known(small, NOW + 1.0, *range(1, 9)) == list(range(1, 9))


@pytest.mark.parametrize("number", [1, 3, 8, 100, 1023])
def test_any_number_of_places_will_do(number: int) -> None:
    places = AffinityTable(SharedMemory.private(places=number))
    for k in range(1, 4000):
        places.keep(k, 1, NOW + k / 1000)
        assert places.find(k, NOW + k / 1000) is not None
    assert 0.9 * number - 8 < len(known(places, NOW + 4.0, *range(1, 4000))) <= number


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
def test_a_hash_is_the_same_in_every_release(data: bytes, value: int) -> None:
    assert hash64(data) == value


def test_different_bytes_have_different_hashes() -> None:
    texts = {bytes([a, b]) * n for a in range(64) for b in range(0, 256, 16) for n in range(8)}
    texts |= {b"\0" * n for n in range(100)}
    assert len({hash64(text) for text in texts}) == len(texts)


def test_every_bit_of_a_hash_is_as_often_set_as_not() -> None:
    hashes = [hash64(b"session-%d" % k) for k in range(4000)]
    for bit in range(64):
        assert 1800 < sum(h >> bit & 1 for h in hashes) < 2200


def test_a_node_wins_as_often_as_its_weight_says_and_one_of_weight_zero_never() -> None:
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


def test_a_node_that_leaves_moves_its_own_conversations_only() -> None:
    seeds = [hash64(b"node-%d" % k) for k in range(5)]
    left = [*seeds[:2], *seeds[3:]]
    moved = [
        conversation
        for conversation in (hash64(b"%d" % k) for k in range(500))
        if winner(conversation, seeds) != winner(conversation, left)
    ]
    assert 60 < len(moved) < 140
    assert {winner(conversation, seeds) for conversation in moved} == {seeds[2]}
