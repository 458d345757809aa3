"""Exchanges under way, read from the exchanges themselves when the manager asks.

Imported at the first question: unwatched, a worker has no cost from this, and an
exchange never has.
"""

import heapq
import time
from operator import attrgetter

import msgspec

from ccrelay._fast.asker import texts_of
from ccrelay.ledger.running import Phase, Running, RunningList
from ccrelay.relay.attempt import Attempt
from ccrelay.relay.context import WorkerContext
from ccrelay.relay.exchange_base import ExchangeBase
from ccrelay.relay.exchange_state import ExchangeState

TEXT_MAX = 256  # characters, as the ledger keeps them
_PHASES: dict[int, Phase] = {
    ExchangeState.ROUTING: Phase.PREPARING,
    ExchangeState.AWAITING_BODY: Phase.PREPARING,
    ExchangeState.PREPARING: Phase.PREPARING,
    ExchangeState.QUEUED: Phase.QUEUED,
    ExchangeState.CONNECTING: Phase.CONNECTING,
    ExchangeState.AWAITING_HEAD: Phase.AWAITING,
    ExchangeState.HOLDING: Phase.HOLDING,
    ExchangeState.COLLECTING_ERROR: Phase.HOLDING,
    ExchangeState.STREAMING: Phase.STREAMING,
}
_serial = attrgetter("serial")
_encode = msgspec.msgpack.Encoder().encode


def running(context: WorkerContext, limit: int) -> bytes:
    """The exchanges under way, a `RunningList` as msgpack.

    Args:
        context: of the worker.
        limit: at most so many, the oldest.
    """
    context.reactor.clock()
    exchanges = [one for one in context.active if isinstance(one, ExchangeBase)]
    oldest = heapq.nsmallest(limit, exchanges, key=_serial)
    began_s = time.time() - context.reactor.now
    return _encode(RunningList(len(exchanges), [_running(one, began_s) for one in oldest]))


def _running(exchange: ExchangeBase, began_s: float) -> Running:
    """One exchange. `began_s`: what a monotonic time lacks to be one since 1970."""
    client, outcome, request = exchange.client, exchange.outcome, exchange.request
    down = client.down
    session, agent, project, _ = texts_of(down.head)
    attempt, phase = exchange.attempt, _PHASES.get(exchange.state, Phase.PREPARING)
    if attempt is not None and (attempt.noted or phase is Phase.QUEUED):
        attempt = None  # it is over, and no other one has begun
    target = attempt.target if attempt is not None else None
    tries = outcome.tries
    return Running(
        id=exchange.id,
        started_at_us=round((began_s + down.received_at) * 1e6),
        phase=phase,
        kind=client.kind,
        traffic=request.traffic if request is not None else -1,
        model=_text(client.model),
        sent=_text(_sent(attempt)),
        provider=target.provider.name if target is not None else "",
        key=target.fingerprint if target is not None else "",
        key_name=(target.name or "") if target is not None else "",
        attempts=_number(exchange, attempt, phase),
        session=session,
        agent=agent,
        project=project,
        first_event_us=_first_event_us(exchange, attempt),
        bytes_out=down.bytes_out,
        failed=tries[-1].verdict if tries else "",
    )


def _text(text: str | None) -> str:
    """As the record of the exchange will have it: `?` for a lone surrogate."""
    cut = (text or "")[:TEXT_MAX]
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode()


def _sent(attempt: Attempt | None) -> str:
    candidate = attempt.candidate if attempt is not None else None
    return candidate.sent if candidate is not None else ""


def _number(exchange: ExchangeBase, attempt: Attempt | None, phase: Phase) -> int:
    """The number of the present attempt, which is counted when it is sent."""
    if attempt is None:
        return 0
    return exchange.outcome.attempts + (phase in (Phase.PREPARING, Phase.CONNECTING))


def _first_event_us(exchange: ExchangeBase, attempt: Attempt | None) -> int:
    upstream = attempt.upstream if attempt is not None else None
    # A connection that was given back may serve another exchange by now.
    if upstream is None or upstream.exchange is not exchange:
        return 0
    seen_at = upstream.taps.first_event_at
    return round((seen_at - exchange.client.down.received_at) * 1e6) if seen_at > 0.0 else 0
