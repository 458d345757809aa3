"""Why an exchange went where it went: its attempts, the targets it passed, and one sentence."""

from ccrelay.ledger.record import Record, Result, Why
from ccrelay.manager.convert import uint32
from ccrelay.store.names import reason_name
from ccrelay.v1 import exchanges_pb2

_ANSWERED, _CLIENT_LEFT, _PASSED_ON = "answered", "client_left", "passed_on"
_LOST = "lost"
_VERDICTS: dict[int, str] = {
    Result.OK: _ANSWERED,
    Result.FAILOVER: _ANSWERED,
    Result.CLIENT_LEFT: _CLIENT_LEFT,
    Result.PASSED_ON: _PASSED_ON,
    Result.LOST: _LOST,
}


def attempts_of(record: Record) -> list[exchanges_pb2.Attempt]:
    """All attempts in order. A record has them only where there was more than one."""
    found = [
        exchanges_pb2.Attempt(
            provider=one.provider,
            key=one.key_name or one.key,
            started_ms=one.started_us / 1000,
            duration_ms=max(one.ended_us - one.started_us, 0) / 1000,
            status=uint32(one.status),
            verdict=one.verdict,
            error=one.error,
            sent_model=one.sent,
        )
        for one in record.tries
    ]
    if record.provider and len(found) < max(record.attempts, 1):
        # The last one is the exchange itself.
        started_us = record.tries[-1].ended_us if record.tries else record.queued_us
        started_us = min(started_us, record.duration_us)
        found.append(
            exchanges_pb2.Attempt(
                provider=record.provider,
                key=record.key_name or record.key,
                started_ms=started_us / 1000,
                duration_ms=(record.duration_us - started_us) / 1000,
                status=uint32(record.status),
                verdict=_VERDICTS.get(record.result, ""),
                error=record.error,
                sent_model=record.sent,
            )
        )
    return found


def choice_of(record: Record) -> exchanges_pb2.Choice:
    """Why the last target was taken, and why each of the others was not."""
    return exchanges_pb2.Choice(
        rule=record.rule,
        strategy=record.strategy,
        reason=reason_name(record.why),
        sentence=sentence_of(record),
        passed=passed_of(record),
    )


def passed_of(record: Record) -> list[exchanges_pb2.Passed]:
    """The other targets for the model, in the order of the route.

    A failure that holds for all keys of a provider, as one of its address does, rules out the
    others with it: they were not tried.
    """
    taken = target_of(record)
    reasons: dict[str, str] = {}
    for word in record.passed.split():
        target, _, why = word.rpartition("=")
        if target:
            reasons[target] = why
    tried = {f"{one.provider}/{one.key_name or one.key}": "tried" for one in record.tries}
    for target, why in reasons.items():
        if why == "tried" and tried and target not in tried:
            reasons[target] = "provider_failed"
    reasons = {**tried, **reasons}
    targets = dict.fromkeys([*record.candidates.split(), *reasons])
    return [
        exchanges_pb2.Passed(target=target, why=reasons.get(target, "available"))
        for target in targets
        if target != taken
    ]


def target_of(record: Record) -> str:
    """`provider/key`; empty: none was asked."""
    return f"{record.provider}/{record.key_name or record.key}" if record.provider else ""


def sentence_of(record: Record) -> str:
    """One sentence: why the last target was taken."""
    target = target_of(record)
    if not target:
        return _without_target(record)
    rule = f"Rule {record.rule!r} matched, and " if record.rule else ""
    told = _told(record, target)
    is_name = told.startswith((f"{target} ", *[f"{one.provider}/" for one in record.tries]))
    if rule or is_name:
        return f"{rule}{told}"  # names keep their case
    return told[:1].upper() + told[1:]


def _without_target(record: Record) -> str:
    if record.result == Result.REFUSED:
        return "The relay refused the request, and no target was asked."
    if record.result == Result.CLIENT_LEFT:
        return "The client left before a target was asked."
    if record.result == Result.LOST:
        return "No target could be asked."
    return "The relay answered by itself, and no target was asked."


def _told(record: Record, target: str) -> str:
    model = f" for {record.model}" if record.model else ""
    count = len(record.candidates.split())
    waited = f"{record.queued_us / 1e6:.1f} s"
    others = f" among {count} targets" if count > 1 else ""
    sentences: dict[int, str] = {
        Why.ONLY: f"{target} is the only target{model}.",
        Why.AFFINITY: f"the conversation stays at {target}, which holds its prompt cache.",
        Why.STRATEGY: f"strategy {record.strategy or 'of the route'} took {target}{others}.",
        Why.QUEUE: f"it waited {waited} in the queue until {target} had room.",
        Why.FAILOVER: f"{_failed(record)}, so {target} was asked.",
        Why.LAST_RESORT: f"nothing else was left, so {target} was asked as a last resort.",
        Why.PANIC: f"all circuit breakers were open, so {target} was asked all the same.",
    }
    return sentences.get(record.why, f"{target} was asked; why was not recorded.")


def _failed(record: Record) -> str:
    if not record.tries:
        return "another target had failed"
    # The attempt before the last one, whether or not the record has the last one too.
    before = record.tries[: max(record.attempts - 1, 1)][-1]
    what = f"status {before.status}" if before.status else before.error or before.verdict
    detail = f" ({what.rstrip('.')})" if what else ""
    return f"{before.provider}/{before.key_name or before.key} failed{detail}"
