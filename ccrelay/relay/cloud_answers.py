"""Answers for clients of Bedrock's InvokeModel: AWS's event stream, errors and counts.

Clients of every other form read Anthropic's answers. A message goes out as it is; a stream as
frames of `application/vnd.amazon.eventstream`, also for events of the relay; an error as
`{"message": ...}` with its name in `x-amzn-ErrorType`, by the inverse of the table by which AWS's
errors are read (providers reference, section 5.5). The message keeps its words: Claude Code
recovers by them.
"""

from collections.abc import Iterable

import msgspec

from ccrelay._fast.event_encoder import EventStreamEncoder
from ccrelay._fast.http1 import Head
from ccrelay.errors import RelayError
from ccrelay.relay.local_reply import ErrorReply, Fields, passed_on, replaced_fields
from ccrelay.types import RequestClass
from ccrelay.wire.bodies import UNREADABLE
from ccrelay.wire.errors import (
    error_fields,
    error_type,
    foreign_message,
    json_response,
    read_error_shape,
)

EVENT_STREAM = b"application/vnd.amazon.eventstream"
_REQUEST_ID = b"x-amzn-requestid"

# Anthropic's type of an error -> AWS's name and status.
_ERRORS: dict[str, tuple[bytes, int]] = {
    "invalid_request_error": (b"ValidationException", 400),
    "authentication_error": (b"UnrecognizedClientException", 403),
    "billing_error": (b"AccessDeniedException", 403),
    "permission_error": (b"AccessDeniedException", 403),
    "not_found_error": (b"ResourceNotFoundException", 404),
    "conflict_error": (b"ConflictException", 400),
    # AWS has no name for it: the status is what Claude Code goes by.
    "request_too_large": (b"ValidationException", 413),
    "rate_limit_error": (b"ThrottlingException", 429),
    "timeout_error": (b"ModelTimeoutException", 408),
    "api_error": (b"InternalServerException", 500),
    "overloaded_error": (b"ServiceUnavailableException", 503),
    "not_supported": (b"UnknownOperationException", 404),
}


class _Count(msgspec.Struct, gc=False):
    input_tokens: int


_COUNT = msgspec.json.Decoder(_Count)
_ENCODER = msgspec.json.Encoder()


class AwsAnswers:
    """How one exchange answers a client of Bedrock's InvokeModel.

    Args:
        request_id: of the exchange.
        kind: what is asked for.
        stream: whether a stream is.
    """

    __slots__ = ("_kind", "_request_id", "stream")

    media_type = EVENT_STREAM

    def __init__(self, request_id: str, kind: RequestClass, stream: bool) -> None:
        self._request_id = request_id.encode("ascii", "replace")
        self._kind = kind
        self.stream = stream

    def encoder(self) -> EventStreamEncoder | None:
        """What makes frames of one response's events; None: its messages are whole.

        A new one for each response: one that failed may have left half an event in it.
        """
        return EventStreamEncoder() if self.stream else None

    def events(self, data: bytes) -> bytes:
        """Whole server-sent events as the client reads them."""
        return EventStreamEncoder().encode(data) if self.stream else data

    def lines(self, head: Head) -> bytes:
        """Header lines to add to a provider's response."""
        if head.get(_REQUEST_ID) is not None:
            return b""
        return b"%b: %b\r\n" % (_REQUEST_ID, self._request_id)

    def early_head(self) -> bytes:
        """The head of a stream, sent before the upstream responds."""
        return (
            b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n%b: %b\r\n\r\n"
            % (EVENT_STREAM, _REQUEST_ID, self._request_id)
        )

    def render(
        self, reply: ErrorReply, retry_after_s: int | None, keep_alive: bool, extra: Fields
    ) -> bytes:
        """A provider's error, or an answer that was read whole, as an HTTP response."""
        if reply.status < 400:
            return self._answer(reply.body, keep_alive, extra)
        fields = reply.fields if reply.head is None else passed_on(reply.head, False)
        known = replaced_fields(fields, retry_after_s)
        return self._error(reply.status, reply.body, [*known, *extra], keep_alive, True)

    def error_response(
        self,
        error: RelayError,
        *,
        keep_alive: bool,
        body_wanted: bool = True,
        fields: Iterable[tuple[bytes, bytes]] = (),
    ) -> bytes:
        """One of the relay's own errors as an HTTP response."""
        own = error_fields(error, self._request_id.decode("ascii"))
        return _rendered(
            error.type, error.message, [*own, *fields], self._request_id, keep_alive, body_wanted
        )

    def count(self, body: bytes) -> bytes:
        """The answer of count_tokens in AWS's form.

        Raises:
            ValueError: it is none.
        """
        return b'{"inputTokens":%d}' % _COUNT.decode(body).input_tokens

    def _answer(self, body: bytes, keep_alive: bool, extra: Fields) -> bytes:
        fields = [(_REQUEST_ID, self._request_id), *extra]
        if self.stream:
            frames = self.events(body)
            return json_response(200, frames, fields, keep_alive, media_type=EVENT_STREAM)
        if self._kind == RequestClass.COUNT_TOKENS:
            try:
                body = self.count(body)
            except UNREADABLE:
                message = "The provider's count of tokens has no number."
                return _rendered("api_error", message, [], self._request_id, keep_alive, True)
        return json_response(200, body, fields, keep_alive)

    def _error(
        self, status: int, body: bytes, fields: Fields, keep_alive: bool, body_wanted: bool
    ) -> bytes:
        shape = read_error_shape(body)
        kind, message = shape or (error_type(status), foreign_message(status, body))
        if kind not in _ERRORS:
            kind = error_type(status)
        return _rendered(kind, message, fields, self._request_id, keep_alive, body_wanted)


def _rendered(
    kind: str, message: str, fields: Fields, request_id: bytes, keep_alive: bool, body_wanted: bool
) -> bytes:
    name, status = _ERRORS.get(kind, _ERRORS["api_error"])
    body = _ENCODER.encode({"message": message})
    named = [(b"x-amzn-errortype", name), (_REQUEST_ID, request_id), *fields]
    return json_response(status, body, named, keep_alive, body_wanted)
