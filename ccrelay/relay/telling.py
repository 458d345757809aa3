"""How a failure is told to the client: as its provider sent it, or in words of our own."""

import re
from collections.abc import Sequence
from math import ceil, inf
from typing import TYPE_CHECKING

from ccrelay._fast.http1 import Framing, Head, render_response
from ccrelay.errors import RelayError
from ccrelay.relay import rare
from ccrelay.types import Ending
from ccrelay.wire.chunks import LAST_CHUNK, chunk
from ccrelay.wire.errors import (
    RETRY_AFTER_MAX_S,
    error_response,
    json_response,
    sse_error,
    sse_error_from_body,
)

if TYPE_CHECKING:
    from ccrelay.relay.exchange import Exchange

Fields = Sequence[tuple[bytes, bytes]]
# Instants in shared memory are whole microseconds: a rest of a second is no two seconds long.
ROUNDING_S = 0.001
# Answers that say "later" carry the time after which somebody can really take the request.
_LATER = frozenset({429, 503, 529})
# Fields of an answer without its head that the true time stands in for. "Do not retry" speaks of a
# time that is far away.
_STALE = frozenset({b"retry-after", b"retry-after-ms", b"x-should-retry"})
_RETRY_AFTER = re.compile(rb"(?im)^retry-after(?:-ms)?:[^\r\n]*\r\n")


class ErrorReply:
    """An error that could be told to the client."""

    __slots__ = ("body", "error", "fields", "head", "status", "telling")

    def __init__(
        self,
        telling: int,
        status: int,
        body: bytes = b"",
        *,
        head: Head | None = None,
        fields: Fields = (),
        error: RelayError | None = None,
    ) -> None:
        self.telling = telling
        self.status = status
        self.body = body  # as the provider sent it, or translated
        self.head = head  # None: the body is not what it belongs to
        self.fields = fields  # instead of the head
        self.error = error  # instead of all that: one of the relay's own


def soonest_s(exchange: "Exchange") -> int | None:
    """Whole seconds until some target could take the request; None: nobody knows."""
    route, request = exchange.route, exchange.request
    if route is None or request is None:
        return None
    request.now = exchange.relay.reactor.now
    until = exchange.snap.router.soonest(route, request).until
    if until == inf:
        return None
    seconds = max(ceil(until - request.now - ROUNDING_S), 1)
    # Our window is a second longer than the minute. Claude Code gives up beyond 60 s; who comes
    # a moment early waits here.
    return RETRY_AFTER_MAX_S if seconds == RETRY_AFTER_MAX_S + 1 else seconds


def tell(exchange: "Exchange", told: ErrorReply) -> None:
    """Answer with an error that a provider sent, as it came, or with one of our own.

    Raises:
        RelayError: the error is our own.
    """
    if told.error is not None:
        raise told.error
    exchange.status = told.status
    down = exchange.down
    if exchange.early:
        down.write(chunk(sse_error_from_body(told.status, told.body)) + LAST_CHUNK)
        exchange.settle(Ending.COMPLETE)
        down.finish()
        return
    keep_alive = down.keep_alive and down.body_complete
    extra = rare.debug_fields(exchange) if exchange.snap.debug else []
    seconds = _later_s(exchange, told)
    if told.head is None:
        fields = list(told.fields)
        if seconds is not None:
            stale = _STALE if seconds <= RETRY_AFTER_MAX_S else _STALE - {b"x-should-retry"}
            fields = [field for field in fields if field[0] not in stale]
            fields.append((b"retry-after", b"%d" % seconds))
        data = json_response(told.status, told.body, [*fields, *extra], keep_alive)
    else:
        lines = b"".join(b"%b: %b\r\n" % field for field in extra)
        data = _replayed(told, told.head, seconds, keep_alive, lines)
    exchange.answer(data, Ending.COMPLETE, keep_alive=keep_alive)


def tell_own(exchange: "Exchange", error: RelayError) -> None:
    """End with an error of the relay's own."""
    may_say = rare.may_say(exchange, error)
    exchange.drop_upstream()
    exchange.error = exchange.error or error.message
    down = exchange.down
    if down.is_closed:
        exchange.settle(Ending.CLIENT_LEFT)
    elif down.started:
        # Past the commit point nothing is run again, and no ending is faked.
        if may_say:
            down.write(chunk(sse_error(error.type, error.message)) + LAST_CHUNK)
        exchange.settle(rare.ending_of(error))
        if may_say:
            down.finish()
        else:
            down.cut()
    else:
        exchange.status = error.status
        keep_alive = down.keep_alive and down.body_complete
        body_wanted = down.head is None or down.head.method != b"HEAD"
        fields = rare.debug_fields(exchange) if exchange.snap.debug else ()
        data = error_response(
            error, exchange.id, keep_alive=keep_alive, body_wanted=body_wanted, fields=fields
        )
        exchange.answer(data, Ending.ANSWERED, keep_alive=keep_alive)


def _later_s(exchange: "Exchange", told: ErrorReply) -> int | None:
    """When to come again, in whole seconds, where the provider's word is not the last; else None.

    Where there is one target only, its own head says it best; an answer that lost its head says
    what is known of the key.
    """
    if told.status not in _LATER or exchange.route is None:
        return None
    if exchange.route.lone is not None:
        limits = exchange.route.lone[1].limits
        if told.head is not None or limits.cooldown_until <= exchange.relay.reactor.now:
            return None
    return soonest_s(exchange)


def _replayed(
    told: ErrorReply, head: Head, seconds: int | None, keep_alive: bool, lines: bytes
) -> bytes:
    length = len(told.body)
    if seconds is not None:
        lines += b"retry-after: %d\r\n" % seconds
        data = render_response(head, int(Framing.LENGTH), length, keep_alive, b"")
        top, _, rest = _RETRY_AFTER.sub(b"", data).partition(b"\r\n")
        return top + b"\r\n" + lines + rest + told.body
    return render_response(head, int(Framing.LENGTH), length, keep_alive, lines) + told.body
