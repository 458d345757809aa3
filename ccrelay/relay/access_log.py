"""The access log: one entry per exchange."""

from ccrelay.relay.attempt import Attempt
from ccrelay.relay.client_request import ClientRequest
from ccrelay.relay.outcome import Outcome
from ccrelay.routing.route_table import Route
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.types import Ending, RequestClass, TrafficClass

_ENDINGS = [ending.name.lower() for ending in Ending]
_CLASSES = [traffic.name.lower() for traffic in TrafficClass]
_KINDS = [kind.name.lower() for kind in RequestClass]


def entry(
    exchange_id: str,
    client: ClientRequest,
    route: Route | None,
    request: RoutingRequest | None,
    attempt: Attempt | None,
    outcome: Outcome,
    now: float,
) -> dict[str, object]:
    """The members of the log line. Times in milliseconds, sizes in bytes."""
    down = client.down
    received_at = down.received_at
    target = attempt.target if attempt is not None else None
    candidate = attempt.candidate if attempt is not None else None
    upstream = attempt.upstream if attempt is not None else None
    line: dict[str, object] = {
        "id": exchange_id,
        "kind": _KINDS[client.kind],
        "model": client.model,
        "sent": candidate.sent if candidate is not None else None,
        "provider": target.provider.name if target is not None else None,
        "key": target.fingerprint if target is not None else None,
        "status": outcome.status,
        "ending": _ENDINGS[outcome.ending],
        "attempts": outcome.attempts,
        "bytes_in": down.body_seen(),
        "bytes_out": outcome.own_bytes or down.bytes_out,
        "ms": _ms(now - received_at),
    }
    usage = outcome.usage
    if upstream is not None and usage is not None:
        line["input"] = usage.input
        line["output"] = usage.output
        line["cache_read"] = usage.cache_read
        line["cache_write_5m"] = usage.cache_write_5m
        line["cache_write_1h"] = usage.cache_write_1h
        line["thinking"] = usage.thinking
        line["head_ms"] = _ms(upstream.head_seen_at - received_at)
        if outcome.stop_reason is not None:
            line["stop"] = outcome.stop_reason
        if upstream.taps.first_event_at:
            line["first_event_ms"] = _ms(upstream.taps.first_event_at - received_at)
    if request is not None and request.conversation:
        line["class"] = _CLASSES[request.traffic]
        line["conversation"] = f"{request.conversation:016x}"
    if outcome.queued_s:
        line["queued_ms"] = _ms(outcome.queued_s)
    if outcome.moved:
        line["moved"] = True
    if route is not None and route.rule is not None:
        line["rule"] = route.rule.name
    if outcome.error is not None:
        line["error"] = outcome.error
    return line


def _ms(seconds: float) -> float:
    # int() and not round(): a tenth of its price
    return int(seconds * 1e6) / 1000.0 if seconds > 0.0 else 0.0
