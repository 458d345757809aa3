"""An exchange as a row of the text log: what was asked, where it went, how it ended, what it cost.

A row has columns of fixed width; `_fast.log_line.RowLine` writes them, cuts and escapes. Below the
row of an exchange that failed, or needed a second target, another one says it in words. All members
are in the JSON log only (`access_log`).
"""

import re

from ccrelay._fast.http1 import FieldId
from ccrelay._fast.row_line import RowLine
from ccrelay.ledger.record import Billing, Result, Try
from ccrelay.money import dollars
from ccrelay.relay.attempt import Attempt
from ccrelay.relay.client_request import ClientRequest
from ccrelay.relay.outcome import Outcome
from ccrelay.relay.tries import ANSWERED, LEFT, PASSED_ON
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.rules import CLASSES
from ccrelay.types import RequestClass, RowGroup, TrafficClass
from ccrelay.wire.targets import shown_target

_SESSION = int(FieldId.F_SESSION_ID)
_PROJECT = b"x-ccrelay-project"
_SESSION_SHOWN = 6  # characters: enough to tell the conversations of a day apart
_COST = 8  # columns of a figure; a mark stands behind it
_COUNT_TOKENS = int(RequestClass.COUNT_TOKENS)
_OTHER_V1 = int(RequestClass.OTHER_V1)
_KINDS = [kind.name.lower() for kind in RequestClass]
_NAMES_OF_CLASSES = {traffic: name for name, traffic in CLASSES.items()}
_CLASSES = [_NAMES_OF_CLASSES[traffic] for traffic in TrafficClass]
_OK = int(Result.OK)
_PASSED_ON = int(Result.PASSED_ON)
_REFUSED = int(Result.REFUSED)  # from here on the client got no answer of a provider
_WORDS = ["unknown", "ok", "failover", "client left", "passed on", "refused", "lost"]
_GOOD, _HANDLED, _BROKEN = 0, 1, 2
_TONES = [_HANDLED, _GOOD, _HANDLED, _GOOD, _HANDLED, _BROKEN, _BROKEN]
_FREE = int(Billing.FREE)
_PLAN = int(Billing.PLAN)
_OUTCOME_COLUMNS = 13
_WAIT_SHOWN_S = 0.1  # shorter times in the queue are no news

# Verdicts of the last attempt that the outcome's word says as well.
_SAID = frozenset({ANSWERED, LEFT, PASSED_ON})

# Of a model's name: what the vendor's clouds put before it, and its date.
_PREFIX = re.compile(r"^(?:[a-z-]{2,8}\.)?(?:anthropic[./])?claude-(?=.)")
_DATE = re.compile(r"(?<=.)[-@]20\d\d(?:-?\d\d){2}(?:-v\d+(?::\d+)?)?(?=$|\[)")
_SHORT_MAX = 256
_short: dict[str, str] = {}


def short_model(name: str) -> str:
    """A model's name without `claude-`, the prefixes of clouds, and its date."""
    short = _short.get(name)
    if short is None:
        short = _DATE.sub("", _PREFIX.sub("", name[:200]))
        if len(_short) >= _SHORT_MAX:
            _short.clear()
        _short[name] = short
    return short


def write(
    row: RowLine,
    clock: bytes,
    exchange_id: str,
    client: ClientRequest,
    request: RoutingRequest | None,
    attempt: Attempt | None,
    outcome: Outcome,
    now: float,
) -> bool:
    """Write a row, and the one below it where there is something to say.

    Args:
        row: what they are written to; `take` then has them.
        clock: the time, with a blank behind it.
        exchange_id: names the exchange.
        client: the request.
        request: what it needed; None: that was never known.
        attempt: the last one; None: no target was tried.
        outcome: how it went.
        now: monotonic seconds.

    Returns:
        Whether it only counted tokens: bursts of such rows are folded (`runtime.log_bursts`).
    """
    row.start(clock, tone(outcome))
    _what(row, client, request)
    if row.model:
        row.open(row.model)
        _model(row, client, attempt)
        row.close()
    if row.target:
        row.open(row.target)
        _target(row, attempt, outcome)
        row.close()
    _outcome(row, outcome)
    received_at = client.down.received_at
    if row.first:
        _first(row, attempt, received_at)
    if row.total:
        row.put_seconds(now - received_at)
    if row.tokens:
        _tokens(row, outcome)
    if row.cost:
        _cost(row, client, outcome)
    row.end_row()
    if outcome.error is not None or outcome.tries is not None or outcome.moved_micros > 0:
        _words(row, exchange_id, outcome)
    return client.kind == _COUNT_TOKENS


