"""Records and sums as the schema has them."""

from ccrelay.ledger.record import Billing, Record
from ccrelay.store.names import BILLINGS, OUTCOMES, class_name, kind_name
from ccrelay.store.sessions import SessionSums
from ccrelay.store.sums import Sums
from ccrelay.v1 import exchanges_pb2, providers_pb2, usage_pb2

_FREE = int(Billing.FREE)
_UINT32_MAX = (1 << 32) - 1


def uint32(number: int) -> int:
    """A number that the schema has in 32 bits."""
    return max(min(number, _UINT32_MAX), 0)


def exchange_of(record: Record) -> exchanges_pb2.Exchange:
    """An exchange, of a record as it is kept (`store.rows.normal`). Enums have the same numbers."""
    return exchanges_pb2.Exchange(
        id=record.id,
        started_at_ms=record.started_at_us // 1000,
        duration_ms=record.duration_us / 1000,
        kind=kind_name(record.kind),
        traffic_class=class_name(record.traffic),
        model=record.model,
        sent_model=record.sent,
        provider=record.provider,
        key=record.key_name or record.key,
        key_fingerprint=record.key,
        status=uint32(record.status),
        outcome=record.result if record.result in OUTCOMES else 0,  # type: ignore[arg-type]
        attempts=uint32(record.attempts),
        session=record.session,
        agent=record.agent,
        project=record.project,
        tokens=exchanges_pb2.Tokens(
            input=record.input,
            output=record.output,
            cache_read=record.cache_read,
            cache_write_5m=record.cache_write_5m,
            cache_write_1h=record.cache_write_1h,
            thinking=record.thinking,
        ),
        cost=cost_of(record),
        first_event_ms=record.first_event_us / 1000,
        queued_ms=record.queued_us / 1000,
        own_us=uint32(record.own_us),
        stream=record.stream,
        stop_reason=record.stop_reason,
        error=record.error,
        moved=record.moved,
        bytes_in=record.bytes_in,
        bytes_out=record.bytes_out,
        rule=record.rule,
        conversation=f"{record.conversation:016x}" if record.conversation else "",
    )


def cost_of(record: Record) -> exchanges_pb2.Cost:
    """What an exchange cost. What is free is known to cost nothing, without any price."""
    is_known = record.cost_micros >= 0 or record.billing == _FREE
    return exchanges_pb2.Cost(
        known=is_known,
        micros=max(record.cost_micros, 0),
        uncached_micros=max(record.uncached_micros, 0) if is_known else 0,
        moved_micros=max(record.moved_micros, 0) if is_known else 0,
        billing=record.billing if record.billing in BILLINGS else 0,  # type: ignore[arg-type]
        prices_version=record.prices_version,
    )


def session_of(one: SessionSums) -> usage_pb2.Session:
    """A session."""
    return usage_pb2.Session(
        session=one.session,
        project=one.project,
        first_at_ms=one.first_ms,
        last_at_ms=one.last_ms,
        turns=one.turns,
        agents=len(one.agents),
        totals=totals_of(Sums(*one.sums)),
        target=f"{one.provider}/{one.key}" if one.provider else "",
        model=one.model,
        prompt_tokens=one.prompt,
    )


def totals_of(sums: Sums) -> providers_pb2.Totals:
    """Sums."""
    return providers_pb2.Totals(
        exchanges=sums.exchanges,
        failovers=sums.failovers,
        lost=sums.lost,
        passed_on=sums.passed_on,
        input_tokens=sums.input,
        output_tokens=sums.output,
        cache_read_tokens=sums.cache_read,
        cache_write_tokens=sums.cache_write_5m + sums.cache_write_1h,
        billed_micros=sums.billed,
        plan_micros=sums.plan,
        saved_micros=sums.saved,
        moved_micros=sums.moved_micros,
        moves=sums.moves,
        unpriced=sums.unpriced,
    )
