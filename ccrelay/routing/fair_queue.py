"""Fair order of queued requests, and the targets that they claim.

The main loop comes before sub-agents, sub-agents before background requests. Within a rank,
conversations take turns, so that one with a hundred sub-agents does not delay the first request of
another; within a conversation the order is first in, first out.

A queued request claims the targets it waits for: requests behind it may not use them, whatever
their capacity, so that small requests do not use up what a large one waits for. Unclaimed targets
are free.

Pure: `relay.pending_queue` decides when a request tries again.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable, Iterator, Set
from typing import Generic, TypeVar

from ccrelay.types import TrafficClass

T = TypeVar("T", bound=Hashable)

RANKS = {
    TrafficClass.MAIN: 0,
    TrafficClass.COMPACTION: 0,  # the next turn of the main loop depends on it
    TrafficClass.COUNT_TOKENS: 0,
    TrafficClass.SUBAGENT: 1,
    TrafficClass.WEB_SEARCH: 1,
    TrafficClass.BACKGROUND: 2,
}


class FairQueue(Generic[T]):
    """Waiters in fair order. A waiter is in the queue at most once."""

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
        """Append to the waiters of this rank and conversation; 0: a conversation of its own."""
        if not conversation:
            self._strangers -= 1  # hashes are positive
            conversation = self._strangers
        rank = RANKS[traffic]
        self._ranks[rank].setdefault(conversation, deque()).append(thing)
        self._places[thing] = rank, conversation

    def leave(self, thing: T, *, served: bool = False) -> bool:
        """Remove a waiter; False: it was not queued. `served` moves its conversation to the end."""
        position = self._places.pop(thing, None)
        if position is None:
            return False
        rank, conversation = position
        turns = self._ranks[rank]
        line = turns[conversation]
        line.remove(thing)
        if not line:
            del turns[conversation]
        elif served:
            turns.move_to_end(conversation)
        return True

    def in_order(self) -> Iterator[T]:
        """All waiters, next first: the first of each conversation, then the second of each."""
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
    """Targets claimed by queued requests, by slot and rank."""

    def __init__(self) -> None:
        # By rank: the number of claims on a slot that block this rank.
        self._counts: list[dict[int, int]] = [{} for _ in range(max(RANKS.values()) + 1)]

    def add(self, slots: Iterable[int], rank: int) -> None:
        """Claim slots: blocks requests of this rank and lower ones."""
        for counts in self._counts[rank:]:
            for slot in slots:
                counts[slot] = counts.get(slot, 0) + 1

    def remove(self, slots: Iterable[int], rank: int) -> None:
        """Release the claims of `add`."""
        for counts in self._counts[rank:]:
            for slot in slots:
                left = counts[slot] - 1
                if left:
                    counts[slot] = left
                else:
                    del counts[slot]

    def of(self, slots: Set[int], rank: int) -> Set[int]:
        """Those of `slots` that are blocked for a request of this rank."""
        return slots & self._counts[rank].keys()
