"""Fair order of queued requests, and the targets that they claim.

Clients take turns, so that one with a thousand requests does not delay the first one of another.
Of one client, the main loop comes before sub-agents, sub-agents before background requests. Within
a rank, conversations take turns, and within a conversation the order is first in, first out.

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


class _Client(Generic[T]):
    """The waiters of one client."""

    __slots__ = ("ranks", "size")

    def __init__(self) -> None:
        self.ranks: list[OrderedDict[int, deque[T]]] = [
            OrderedDict() for _ in range(max(RANKS.values()) + 1)
        ]
        self.size = 0

    def in_order(self) -> Iterator[T]:
        """By rank; in each the first of each conversation, then the second of each."""
        for turns in self.ranks:
            lines = [list(line) for line in turns.values()]
            depth = 0
            while lines:
                lines = [line for line in lines if len(line) > depth]
                for line in lines:
                    yield line[depth]
                depth += 1


class FairQueue(Generic[T]):
    """Waiters in fair order. A waiter is in the queue at most once."""

    def __init__(self) -> None:
        self._clients: OrderedDict[int, _Client[T]] = OrderedDict()  # whose turn it is first
        self._places: dict[T, tuple[int, int, int]] = {}
        self._strangers = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, thing: T) -> bool:
        return thing in self._places

    def waiting_of(self, client: int) -> int:
        """How many of a client's requests wait."""
        known = self._clients.get(client)
        return known.size if known is not None else 0

    def join(self, thing: T, traffic: TrafficClass, conversation: int, client: int = 0) -> None:
        """Append to the waiters of this client, rank and conversation.

        Conversation 0: one of its own.
        """
        if not conversation:
            self._strangers -= 1  # hashes are positive
            conversation = self._strangers
        rank = RANKS[traffic]
        known = self._clients.get(client)
        if known is None:
            known = self._clients[client] = _Client()
        known.ranks[rank].setdefault(conversation, deque()).append(thing)
        known.size += 1
        self._places[thing] = client, rank, conversation

    def leave(self, thing: T, *, served: bool = False) -> bool:
        """Remove a waiter; False: it was not queued.

        `served` moves its client to the end, and its conversation among those of the client.
        """
        position = self._places.pop(thing, None)
        if position is None:
            return False
        client, rank, conversation = position
        known = self._clients[client]
        turns = known.ranks[rank]
        line = turns[conversation]
        line.remove(thing)
        known.size -= 1
        if not line:
            del turns[conversation]
        elif served:
            turns.move_to_end(conversation)
        if not known.size:
            del self._clients[client]
        elif served:
            self._clients.move_to_end(client)
        return True

    def in_order(self) -> Iterator[T]:
        """All waiters, next first: the first of each client, then the second of each."""
        lines = [known.in_order() for known in self._clients.values()]
        while lines:
            left = []
            for line in lines:
                thing = next(line, None)
                if thing is not None:
                    left.append(line)
                    yield thing
            lines = left

    def __repr__(self) -> str:
        sizes = [0] * (max(RANKS.values()) + 1)
        for known in self._clients.values():
            for rank, turns in enumerate(known.ranks):
                sizes[rank] += sum(map(len, turns.values()))
        return f"<FairQueue {sizes}>"


class Claims:
    """Targets claimed by queued requests, by slot, rank and client.

    A claim of a client blocks its own requests of the claim's rank and lower ones, and all of
    others: clients take turns, whatever they ask for. A claim of no client blocks the requests of
    its rank and lower ones, whoever sends them.
    """

    def __init__(self) -> None:
        ranks = range(max(RANKS.values()) + 1)
        # By rank: the number of claims on a slot that block this rank, of some client at least.
        self._counts: list[dict[int, int]] = [{} for _ in ranks]
        # By rank and client: how many of these are the client's own, and do not block it.
        self._spared: list[dict[int, dict[int, int]]] = [{} for _ in ranks]

    def add(self, slots: Iterable[int], rank: int, client: int | None = None) -> None:
        """Claim slots for a request of this rank."""
        for counts in self._counts[rank if client is None else 0 :]:
            for slot in slots:
                counts[slot] = counts.get(slot, 0) + 1
        if client is not None:
            for spared in self._spared[:rank]:
                counts = spared.setdefault(client, {})
                for slot in slots:
                    counts[slot] = counts.get(slot, 0) + 1

    def remove(self, slots: Iterable[int], rank: int, client: int | None = None) -> None:
        """Release the claims of `add`."""
        for counts in self._counts[rank if client is None else 0 :]:
            _count_down(counts, slots)
        if client is not None:
            for spared in self._spared[:rank]:
                counts = spared.get(client, {})
                _count_down(counts, slots)
                if not counts:
                    spared.pop(client, None)

    def of(self, slots: Set[int], rank: int, client: int | None = None) -> Set[int]:
        """Those of `slots` that are blocked for a request of this rank and client."""
        counts = self._counts[rank]
        held = slots & counts.keys()
        spared = self._spared[rank].get(client) if client is not None else None
        if not spared or not held:
            return held
        return {slot for slot in held if counts[slot] > spared.get(slot, 0)}


def _count_down(counts: dict[int, int], slots: Iterable[int]) -> None:
    for slot in slots:
        left = counts[slot] - 1
        if left:
            counts[slot] = left
        else:
            del counts[slot]
