"""The one line that is left of an exchange."""

from typing import TYPE_CHECKING

from ccrelay.types import Ending, RequestClass, Usage
from ccrelay.wire.usage import stop_reason, usage_from_json, usage_from_stream

if TYPE_CHECKING:
    from ccrelay._fast.upstream import Upstream
    from ccrelay.relay.exchange import Exchange

NO_USAGE = Usage()
_ENDINGS = {ending: ending.name.lower() for ending in Ending}
_KINDS = {kind: kind.name.lower() for kind in RequestClass}


def usage_of(upstream: "Upstream") -> tuple[Usage, str | None]:
    """What the taps saw: usage and stop reason."""
    tap = upstream.tap
    if tap is not None:
        delta = tap.delta()
        return usage_from_stream(tap.start(), delta), stop_reason(delta)
    raw = upstream.usage_json()
    return (usage_from_json(raw), None) if raw is not None else (NO_USAGE, None)


def record(exchange: "Exchange", ending: Ending, now: float) -> dict[str, object]:
    """The members of the log line. Times are milliseconds, sizes bytes."""
    down = exchange.down
    upstream = exchange.upstream
    received_at = exchange.received_at
    line: dict[str, object] = {
        "id": exchange.id,
        "kind": _KINDS[exchange.kind],
        "model": exchange.model,
        "status": exchange.status,
        "ending": _ENDINGS[ending],
        "ms": round((now - received_at) * 1000.0, 3),
        "bytes_in": exchange.bytes_in,
        "bytes_out": down.bytes_out,
        "attempts": exchange.attempts,
    }
    target = exchange.target
    if target is not None:
        line["provider"] = target.service.name
        line["key"] = target.fingerprint
        if exchange.candidate is not None:
            line["sent"] = exchange.candidate.sent
    if upstream is not None:
        usage, stop = usage_of(upstream)
        line["input"] = usage.input
        line["output"] = usage.output
        line["cache_read"] = usage.cache_read
        line["cache_write_5m"] = usage.cache_write_5m
        line["cache_write_1h"] = usage.cache_write_1h
        line["thinking"] = usage.thinking
        if stop is not None:
            line["stop"] = stop
        if upstream.head_seen_at:
            line["head_ms"] = round((upstream.head_seen_at - received_at) * 1000.0, 3)
        if upstream.first_event_at:
            line["first_event_ms"] = round((upstream.first_event_at - received_at) * 1000.0, 3)
    if exchange.error is not None:
        line["error"] = exchange.error
    if exchange.session is not None:
        line["session"] = exchange.session
    return line
