"""Requests that wait for a target: who is next, and what it is next for.

The main loop goes before sub-agents, those before background work; among equals conversations take
turns, so that one with a hundred sub-agents does not hold up another's first; within a conversation
it is first come, first served.

Who waits claims the targets it waits for: to those behind it they are full, whatever room they
have, so that small requests do not use up what a large one waits for. What nobody ahead has claimed
is free to take.

Pure: who waits is told when to try, and by whom, elsewhere.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Iterator, Set
from typing import Generic, TypeVar

from ccrelay.types import TrafficClass

T = TypeVar("T", bound=Hashable)

RANKS = {
    TrafficClass.MAIN: 0,
    TrafficClass.COMPACTION: 0,  # the next turn of the main loop waits for it
    TrafficClass.COUNT_TOKENS: 0,
    TrafficClass.SUBAGENT: 1,
    TrafficClass.WEB_SEARCH: 1,
    TrafficClass.BACKGROUND: 2,
}


class FairQueue(Generic[T]):
    """Waiting things in fair order. A thing waits once."""

    def __init__(self) -> None:
        self._ranks: list[OrderedDict[int, deque[T]]] = [
            OrderedDict() for _ in range(max(RANKS.values()) + 1)
        ]
        self._places: dict[T, tuple[int, int]] = {}
        self._strangers = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, thing: T) -> bool:
        return thing in self._places

    def join(self, thing: T, traffic: TrafficClass, conversation: int) -> None:
        """Wait behind those of the same rank and conversation. 0: a conversation of its own."""
        if not conversation:
            self._strangers -= 1  # hashes are positive
            conversation = self._strangers
        rank = RANKS[traffic]
        self._ranks[rank].setdefault(conversation, deque()).append(thing)
        self._places[thing] = rank, conversation

    def leave(self, thing: T, *, served: bool = False) -> bool:
        """Wait no more. Served: its conversation goes behind the others. False: it was not here."""
        binding = self._places.pop(thing, None)
        if binding is None:
            return False
        rank, conversation = binding
        turns = self._ranks[rank]
        line = turns[conversation]
        line.remove(thing)
        if not line:
            del turns[conversation]
        elif served:
            turns.move_to_end(conversation)
        return True

    def in_order(self) -> Iterator[T]:
        """Everybody, the next one first: each conversation's first, then each one's second."""
        for turns in self._ranks:
            lines = [list(line) for line in turns.values()]
            depth = 0
            while lines:
                lines = [line for line in lines if len(line) > depth]
                for line in lines:
                    yield line[depth]
                depth += 1

    def __repr__(self) -> str:
        return f"<FairQueue {[sum(map(len, turns.values())) for turns in self._ranks]}>"


class Claims:
    """The targets that are waited for, by slot, and which ranks have to leave them alone."""

    def __init__(self) -> None:
        # By rank: how many claim a slot against it.
        self._counts: list[dict[int, int]] = [{} for _ in range(max(RANKS.values()) + 1)]

    def add(self, slots: Iterable[int], rank: int) -> None:
        """Claim these against that rank and all below it."""
        for counts in self._counts[rank:]:
            for slot in slots:
                counts[slot] = counts.get(slot, 0) + 1

    def remove(self, slots: Iterable[int], rank: int) -> None:
        """Take back what was added."""
        for counts in self._counts[rank:]:
            for slot in slots:
                left = counts[slot] - 1
                if left:
                    counts[slot] = left
                else:
                    del counts[slot]

    def of(self, slots: Set[int], rank: int) -> Set[int]:
        """Those of these that are claimed against one of that rank."""
        return slots & self._counts[rank].keys()
