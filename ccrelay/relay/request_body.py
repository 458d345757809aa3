"""What the relay reads out of a request body, and what it says when it cannot."""

import zlib
from collections.abc import Callable

import msgspec

from ccrelay._fast.body import BodyFault
from ccrelay._fast.http1 import HeadFault
from ccrelay._fast.json import MemberKeys, MemberScan
from ccrelay.errors import BadRequest, NoTarget, RelayError, TooLarge

# Longer than any model name; ARNs of inference profiles have up to 250.
MODEL_NAME_MAX = 512

_decode_text = msgspec.json.Decoder(str).decode
_MODEL_KEYS = MemberKeys(["model"])

FAULTS: dict[int, Callable[[], RelayError]] = {
    int(BodyFault.NOT_JSON): lambda: BadRequest(
        "The request body is not one complete JSON object."
    ),
    int(BodyFault.SECOND_MODEL): lambda: BadRequest(
        'The request body has "model" twice. Which one is meant cannot be known; send it once.'
    ),
    int(BodyFault.TOO_LONG): lambda: TooLarge(
        "The request body is over server.limits.body_bytes_max.", status=413
    ),
    int(BodyFault.BAD_FRAMING): lambda: BadRequest("The chunked framing of the body is broken."),
    int(BodyFault.NO_ROOM): lambda: NoTarget(
        "The relay's memory for request bodies (server.limits.replay_bytes_max) is spent.",
        retry_after_s=1,
    ),
}

_HEAD_FAULTS: dict[int, str] = {
    int(HeadFault.BAD_START_LINE): "the request line is malformed",
    int(HeadFault.BAD_METHOD): "the method is malformed",
    int(HeadFault.BAD_TARGET): "the request target is malformed",
    int(HeadFault.BAD_VERSION): "only HTTP/1.1 and HTTP/1.0 are spoken here",
    int(HeadFault.BARE_LF): "a line ends in LF alone",
    int(HeadFault.BAD_FIELD_NAME): "a header name is malformed",
    int(HeadFault.BAD_FIELD_VALUE): "a header value has control bytes",
    int(HeadFault.OBS_FOLD): "a header is folded over two lines",
    int(HeadFault.BAD_CONTENT_LENGTH): "the content-length is malformed or repeated",
    int(HeadFault.BAD_TRANSFER_ENCODING): "the only transfer-encoding taken is chunked",
    int(HeadFault.BOTH_FRAMINGS): "content-length and transfer-encoding stand side by side",
    int(HeadFault.BAD_HOST): "the Host header is missing, repeated or malformed",
}


def head_error(fault: int) -> RelayError:
    """The error for a request head that is refused."""
    if fault == int(HeadFault.TOO_MANY_FIELDS):
        return TooLarge(
            "The request has more headers than server.limits.header_count_max.", status=431
        )
    if fault == int(HeadFault.HEAD_TOO_LARGE):
        return TooLarge("The request head is over server.limits.head_bytes_max.", status=431)
    return BadRequest(f"Not a valid HTTP request: {_HEAD_FAULTS.get(fault, 'it is malformed')}.")


def model_name(raw: bytes) -> str:
    """The model out of its raw JSON.

    Raises:
        BadRequest: not a string, empty, or absurdly long.
    """
    try:
        name = _decode_text(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest('"model" is not a string.') from error
    if not name or len(name) > MODEL_NAME_MAX:
        raise BadRequest(f'"model" must have 1 to {MODEL_NAME_MAX} characters.')
    return name


def span_of_model(body: bytes) -> tuple[int, int]:
    """Where the value of the top-level `model` stands.

    Raises:
        BadRequest: no JSON object, no `model`, or two.
    """
    scan = MemberScan(_MODEL_KEYS, MODEL_NAME_MAX * 6)
    if scan.feed_bytes(body) != 1:
        raise FAULTS[int(BodyFault.NOT_JSON)]()
    if scan.seen(0) > 1:
        raise FAULTS[int(BodyFault.SECOND_MODEL)]()
    span = scan.span(0)
    if span is None:
        raise missing_model()
    return span


def missing_model() -> RelayError:
    """The 400 for a body that names no model."""
    return BadRequest('The body has no "model". Send a JSON object with a "model" string.')


def gunzip(data: bytes, limit: int) -> bytes:
    """A gzip body as plain bytes, at most `limit` of them.

    Raises:
        BadRequest: not gzip, or cut short.
        TooLarge: it unpacks to more than the limit.
    """
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise BadRequest("The body is not the gzip that content-encoding says.") from error
    if len(plain) > limit:
        raise FAULTS[int(BodyFault.TOO_LONG)]()
    if not unpacker.eof or unpacker.unused_data:
        raise BadRequest("The gzip body is cut short or has bytes behind its end.")
    return plain
