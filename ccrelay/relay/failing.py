"""An attempt that failed: somewhere else, later, or the client is told.

Functions on an `Exchange`. What a failure means is decided by `routing.verdict`; here it is acted
upon. Nothing is tried again once content has gone to the client.

    failed -> blame and rests noted, what was taken goes back
      another target may do better, budget and bounds allow -> ROUTING
      nobody can now, somebody soon                         -> waiting
      else the most telling error, as its provider sent it
"""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from ccrelay._fast.http1 import Head
from ccrelay._fast.rate_limits import Cooldown
from ccrelay._fast.upstream import Loss, Upstream
from ccrelay.errors import AllUnavailable, RelayError, UpstreamFailed
from ccrelay.fleet.learned import pause
from ccrelay.fleet.provider_state import Target
from ccrelay.relay import asking, rare, settling
from ccrelay.relay.local import passed_on
from ccrelay.relay.mending import mend_signatures
from ccrelay.relay.resting import rest
from ccrelay.relay.telling import ErrorReply, soonest_s, tell
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.router import Selection, Unavailable
from ccrelay.routing.verdict import (
    Blame,
    ErrorPriority,
    Verdict,
    as_http,
    of_connect,
    of_event,
    of_loss,
    of_status,
)
from ccrelay.types import RequestClass

if TYPE_CHECKING:
    from ccrelay.relay.exchange import Exchange

_SILENCES = frozenset({Loss.NO_FIRST_BYTE.name.lower(), Loss.IDLE.name.lower()})


# ---- what can fail


def on_unreachable(exchange: "Exchange", error: RelayError) -> None:
    """A connection could not be made."""
    if exchange.settled:
        return
    target = exchange.target
    assert target is not None
    exchange.attempts += 1
    exchange.relay.log.event(
        "warning", "connect_failed", provider=target.provider.name, reason=error.message
    )
    if exchange.reservation is not None:
        exchange.reservation.cancel(exchange.relay.reactor.now)  # nothing was sent
        exchange.reservation = None
    verdict = of_connect()
    _failed(exchange, verdict, ErrorReply(verdict.telling, error.status, error=error))


def on_error_answer(exchange: "Exchange", upstream: Upstream, body: bytes) -> None:
    """An answer of 400 and above is here whole."""
    target = exchange.target
    assert target is not None
    relay = exchange.relay
    head = upstream.head
    status: int = head.status
    dialect = target.provider.dialect
    told = ErrorReply(ErrorPriority.FINAL, status, body, head=head)
    if dialect.translates_errors:
        fields = passed_on(head, dialect.forbids_retry(body))
        told = ErrorReply(
            ErrorPriority.FINAL, *dialect.translate_error(status, body), fields=fields
        )
    exchange.status = told.status
    if exchange.candidate is None:
        tell(exchange, told)
        return
    if status < 400:
        # The client has an early 200 and waits for events; a whole message is none.
        exchange.error = "not_a_stream"
        raise UpstreamFailed(
            f"Provider {target.provider.name} answered with a whole message where a stream was "
            "asked for.",
        )
    own_key = not target.provider.passes_client_credential
    health = exchange.snap.config.health
    verdict = of_status(status, head.get, body, dialect, health, relay.wall(), own_key=own_key)
    if exchange.kind is not RequestClass.MESSAGES:
        # Counting has limits and permissions of its own: nothing is learnt of messages.
        verdict = replace(verdict, cooldown_reason=Cooldown.NONE, cooldown_s=0.0, counts=None)
    elif status == 408 and _owes_body(exchange):
        verdict = replace(verdict, counts=None)
    if verdict.cooldown_reason is Cooldown.NONE and verdict.blame is Blame.KEY and not own_key:
        _rest_client(exchange, target, head)
    told.telling = verdict.telling
    if verdict.blame is Blame.SIGNATURE and mend_signatures(exchange):
        return
    _failed(exchange, verdict, told)


def _rest_client(exchange: "Exchange", target: Target, head: Head) -> None:
    """The client's own credential is at its limit: where others can serve it, ask them first."""
    request, relay = exchange.request, exchange.relay
    told = pause(head.get, relay.wall())
    if request is not None and request.credential and told is not None:
        seconds = min(told.seconds, exchange.snap.config.health.key_cooldown_max_s)
        target.provider.cool_down_client(request.credential, relay.reactor.now + seconds)


