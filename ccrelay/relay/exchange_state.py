"""The states of an exchange, and the transitions between them. The whole table.

ROUTING            finding the model, its route and a target
AWAITING_BODY      routing or sending waits for the request body
PREPARING          the body is unpacked or rewritten in a thread, or waits for that
QUEUED             in the pending queue: no target has capacity
CONNECTING         a connection to the target is being dialled
AWAITING_HEAD      the request is being sent, or the provider thinks
HOLDING            a response is held back until it proves to be an answer; one that need not prove
                   itself until the first byte of its body (which is not reported: it ends here)
STREAMING          an answer goes to the client: no other attempt is made
COLLECTING_ERROR   a response is read whole before it is judged: an error, or no answer
DONE               everything was given back and one log entry written
"""

from enum import IntEnum


class ExchangeState(IntEnum):
    """Where an exchange is."""

    ROUTING = 0
    AWAITING_BODY = 1
    PREPARING = 2
    QUEUED = 3
    CONNECTING = 4
    AWAITING_HEAD = 5
    HOLDING = 6
    STREAMING = 7
    COLLECTING_ERROR = 8
    DONE = 9


class Resume(IntEnum):
    """What to go on with when the request body, or its model, has arrived."""

    NOTHING = 0
    FIND_ROUTE = 1
    UNPACK = 2
    MATCH_RULES = 3
    PROFILE = 4
    SELECT = 5
    WHOLE_BODY = 6
    SEND = 7
    TRANSLATE = 8


TRANSITIONS: dict[ExchangeState, frozenset[ExchangeState]] = {
    ExchangeState.ROUTING: frozenset(
        {
            ExchangeState.AWAITING_BODY,
            ExchangeState.PREPARING,
            ExchangeState.QUEUED,
            ExchangeState.CONNECTING,
            ExchangeState.AWAITING_HEAD,
            ExchangeState.DONE,
        }
    ),
    ExchangeState.AWAITING_BODY: frozenset({ExchangeState.ROUTING, ExchangeState.DONE}),
    ExchangeState.PREPARING: frozenset({ExchangeState.ROUTING, ExchangeState.DONE}),
    ExchangeState.QUEUED: frozenset({ExchangeState.ROUTING, ExchangeState.DONE}),
    ExchangeState.CONNECTING: frozenset(
        {ExchangeState.ROUTING, ExchangeState.AWAITING_HEAD, ExchangeState.DONE}
    ),
    ExchangeState.AWAITING_HEAD: frozenset(
        {
            ExchangeState.ROUTING,
            ExchangeState.CONNECTING,  # the pooled connection was stale
            ExchangeState.HOLDING,
            ExchangeState.COLLECTING_ERROR,
            ExchangeState.DONE,
        }
    ),
    ExchangeState.HOLDING: frozenset(
        {
            ExchangeState.ROUTING,
            ExchangeState.STREAMING,
            ExchangeState.COLLECTING_ERROR,  # what is held is no answer
            ExchangeState.DONE,
        }
    ),
    ExchangeState.STREAMING: frozenset({ExchangeState.DONE}),
    ExchangeState.COLLECTING_ERROR: frozenset({ExchangeState.ROUTING, ExchangeState.DONE}),
    ExchangeState.DONE: frozenset(),
}


STATES = len(ExchangeState)


def allowed() -> bytes:
    """The table as a matrix of bytes: 1 at `old * STATES + new` where the transition exists."""
    return bytes(new in TRANSITIONS[old] for old in ExchangeState for new in ExchangeState)
