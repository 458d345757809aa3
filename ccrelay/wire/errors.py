"""Error bodies, responses and SSE events for clients.

The shape is Anthropic's (`{"type":"error","error":{...},"request_id":...}`), because Claude Code
acts on status, `retry-after`, `x-should-retry` and the wording of `error.message` (gateway
contract, section 6).
"""

from collections.abc import Iterable
from http import HTTPStatus

import msgspec

from ccrelay.errors import TYPE_BY_STATUS, MethodNotAllowed, RelayError
from ccrelay.wire.bodies import UNREADABLE, is_dense, json_string

# Claude Code does not retry on a `retry-after` above this (client reference, section 6).
RETRY_AFTER_MAX_S = 60
# Characters of text taken from an error body that is not Anthropic-shaped.
FOREIGN_TEXT_MAX = 1000

PING = b'event: ping\ndata: {"type": "ping"}\n\n'

_ENCODER = msgspec.json.Encoder()
_NEWLINES = bytes.maketrans(b"\r\n", b"  ")


class _Detail(msgspec.Struct, gc=False):
    type: str
    message: str


class _Shape(msgspec.Struct, gc=False):
    type: str
    error: _Detail


_SHAPE = msgspec.json.Decoder(_Shape)
_ANY = msgspec.json.Decoder()


def error_type(status: int) -> str:
    """Anthropic's `error.type` for a status; unlisted 4xx are `invalid_request_error`."""
    fallback = "invalid_request_error" if 400 <= status < 500 else "api_error"
    return TYPE_BY_STATUS.get(status, fallback)


def error_body(error: RelayError | tuple[str, str], request_id: str | None) -> bytes:
    """Anthropic-shaped JSON of an error, or of a `(type, message)` pair."""
    kind, message = error if isinstance(error, tuple) else (error.type, error.message)
    detail = {"type": json_string(kind), "message": json_string(message)}
    return _ENCODER.encode(
        {
            "type": "error",
            "error": detail,
            "request_id": None if request_id is None else json_string(request_id),
        }
    )


def error_response(
    error: RelayError,
    request_id: str,
    *,
    keep_alive: bool,
    body_wanted: bool = True,
    fields: Iterable[tuple[bytes, bytes]] = (),
) -> bytes:
    """A complete HTTP/1.1 response. `body_wanted` is False in response to HEAD."""
    extra = [*error_fields(error, request_id), *fields]
    body = error_body(error, request_id)
    return json_response(error.status, body, extra, keep_alive, body_wanted)


def error_fields(error: RelayError, request_id: str) -> list[tuple[bytes, bytes]]:
    """The header fields of an error: its id, when to come again, what is allowed instead."""
    extra = [(b"request-id", request_id.encode("ascii", "replace"))]
    if error.retry_after_s is not None:
        wait_s = max(error.retry_after_s, 0)
        if not error.knows_when:
            wait_s = min(wait_s, RETRY_AFTER_MAX_S)
        extra.append((b"retry-after", b"%d" % wait_s))
    if isinstance(error, MethodNotAllowed):
        extra.append((b"allow", error.allow))
    if error.should_retry is not None:
        extra.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    return extra


def json_response(
    status: int,
    body: bytes,
    extra: Iterable[tuple[bytes, bytes]] = (),
    keep_alive: bool = True,
    body_wanted: bool = True,
    media_type: bytes = b"application/json",
) -> bytes:
    """A complete HTTP/1.1 response with a JSON body. `extra`: more header fields, name and value.

    Without `body_wanted` (HEAD) only the head is returned, unchanged.
    """
    lines = [
        b"HTTP/1.1 %d %b" % (status, _reason(status)),
        b"content-type: " + media_type,
        b"content-length: %d" % len(body),
        *(b"%b: %b" % field for field in extra),
    ]
    if not keep_alive:
        lines.append(b"connection: close")
    return b"\r\n".join([*lines, b"", body if body_wanted else b""])


def sse_error(kind: str, message: str) -> bytes:
    """An `error` event for a stream that has sent its 200. `kind` is Anthropic's error type."""
    detail = {"type": json_string(kind), "message": json_string(message)}
    return _event(_ENCODER.encode({"type": "error", "error": detail}))


def is_error(data: bytes) -> bool:
    """Whether JSON is an error in Anthropic's shape, which a client can read as it is."""
    try:
        return _SHAPE.decode(data).type == "error"
    except UNREADABLE:
        return False


def read_error_shape(body: bytes) -> tuple[str, str] | None:
    """Type and message of an Anthropic-shaped error; None: it is none."""
    try:
        shape = _SHAPE.decode(body)
    except UNREADABLE:
        return None
    return (shape.error.type, shape.error.message) if shape.type == "error" else None


def sse_error_from_body(status: int, body: bytes) -> bytes:
    """An upstream's error response as an `error` event, for a stream that has sent its 200.

    An Anthropic-shaped body is sent unchanged, on one line, because the client matches its wording.
    For any other body the type follows the status, and the message is the text found in it.
    """
    try:
        shape = _SHAPE.decode(body)
    except UNREADABLE:
        return sse_error(error_type(status), foreign_message(status, body))
    if shape.type != "error":
        return sse_error(error_type(status), shape.error.message)
    # Raw line ends are whitespace between JSON tokens and cannot occur inside strings.
    return _event(body.strip().translate(_NEWLINES))


def foreign_message(status: int, body: bytes) -> str:
    """The message in an error body of any shape; without one, a sentence with the status.

    Looks at `error.message`, `error`, `message` and `detail`; else short plain text.
    """
    text = _sentence(body).strip()
    if not text or text.startswith("<"):
        return f"The provider answered with status {status}."
    return text[:FOREIGN_TEXT_MAX]


def _sentence(body: bytes) -> str:
    try:
        found: object = None if is_dense(body) else _ANY.decode(body)
    except UNREADABLE:
        return body[: 4 * FOREIGN_TEXT_MAX].decode("utf-8", "replace")
    for _ in range(2):
        if not isinstance(found, dict):
            break
        found = next((found[k] for k in ("error", "message", "detail") if found.get(k)), None)
    return found if isinstance(found, str) else ""


def _event(data: bytes) -> bytes:
    return b"event: error\ndata: %b\n\n" % data


def _reason(status: int) -> bytes:
    if status == 529:
        return b"Overloaded"  # Anthropic's own status, in no registry
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b"Error"