def on_error_event(exchange: "Exchange", upstream: Upstream) -> None:
    """A 200 stream began with an error event: an error like any other, as long as it is held."""
    target = exchange.target
    assert target is not None
    sse = upstream.taps.sse
    data = sse.error() if sse is not None else None
    if exchange.candidate is None:
        _let_go(exchange, upstream)
        return
    if data is None:
        _on_empty(exchange, upstream)
        return
    dialect = target.provider.dialect
    own_key = not target.provider.passes_client_credential
    verdict = of_event(
        data,
        upstream.head.get,
        dialect,
        exchange.snap.config.health,
        exchange.relay.wall(),
        own_key=own_key,
    )
    if verdict.blame is Blame.KEY and not own_key:
        _rest_client(exchange, target, upstream.head)
    if verdict.blame is Blame.SIGNATURE and mend_signatures(exchange):
        return
    _note(exchange, verdict, "error_event")
    taken = _next(exchange, verdict)
    if taken is None:
        if _tells_more(exchange, verdict.telling):
            exchange.drop_upstream()
            _tell_best(exchange)
        else:
            _let_go(exchange, upstream)
        return
    status, body = as_http(data, dialect)
    if dialect.translates_errors:
        status, body = dialect.translate_error(status, body)
    _remember(exchange, ErrorReply(verdict.telling, status, body))
    exchange.drop_upstream()
    _go_on(exchange, taken)


def _on_empty(exchange: "Exchange", upstream: Upstream) -> None:
    """A 200 stream ended without any content: elsewhere, or as it came."""
    verdict = of_loss(Loss.CLOSED)
    _note(exchange, verdict, "empty_stream")
    taken = _next(exchange, verdict)
    if taken is not None:
        exchange.drop_upstream()
        _go_on(exchange, taken)
    elif exchange.told is not None:  # whatever it says, it says more than nothing
        exchange.drop_upstream()
        _tell_best(exchange)
    else:
        exchange.error = "empty_stream"
        exchange.good = False
        upstream.release()


def _tells_more(exchange: "Exchange", telling: ErrorPriority) -> bool:
    """Whether an attempt before this one failed in a more telling way."""
    return exchange.told is not None and exchange.told.telling > telling


def _tell_best(exchange: "Exchange") -> None:
    best = exchange.told
    assert best is not None
    tell(exchange, best)


def _let_go(exchange: "Exchange", upstream: Upstream) -> None:
    exchange.error = "error_event"
    exchange.good = False
    upstream.release()


def note_late_error(exchange: "Exchange", upstream: Upstream) -> None:
    """A stream is over: an `error` event behind content was passed on, and proves as much."""
    sse = upstream.taps.sse
    data = sse.error() if sse is not None else None
    if data is None or exchange.error is not None or exchange.target is None:
        return
    exchange.error = "error_event"
    provider = exchange.target.provider
    own_key = not provider.passes_client_credential
    health, wall = exchange.snap.config.health, exchange.relay.wall()
    verdict = of_event(data, upstream.head.get, provider.dialect, health, wall, own_key=own_key)
    exchange.good = verdict.counts


def on_loss(exchange: "Exchange", upstream: Upstream, reason: int) -> None:
    """The upstream is gone: once more, elsewhere, an error, or a cut, by how far it had come."""
    target = exchange.target
    assert target is not None
    if rare.was_stale(exchange, upstream, reason):
        exchange.redial()
        return
    error = rare.loss_error(exchange, target, upstream, reason)
    verdict = of_loss(reason)
    if _owes_body(exchange):
        verdict = replace(verdict, counts=None)  # a client that trickles its body did this
    if upstream.committed and exchange.down.started:
        exchange.good = verdict.counts
        raise error
    if exchange.candidate is None:
        raise error
    _failed(exchange, verdict, ErrorReply(verdict.telling, error.status, error=error))


def _owes_body(exchange: "Exchange") -> bool:
    """Whether the client is still sending its body."""
    return exchange.body is None and not exchange.down.body_complete


# ---- what follows


def _failed(exchange: "Exchange", verdict: Verdict, told: ErrorReply) -> None:
    """An attempt has failed: go on, or tell."""
    _note(exchange, verdict, verdict.reason)
    _remember(exchange, told)
    taken = _next(exchange, verdict)
    if taken is not None:
        _go_on(exchange, taken)
    else:
        best = exchange.told
        assert best is not None
        tell(exchange, told if verdict.telling is ErrorPriority.FINAL else best)


def _go_on(exchange: "Exchange", choice: Selection | Unavailable) -> None:
    if isinstance(choice, Selection):
        exchange.take(choice)
    else:
        wait(exchange, choice)


def _remember(exchange: "Exchange", told: ErrorReply) -> None:
    if exchange.told is None or told.telling >= exchange.told.telling:
        exchange.told = told


def _note(exchange: "Exchange", verdict: Verdict, reason: str) -> None:
    """Give back what the attempt took, let its key rest, and write it down."""
    target = exchange.target
    assert target is not None
    relay = exchange.relay
    now = relay.reactor.now
    request = exchange.request
    exchange.good = verdict.counts
    exchange.strip = None  # the next target may read them
    # Who fell silent has read the prompt.
    is_read = request is not None and verdict.reason in _SILENCES
    settling.release(
        exchange, now, request.need(target.slot) if request is not None and is_read else 0, 0
    )
    if request is not None:
        request.waits_since = now - exchange.waited_s  # the attempt was no waiting
    if verdict.cooldown_reason is not Cooldown.NONE:
        rest(exchange, target, verdict.cooldown_s, verdict.cooldown_reason, reason)
    retry_state = exchange.retry_state
    if retry_state is None:
        retry_state = exchange.retry_state = RetryState()
    retry_state.add(target, verdict.reason, endpoint_failed=verdict.blame is Blame.ENDPOINT)
    if verdict.blame is Blame.MODEL:
        retry_state.exclude(target.provider)