def tone(outcome: Outcome) -> int:
    """How bad it is: 0 good, 1 handled, 2 broken."""
    has_waited = outcome.queued_s >= _WAIT_SHOWN_S
    if outcome.result == _OK and (has_waited or outcome.moved_micros > 0):
        return _HANDLED
    return _TONES[outcome.result]


# ---- cells


def _what(row: RowLine, client: ClientRequest, request: RoutingRequest | None) -> None:
    row.open(row.what)
    head = client.down.head
    if client.kind == _OTHER_V1 and head is not None:
        row.put(head.method)
        row.put(" ")
        row.put(shown_target(head.path, head.query))
        row.close()
        return
    if client.kind == _COUNT_TOKENS or request is None:
        word = _KINDS[client.kind]
    else:
        word = _CLASSES[request.traffic]
    name = head.get(_PROJECT) if head is not None else None
    if name is None and head is not None:
        name = head.value(_SESSION)
        if name is not None:
            name = name[:_SESSION_SHOWN]
    if name:
        row.put_part(name, row.what - len(word) - 1)
        row.put(" ")
    row.put(word)
    row.close()


def _model(row: RowLine, client: ClientRequest, attempt: Attempt | None) -> None:
    if client.model is None:
        row.put("-")
        return
    asked = short_model(client.model)
    candidate = attempt.candidate if attempt is not None else None
    if candidate is None or candidate.sent == client.model:
        row.put(asked)
        return
    sent = short_model(candidate.sent)
    if sent == asked:
        row.put(asked)
        return
    # The end of it is what answered, and what is paid for.
    row.put_part(asked, max(row.model - len(sent) - 1, row.model // 2 - 1))
    row.put(">")
    row.put(sent)


def _target(row: RowLine, attempt: Attempt | None, outcome: Outcome) -> None:
    if attempt is None:
        row.put("-")
        return
    target = attempt.target
    provider, key = target.provider.name, target.name
    row.put(provider)
    if key != "none":
        row.put(" ")
        row.put(key)
    tries = outcome.tries
    if tries is not None:
        _failed(row, tries, provider, target.fingerprint, len(provider) + len(key) + 1)


def _failed(row: RowLine, tries: list[Try], provider: str, key: str, used: int) -> None:
    # The targets before it, the last one first.
    for k in range(len(tries) - 1, -1, -1):
        failed = tries[k]
        if failed.provider == provider and failed.key == key:
            continue
        row.put("<-")
        name = failed.key_name or failed.key
        used += len(name) + 2
        if failed.provider != provider and used + len(failed.provider) + 1 <= row.target:
            row.put(failed.provider)
            row.put(" ")
            used += len(failed.provider) + 1
        row.put(name)
        provider, key = failed.provider, failed.key


def _outcome(row: RowLine, outcome: Outcome) -> None:
    result, status = outcome.result, outcome.status
    row.tone_on()
    row.open(_OUTCOME_COLUMNS)
    if result == _OK and outcome.queued_s >= _WAIT_SHOWN_S:
        row.put("waited ")
        row.put(wait_text(outcome.queued_s))
    elif result == _PASSED_ON:
        row.put_count(status)
        row.put(" passed on")
    elif result >= _REFUSED and status >= 400:
        row.put(_WORDS[result])
        row.put(" ")
        row.put_count(status)
    else:
        row.put(_WORDS[result])
    row.close()
    row.tone_off()


def _first(row: RowLine, attempt: Attempt | None, received_at: float) -> None:
    upstream = attempt.upstream if attempt is not None else None
    if upstream is not None and upstream.taps.first_event_at:
        row.put_seconds(upstream.taps.first_event_at - received_at)
    else:
        row.put_seconds(-1.0)


def _tokens(row: RowLine, outcome: Outcome) -> None:
    usage = outcome.usage
    if usage is not None:
        cached = usage.cache_read
        read = usage.input + cached + usage.cache_write_5m + usage.cache_write_1h
        if read or usage.output:
            row.put_tokens(read, usage.output, cached)
            return
    row.put_right(b"-", row.tokens)


def _cost(row: RowLine, client: ClientRequest, outcome: Outcome) -> None:
    usage, micros = outcome.usage, outcome.cost_micros
    if micros > 0:
        row.put_dollars(micros, outcome.billing == _PLAN)
    elif client.kind == _COUNT_TOKENS:
        row.put_right(b"-" if outcome.result >= _PASSED_ON else b"free", _COST)
    elif usage is None or not (usage.input or usage.output or usage.cache_read):
        row.put_right(b"-", _COST)
    elif micros == 0 or outcome.billing == _FREE:
        row.put_right(b"free", _COST)
    else:
        row.put_right(b"?", _COST)


# ---- words


def wait_text(seconds: float) -> str:
    """A time in the queue as the outcome names it: 3.2 s, 45 s."""
    return f"{seconds:.1f} s" if seconds < 99.95 else f"{seconds:.0f} s"


def words(outcome: Outcome) -> str:
    """What went wrong and what followed from it, in one line; empty: nothing."""
    tries = outcome.tries or []
    parts = [_try_words(each) for each in tries if each.error or each.verdict not in _SAID]
    # The last attempt tells the same error, and where.
    if outcome.error and not (tries and tries[-1].error):
        parts.append(outcome.error)
    if outcome.moved_micros > 0:
        parts.append(f"left a warm cache: {dollars(outcome.moved_micros)}")
    return "; ".join(parts)


def _try_words(failed: Try) -> str:
    what = failed.error or failed.verdict.replace("_", " ")
    if failed.status and str(failed.status) not in what:
        what = f"{failed.status} {what}"
    after = _time_text(failed.ended_us - failed.started_us)
    return f"{what} at {failed.provider} {failed.key_name or failed.key} after {after}"


def _time_text(us: int) -> str:
    # As `put_seconds` writes it in the row above.
    if us < 950:
        return "<1 ms"
    return f"{us / 1e3:.0f} ms" if us < 9_950 else f"{us / 1e6:.2f} s"


def _words(row: RowLine, exchange_id: str, outcome: Outcome) -> None:
    text = words(outcome)
    if not text:
        return
    columns = row.row_columns - 9
    row.indent()
    if columns >= 80:
        # The id, for `grep` in other logs and for the provider's support.
        row.open(columns - len(exchange_id) - 1)
        row.put(text)
        row.close()
        row.open(len(exchange_id))
        row.put(exchange_id)
    else:
        row.open(columns)
        row.put(text)
    row.close()
    row.end_row()


# ---- bursts


def group(client: ClientRequest, attempt: Attempt | None, outcome: Outcome, now: float) -> RowGroup:
    """What a row has in common with others; arguments as those of `write`."""
    head = client.down.head
    project = head.get(_PROJECT) if head is not None else None
    session = head.value(_SESSION) if head is not None else None
    target = ""
    if attempt is not None:
        target = attempt.target.provider.name
        if attempt.target.name != "none":
            target = f"{target} {attempt.target.name}"
    return RowGroup(
        session or project or b"",
        project or (session or b"")[:_SESSION_SHOWN],
        client.kind == _COUNT_TOKENS,
        tone(outcome),
        outcome.result >= _PASSED_ON,
        now - client.down.received_at,
        target,
        words(outcome),
    )
