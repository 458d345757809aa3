"""Nobody is forgotten in the queue, and how often anybody is overtaken has a bound."""

from typing import NamedTuple

import hypothesis.strategies as st
from hypothesis import given, settings

from ccrelay.routing.waiting import RANKS, Queue
from ccrelay.types import TrafficClass

CALM = settings(deadline=None, max_examples=200)
TRAFFIC = st.sampled_from(list(TrafficClass))


class Thing(NamedTuple):
    number: int
    rank: int
    conversation: int


class Joined(NamedTuple):
    """What stood in the queue when a thing joined."""

    ahead_in_own_line: int
    at: int  # how many had been served


# A join (class, conversation), or one of: the first is served, the n-th leaves.
STEPS = st.lists(
    st.one_of(
        st.tuples(TRAFFIC, st.integers(1, 4)),
        st.just("serve"),
        st.tuples(st.just("leave"), st.integers(0, 30)),
    ),
    max_size=60,
)


@CALM
@given(STEPS)
def test_the_queue_has_those_who_joined_and_did_not_leave_once_each(steps: list[object]) -> None:
    queue: Queue[int] = Queue()
    here: list[int] = []
    for number, step in enumerate(steps):
        if step == "serve":
            if here:
                first = next(queue.in_order())
                here.remove(first)
                assert queue.leave(first, served=True)
        elif isinstance(step, tuple) and step[0] == "leave":
            if here:
                gone = here.pop(step[1] % len(here))
                assert queue.leave(gone)
        elif isinstance(step, tuple):
            queue.join(number, step[0], step[1])
            here.append(number)
        assert sorted(queue.in_order()) == sorted(here)
        assert len(queue) == len(here)
        assert sorted(queue.ahead(TrafficClass.BACKGROUND)) == sorted(here)


@CALM
@given(STEPS)
def test_of_each_other_conversation_no_more_go_before_one_than_stood_before_it_in_its_own_line(
    steps: list[object],
) -> None:
    queue: Queue[Thing] = Queue()
    joined: dict[Thing, Joined] = {}
    served: list[Thing] = []

    def serve() -> None:
        thing = next(queue.in_order())
        queue.leave(thing, served=True)
        before = served[joined[thing].at :]
        # The rank above goes first, however many they are; those below never do.
        assert all(other.rank <= thing.rank for other in before)
        equals = [other for other in before if other.rank == thing.rank]
        own = [other for other in equals if other.conversation == thing.conversation]
        assert len(own) == joined[thing].ahead_in_own_line
        assert all(other.number < thing.number for other in own)
        for conversation in {other.conversation for other in equals} - {thing.conversation}:
            times = sum(other.conversation == conversation for other in equals)
            assert times <= joined[thing].ahead_in_own_line + 1
        served.append(thing)

    for number, step in enumerate(steps):
        if step == "serve":
            if len(queue):
                serve()
        elif isinstance(step, tuple) and step[0] != "leave":
            thing = Thing(number, RANKS[step[0]], step[1])
            ahead = sum(other[1:] == thing[1:] for other in queue.in_order())
            joined[thing] = Joined(ahead, len(served))
            queue.join(thing, step[0], step[1])
    while len(queue):
        serve()
    assert len(served) == len(joined)
