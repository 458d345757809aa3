"""The one line that is left of an exchange."""

from typing import TYPE_CHECKING

from ccrelay.types import Ending, RequestClass, TrafficClass, Usage
from ccrelay.wire.usage import stop_reason, usage_from_json, usage_from_stream

if TYPE_CHECKING:
    from ccrelay._fast.upstream import Upstream
    from ccrelay.relay.exchange import Exchange

NO_USAGE = Usage()
_ENDINGS = [ending.name.lower() for ending in Ending]
_CLASSES = [traffic.name.lower() for traffic in TrafficClass]
_KINDS = [kind.name.lower() for kind in RequestClass]


def usage_of(upstream: "Upstream") -> tuple[Usage, str | None]:
    """What the taps saw: usage and stop reason."""
    taps = upstream.taps
    tap = taps.sse
    if tap is not None:
        delta = tap.delta()
        return usage_from_stream(tap.start(), delta), stop_reason(delta)
    raw = taps.usage()
    return (usage_from_json(raw), None) if raw is not None else (NO_USAGE, None)


def record(
    exchange: "Exchange",
    ending: Ending,
    now: float,
    own_bytes: int,
    usage: Usage | None,
    stop: str | None,
) -> dict[str, object]:
    """The members of the log line. Times in milliseconds, sizes in bytes.

    `own_bytes` is the size of an answer of the relay's own that is about to be sent.
    """
    down = exchange.down
    received_at: float = down.received_at
    target = exchange.target
    candidate = exchange.candidate
    line: dict[str, object] = {
        "id": exchange.relay.id_of(exchange.serial),
        "kind": _KINDS[exchange.kind],
        "model": exchange.model,
        "sent": candidate.sent if candidate is not None else None,
        "provider": target.provider.name if target is not None else None,
        "key": target.fingerprint if target is not None else None,
        "status": exchange.status,
        "ending": _ENDINGS[ending],
        "attempts": exchange.attempts,
        "bytes_in": down.body_seen,
        "bytes_out": own_bytes or down.bytes_out,
        "ms": int((now - received_at) * 1e6) / 1000.0,
    }
    upstream = exchange.upstream
    if upstream is not None and usage is not None:
        line["input"] = usage.input
        line["output"] = usage.output
        line["cache_read"] = usage.cache_read
        line["cache_write_5m"] = usage.cache_write_5m
        line["cache_write_1h"] = usage.cache_write_1h
        line["thinking"] = usage.thinking
        line["head_ms"] = int(max(upstream.head_seen_at - received_at, 0.0) * 1e6) / 1000.0
        if stop is not None:
            line["stop"] = stop
        if upstream.taps.first_event_at:
            line["first_event_ms"] = _ms(upstream.taps.first_event_at - received_at)
    request = exchange.request
    if request is not None and request.conversation:
        line["class"] = _CLASSES[request.traffic]
        line["conversation"] = f"{request.conversation:016x}"
    if exchange.waited_s:
        line["queued_ms"] = _ms(exchange.waited_s)
    if exchange.moved:
        line["moved"] = True
    if exchange.route is not None and exchange.route.rule is not None:
        line["rule"] = exchange.route.rule.name
    if exchange.error is not None:
        line["error"] = exchange.error
    return line


def _ms(seconds: float) -> float:
    # int() and not round(): a tenth of its price
    return int(seconds * 1e6) / 1000.0 if seconds > 0.0 else 0.0