def _next(exchange: "Exchange", verdict: Verdict) -> Selection | Unavailable | None:
    """Where to go on; None: the client is told."""
    retry_state, relay = exchange.retry_state, exchange.relay
    assert retry_state is not None
    routing = exchange.snap.config.routing
    if not verdict.elsewhere or exchange.route is None or exchange.request is None:
        return None
    if exchange.route.lone is not None:
        return None  # there is nobody else, and the budget is for those who have somebody
    if retry_state.count >= routing.attempts_max or not rare.can_send_again(exchange):
        return None
    choice = exchange.choose()
    if isinstance(choice, Unavailable):
        return _make_do(exchange, choice)
    budget = routing.retry_budget
    if relay.budget.retry(relay.reactor.now, budget.ratio, budget.minimum):
        return choice
    relay.log.event("warning", "retry_budget_spent", id=exchange.id)
    _give_back(exchange, choice)
    return None


def _give_back(exchange: "Exchange", taken: Selection) -> None:
    """Nothing was sent to a target that was taken."""
    now = exchange.relay.reactor.now
    if taken.reservation is not None:
        taken.reservation.cancel(now)
    breaker = taken.target.provider.endpoint.breaker
    breaker.settle(taken.ticket, now, exchange.relay.rng, ok=None)


def tell_failover(exchange: "Exchange", target: Target) -> None:
    """Say that another target is tried, unless it has been said."""
    retry_state = exchange.retry_state
    assert retry_state is not None
    if not retry_state.why:
        return
    before = retry_state.targets[-1]
    exchange.relay.log.event(
        "info",
        "failover",
        id=exchange.id,
        provider=before.provider.name,
        key=before.fingerprint,
        why=retry_state.why,
        to_provider=target.provider.name,
        to_key=target.fingerprint,
    )
    retry_state.why = ""


# ---- waiting


def _may_wait(exchange: "Exchange", choice: Unavailable) -> bool:
    request = exchange.request
    assert request is not None
    routing = exchange.snap.config.routing
    if len(exchange.relay.waiting) >= routing.queue_max:
        return False
    return choice.until <= request.waits_since + routing.queue_timeout_s


def wait(exchange: "Exchange", choice: Unavailable) -> None:
    """Wait for a target, or say at once that it would take too long.

    Raises:
        RelayError: it would.
    """
    if exchange.settled:
        return
    exchange.upstream = None  # it belongs to others by now
    if asking.knows_more(exchange):
        asking.await_rest(exchange)
        return
    found = _make_do(exchange, choice)
    if found is None:
        give_up(exchange, choice)
    elif isinstance(found, Selection):
        exchange.take(found)
    else:
        request = exchange.request
        assert request is not None
        limit_s = exchange.snap.config.routing.queue_timeout_s
        exchange.relay.waiting.join(exchange, found, request.waits_since + limit_s)


def _make_do(exchange: "Exchange", choice: Unavailable) -> Selection | Unavailable | None:
    """The wait if there is time and room for it; None: there is not."""
    if _may_wait(exchange, choice) or asking.knows_more(exchange):
        return choice
    if not choice.bound:
        return None
    # Its own key is not worth an error.
    other = exchange.choose(stays=False)
    return other if isinstance(other, Selection) or _may_wait(exchange, other) else None


def give_up(exchange: "Exchange", choice: Unavailable) -> None:
    """Nobody can take the request in time: the most telling error, and when to come again.

    Raises:
        AllUnavailable: no provider has said anything.
    """
    exchange.relay.waiting.leave(exchange)
    if exchange.told is not None:
        tell(exchange, exchange.told)
        return
    seconds = soonest_s(exchange)
    why = _WHY.get(choice.why, "has room for it now")
    names = ", ".join(c.provider.name for c in exchange.route.candidates) if exchange.route else ""
    when = f"Try again in {seconds} s." if seconds is not None else "See the relay's log."
    raise AllUnavailable(
        f"None of the providers for this model ({names}) {why}. {when}",
        status=_status(choice.why),
        retry_after_s=seconds,
        should_retry=False if choice.why == "key_refused" else None,
    )


def _status(why: str) -> int:
    if why == "key_refused":
        return 502  # ours to mend, and not by trying again
    return 429 if why in _LIMITS else 529


_LIMITS = frozenset({"limit", "resting", "max_concurrent", "those ahead", "its own key"})
_WHY = {
    "limit": "has room left in its request and token limits",
    "max_concurrent": "may take another request at the same time",
    "resting": "is ready: their keys rest after the provider's limits",
    "breaker_open": "answers: their circuit breakers are open",
    "key_refused": "accepts its keys: they were refused and need replacing",
    "nobody is left to try": "is left to try",
}
