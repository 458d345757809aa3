"""Attempts of an exchange as its record keeps them: where, how long, and what went wrong.

What a provider wrote is shown as in the log: printable, short, without secrets.
"""

import msgspec

from ccrelay._fast.http1 import Head
from ccrelay.fleet.provider_state import Target
from ccrelay.ledger.record import Try
from ccrelay.printable import printable
from ccrelay.relay import response_content
from ccrelay.relay.attempt import Attempt
from ccrelay.relay.local_reply import ErrorReply
from ccrelay.relay.outcome import Outcome
from ccrelay.types import Ending

ERROR_CHARS_MAX = 200
ANSWERED = "answered"
LEFT = "client_left"
PASSED_ON = "passed_on"
LOST = "lost"


class _Error(msgspec.Struct, gc=False):
    type: str = ""
    message: str = ""


class _Body(msgspec.Struct, gc=False):
    error: _Error


_decode = msgspec.json.Decoder(_Body).decode


def note(
    outcome: Outcome,
    attempt: Attempt,
    received_at: float,
    now: float,
    verdict: str,
    error: str,
) -> None:
    """Add an attempt that is over; only the first call for it counts.

    Args:
        outcome: of the exchange.
        attempt: it.
        received_at: when the request came, monotonic seconds.
        now: monotonic seconds.
        verdict: what the relay made of it, one word.
        error: what went wrong, one line; empty: nothing.
    """
    if attempt.noted:
        return
    attempt.noted = True
    if outcome.tries is None:
        outcome.tries = []
    candidate, target, upstream = attempt.candidate, attempt.target, attempt.upstream
    head = upstream.head if upstream is not None else None
    outcome.tries.append(
        Try(
            provider=target.provider.name,
            key=target.fingerprint,
            key_name=target.name,
            sent=candidate.sent if candidate is not None else "",
            started_us=_micros(attempt.started_at - received_at),
            ended_us=_micros(now - received_at),
            status=head.status if head is not None else 0,
            verdict=verdict,
            error=error,
        )
    )


def note_last(outcome: Outcome, attempt: Attempt, received_at: float, now: float) -> None:
    """Add the attempt that ended the exchange, behind those that failed before it."""
    if outcome.ending == Ending.CLIENT_LEFT:
        verdict = LEFT
    elif outcome.error is not None:
        verdict = LOST
    else:
        verdict = ANSWERED if 0 < outcome.status < 400 else PASSED_ON
    note(outcome, attempt, received_at, now, verdict, one_line(outcome.error or ""))


def changed_target(outcome: Outcome, target: Target) -> bool:
    """Whether an attempt at another target than this one had failed before."""
    for one in outcome.tries or ():
        if one.provider != target.provider.name or one.key != target.fingerprint:
            return True
    return False


def error_of(reply: ErrorReply, client_head: Head | None, target: Target) -> str:
    """What an error says, in one line."""
    if reply.error is not None:
        return one_line(reply.error.message)
    if client_head is None:  # the client has left, and what it sent is not known any more
        return ""
    text = reply.body
    try:
        found = _decode(reply.body).error
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        pass
    else:
        text = f"{found.type}: {found.message}".encode("utf-8", "replace")
    return one_line(response_content.shown(text, response_content.secrets_of(client_head, target)))


def one_line(text: str) -> str:
    """The beginning of a text, without what a terminal would act upon."""
    return printable(" ".join(text[: 2 * ERROR_CHARS_MAX].split()))[:ERROR_CHARS_MAX]


def _micros(seconds: float) -> int:
    return max(round(seconds * 1e6), 0)
