"""A conversation whose thinking blocks a provider refused: once more without them.

What that taught goes with the request to other judges of signatures, and with the conversation to
its next turns (`relay.settling`).
"""

from typing import TYPE_CHECKING

from ccrelay.relay import rare, settling
from ccrelay.routing.router import Selection
from ccrelay.types import RequestClass
from ccrelay.wire.thinking import strip_foreign

if TYPE_CHECKING:
    from ccrelay.relay.exchange import Exchange


def mend_signatures(exchange: "Exchange") -> bool:
    """Once more on the same target, without the thinking blocks that it did not sign."""
    target, request = exchange.target, exchange.request
    assert target is not None
    if (
        request is None
        or request.mended
        or exchange.strip is True
        or not rare.can_send_again(exchange)
    ):
        return False
    if exchange.body is None and not exchange.down.body_complete:
        return False
    body = rare.whole_body(exchange)
    everything = exchange.strip is False or strip_foreign(body, everything=False)[1] == 0
    if everything and strip_foreign(body, everything=True)[1] == 0:
        return False
    request.mended = True
    exchange.strip = request.strip = everything
    target.provider.mends = True
    relay = exchange.relay
    now = relay.reactor.now
    exchange.good = True
    settling.release(exchange, now, 0, 0)
    ticket = target.provider.endpoint.breaker.admit(now, relay.rng)
    if ticket is None:
        return False
    candidate = exchange.candidate
    assert candidate is not None
    relay.log.event(
        "info",
        "thinking_stripped",
        id=exchange.id,
        provider=target.provider.name,
        all=everything,
    )
    reservation = None
    if exchange.kind is not RequestClass.COUNT_TOKENS:
        reservation = target.limits.force(now, request.need(target.slot), request.tokens_out)
    exchange.drop_upstream()  # where the refusal came inside a stream
    exchange.take(Selection(candidate, target, reservation, ticket))
    return True
