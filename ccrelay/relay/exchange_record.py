"""The record of an exchange that is over, written into the worker's ring for the manager.

Members are those of `ccrelay.ledger.record.Record`, in order, as a msgpack array. They are written
one by one: a structure and an encoder for it cost more than the rest of accounting.
"""

from collections.abc import Callable

from ccrelay._fast.record_ring import RecordRing, pack
from ccrelay.fleet.learned import Window
from ccrelay.ledger.record import Record, Try, WindowSeen
from ccrelay.relay.attempt import Attempt
from ccrelay.relay.client_request import ClientRequest
from ccrelay.relay.outcome import Outcome
from ccrelay.routing.route_table import Route
from ccrelay.routing.routing_request import RoutingRequest

_NOTHING = pack(None, None, None, None)
_NO_LISTS = b"\x90\x90"
_NO_CHOICE = pack(None, None)
_MEMBERS = len(Record.__struct_fields__)
_TRY_MEMBERS = len(Try.__struct_fields__)
_WINDOW_MEMBERS = len(WindowSeen.__struct_fields__)
# More attempts or windows than these are not kept: no exchange has them but by mistake.
TRIES_MAX = 32
WINDOWS_MAX = 16


def write_record(
    ring: RecordRing,
    wall: Callable[[], float],
    exchange_id: str,
    client: ClientRequest,
    route: Route | None,
    request: RoutingRequest | None,
    attempt: Attempt | None,
    outcome: Outcome,
    now: float,
    asker: tuple[str, str, str, str],
) -> bool:
    """Write the record of an exchange. False: there was no room for it, which the ring counts.

    Args:
        ring: the worker's.
        wall: returns seconds since 1970.
        exchange_id: names the exchange.
        client: the request.
        route: None: the request was not routed.
        request: what it needed; None: that was never known.
        attempt: the last one; None: no target was tried.
        outcome: how it went.
        now: monotonic seconds.
        asker: session, agent, project and trace, as `_fast.asker` has them.
    """
    down = client.down
    received_at = down.received_at
    ring.opening(
        _MEMBERS,
        exchange_id,
        now,
        received_at,
        wall,
        client.kind,
        request.traffic if request is not None else -1,
        client.model,
    )
    _write_target(ring, attempt)
    ring.counts(
        outcome.status,
        outcome.ending,
        outcome.result,
        outcome.attempts,
        down.body_seen(),
        outcome.own_bytes or down.bytes_out,
    )
    _write_answer(ring, attempt, outcome, received_at)
    _write_choice(ring, route, request, outcome)
    session, agent, project, trace = asker
    ring.text(session)
    ring.text(agent)
    ring.text(project)
    _write_cost(ring, outcome)
    _write_targets(ring, route, outcome)
    ring.text(trace)
    return ring.put()


def _write_target(ring: RecordRing, attempt: Attempt | None) -> None:
    """Model as sent, provider, fingerprint and name of the key."""
    if attempt is None:
        ring.packed(_NOTHING)
        return
    candidate, target = attempt.candidate, attempt.target
    if candidate is not None:
        ring.packed(candidate.packed[target.index])
    else:
        ring.texts(None, target.provider.name, target.fingerprint, target.name)


def _write_answer(
    ring: RecordRing, attempt: Attempt | None, outcome: Outcome, received_at: float
) -> None:
    """Usage, times, and whether the answer was a stream and the conversation has moved."""
    upstream = attempt.upstream if attempt is not None else None
    usage = None
    head_s = first_event_s = 0.0
    if upstream is not None:
        usage = outcome.usage
        head_s = upstream.head_seen_at - received_at
        first_event_s = upstream.taps.first_event_at - received_at
    ring.answer(
        usage,
        head_s,
        first_event_s,
        outcome.queued_s,
        outcome.own_s,
        outcome.stream is True,
        outcome.moved,
    )


def _write_cost(ring: RecordRing, outcome: Outcome) -> None:
    ring.integers(
        outcome.cost_micros, outcome.uncached_micros, outcome.moved_micros, outcome.billing
    )
    ring.text(outcome.prices_version)


def _write_choice(
    ring: RecordRing, route: Route | None, request: RoutingRequest | None, outcome: Outcome
) -> None:
    """Stop reason, error, rule, strategy, why the target was taken, conversation."""
    ring.text(outcome.stop_reason)
    ring.text(outcome.error)
    ring.packed(route.packed_choice if route is not None else _NO_CHOICE)
    ring.integer(outcome.why)
    ring.hash(request.conversation if request is not None else 0)


def _write_targets(ring: RecordRing, route: Route | None, outcome: Outcome) -> None:
    """Targets for the model, those that could not take it, failed attempts, windows."""
    if route is not None:
        ring.packed(route.packed_targets)
    else:
        ring.text(None)
    ring.names(outcome.passed)
    if outcome.tries is None and outcome.windows is None:
        ring.packed(_NO_LISTS)
        return
    _write_tries(ring, outcome.tries)
    _write_windows(ring, outcome.windows)


def _write_tries(ring: RecordRing, tries: list[Try] | None) -> None:
    if tries is None:
        ring.array(0)
        return
    tries = tries[-TRIES_MAX:]
    ring.array(len(tries))
    for one in tries:
        ring.array(_TRY_MEMBERS)
        ring.text(one.provider)
        ring.text(one.key)
        ring.text(one.key_name)
        ring.text(one.sent)
        ring.integer(one.started_us)
        ring.integer(one.ended_us)
        ring.integer(one.status)
        ring.text(one.verdict)
        ring.text(one.error)


def _write_windows(ring: RecordRing, windows: list[Window] | None) -> None:
    if windows is None:
        ring.array(0)
        return
    windows = windows[:WINDOWS_MAX]
    ring.array(len(windows))
    for one in windows:
        ring.array(_WINDOW_MEMBERS)
        ring.text(one.name)
        ring.real(one.utilization)
        ring.integer(one.resets_at_ms)
        ring.integer(one.limit)
        ring.integer(one.remaining)
        ring.text(one.status)
