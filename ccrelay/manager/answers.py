"""What the services of the ledger have in common: refusals, page tokens, ranges of time."""

import base64
import binascii
import zlib
from typing import Any, NoReturn

import grpc
import msgspec

from ccrelay.printable import printable
from ccrelay.store.filters import Filter, FilterError, parse
from ccrelay.store.trouble import LedgerTrouble

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
MESSAGE_MAX = 1000

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[int, list[int]]).decode


class Refusal(Exception):
    """A call is answered with an error: a code, and a sentence that says what to do."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def trouble(error: LedgerTrouble) -> Refusal:
    """The refusal of a question while the ledger cannot be read."""
    return Refusal(UNAVAILABLE, sentence(str(error)))


async def abort(context: Any, refusal: Refusal) -> NoReturn:
    """End a call with a refusal."""
    await context.abort(refusal.code, printable(refusal.message)[:MESSAGE_MAX])
    raise refusal  # `abort` has raised


def sentence(text: str) -> str:
    """A text with a capital letter and a full stop."""
    begun = text[:1].upper() + text[1:]
    return begun if begun.endswith((".", "?", "!")) else f"{begun}."


def filter_of(text: str) -> Filter:
    """Read a filter.

    Raises:
        Refusal: INVALID_ARGUMENT with what is known.
    """
    try:
        return parse(text)
    except FilterError as error:
        raise Refusal(INVALID, sentence(f"filter: {error}")) from None


def range_of(since_ms: int, until_ms: int) -> tuple[int, int]:
    """Check a range of time; 0: no bound.

    Raises:
        Refusal: INVALID_ARGUMENT.
    """
    if since_ms < 0 or until_ms < 0:
        raise Refusal(INVALID, "Times are milliseconds since 1970 and not negative; 0: no bound.")
    if until_ms and since_ms >= until_ms:
        raise Refusal(INVALID, "The range is empty: since has to be before until.")
    return since_ms, until_ms


def page_size(asked: int, default: int, most: int) -> int:
    """How many to answer with.

    Raises:
        Refusal: INVALID_ARGUMENT, more than are allowed.
    """
    if asked > most:
        raise Refusal(INVALID, f"At most {most} fit on a page, not {asked}: ask for fewer.")
    return asked or default


def token_of(request: bytes, *values: int) -> str:
    """A page token that holds numbers, and belongs to one request."""
    data = _pack((zlib.crc32(request), list(values)))
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token_values(token: str, request: bytes, count: int) -> list[int]:
    """The numbers of a page token.

    Raises:
        Refusal: INVALID_ARGUMENT, it is none, or belongs to another request.
    """
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        mark, values = _unpack(data)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        mark, values = -1, []
    if mark != zlib.crc32(request) or len(values) != count or min(values) < 0:
        raise Refusal(
            INVALID,
            "The page token does not belong to this request: leave it out to start again, and "
            "change nothing else from page to page.",
        )
    return values
