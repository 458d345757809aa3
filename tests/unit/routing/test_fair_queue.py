"""Who is next of those that wait."""

import pytest

from ccrelay.routing.fair_queue import RANKS, Claims, FairQueue
from ccrelay.types import TrafficClass

MAIN, SUB, BACK = TrafficClass.MAIN, TrafficClass.SUBAGENT, TrafficClass.BACKGROUND


def queue(*joins: tuple[str, TrafficClass, int]) -> FairQueue[str]:
    made: FairQueue[str] = FairQueue()
    for thing, traffic, conversation in joins:
        made.join(thing, traffic, conversation)
    return made


def order(of: FairQueue[str]) -> str:
    return "".join(of.in_order())


def served(of: FairQueue[str]) -> str:
    """Everybody, each served when first."""
    names = ""
    while len(of):
        first = next(of.in_order())
        assert of.leave(first, served=True)
        names += first
    return names


def test_every_class_of_traffic_has_a_rank() -> None:
    assert RANKS.keys() == set(TrafficClass)


def test_an_empty_queue_is_empty() -> None:
    empty = queue()
    assert (len(empty), order(empty), "a" in empty) == (0, "", False)
    assert repr(empty) == "<FairQueue [0, 0, 0]>"


def test_within_a_conversation_it_is_first_come_first_served() -> None:
    made = queue(("a", MAIN, 1), ("b", MAIN, 1), ("c", MAIN, 1))
    assert order(made) == served(made) == "abc"


def test_the_main_loop_goes_before_subagents_and_those_before_background() -> None:
    made = queue(("x", BACK, 1), ("y", SUB, 2), ("z", MAIN, 3), ("w", TrafficClass.COMPACTION, 1))
    assert order(made) == "zwyx"
    assert repr(made) == "<FairQueue [2, 1, 1]>"


def test_conversations_take_turns() -> None:
    made = queue(*[(name, SUB, 1) for name in "abcde"], ("X", SUB, 2), ("Y", SUB, 2))
    assert order(made) == "aXbYcde"
    assert served(made) == "aXbYcde"


def test_a_conversation_that_was_served_goes_behind_one_that_came_meanwhile() -> None:
    made = queue(("a", MAIN, 1), ("b", MAIN, 1))
    made.join("X", MAIN, 2)
    made.leave("a", served=True)
    assert order(made) == "Xb"


def test_one_that_leaves_unserved_does_not_cost_its_conversation_the_turn() -> None:
    made = queue(("a", MAIN, 1), ("b", MAIN, 1), ("X", MAIN, 2))
    made.leave("a")
    assert order(made) == "bX"


def test_requests_without_a_conversation_are_strangers_to_each_other() -> None:
    made = queue(("a", MAIN, 0), ("b", MAIN, 0), ("X", MAIN, 1), ("Y", MAIN, 1))
    assert order(made) == "abXY"


@pytest.mark.parametrize("is_served", [True, False])
def test_leaving_twice_is_leaving_once(is_served: bool) -> None:
    made = queue(("a", MAIN, 1))
    assert "a" in made
    assert made.leave("a", served=is_served)
    assert not made.leave("a", served=is_served)
    assert len(made) == 0


def claimed(of: Claims, *slots: int) -> list[set[int]]:
    """By rank, what of these one of that rank has to leave alone."""
    return [set(of.of(set(slots), rank)) for rank in range(3)]


def test_a_claim_holds_against_its_rank_and_those_below() -> None:
    made = Claims()
    made.add([1, 2], 1)
    assert claimed(made, 1, 2, 3) == [set(), {1, 2}, {1, 2}]
    made.add([3], 0)
    assert claimed(made, 1, 3) == [{3}, {1, 3}, {1, 3}]


def test_a_claim_against_no_rank_is_none() -> None:
    made = Claims()
    made.add([1], 3)
    assert claimed(made, 1) == [set()] * 3
    made.remove([1], 3)


def test_a_slot_is_free_when_its_last_claim_is_removed() -> None:
    made = Claims()
    made.add([1, 2], 0)
    made.add([2, 3], 1)
    made.remove([1, 2], 0)
    assert claimed(made, 1, 2, 3) == [set(), {2, 3}, {2, 3}]
    made.remove([2, 3], 1)
    assert claimed(made, 1, 2, 3) == [set()] * 3


# ---- clients


def test_clients_take_turns_whatever_they_ask_for() -> None:
    made = queue()
    for name in "abcd":
        made.join(name, MAIN, ord(name), client=1)
    made.join("X", BACK, 1, client=2)
    made.join("Y", SUB, 1, client=2)
    made.join("Z", MAIN, 1, client=3)
    assert order(made) == "aYZbXcd"
    assert served(made) == "aYZbXcd"
    assert repr(queue(("a", MAIN, 1))) == "<FairQueue [1, 0, 0]>"


def test_a_client_that_was_served_goes_behind_one_that_came_meanwhile() -> None:
    made = queue(("a", MAIN, 1), ("b", MAIN, 2))
    made.join("X", BACK, 3, client=2)
    made.leave("a", served=True)
    assert order(made) == "Xb"


def test_the_requests_of_a_client_are_counted() -> None:
    made = queue(("a", MAIN, 1), ("b", SUB, 2))
    made.join("X", MAIN, 1, client=2)
    assert [made.waiting_of(client) for client in range(4)] == [2, 0, 1, 0]
    made.leave("a")
    made.leave("b")
    assert made.waiting_of(0) == 0


def test_a_claim_of_a_client_blocks_all_requests_of_others() -> None:
    claims, slots = Claims(), {1, 2, 3}
    claims.add({1, 2}, 1, client=5)
    assert [claims.of(slots, rank, 5) for rank in range(3)] == [set(), {1, 2}, {1, 2}]
    assert [claims.of(slots, rank, 6) for rank in range(3)] == [{1, 2}] * 3
    claims.add({1}, 0, client=6)
    assert claims.of(slots, 0, 5) == {1}
    claims.remove({1}, 0, client=6)
    claims.remove({1, 2}, 1, client=5)
    assert [claims.of(slots, rank, client) for rank in range(3) for client in (5, 6)] == [set()] * 6


def test_a_claim_for_lower_ranks_alone_blocks_those_of_all_clients() -> None:
    claims = Claims()
    claims.add({1}, 1)
    assert [claims.of({1}, rank, client) for rank in (0, 1) for client in (5, 6)] == [
        set(),
        set(),
        {1},
        {1},
    ]
