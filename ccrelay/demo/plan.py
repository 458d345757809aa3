"""A request and the plan of its response: what to send, when to wait, how to close. Pure.

A plan is a generator of steps, which the server executes; so every fault can be tested without a
socket and without waiting.
"""

import datetime
import enum
import hashlib
import urllib.parse
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Annotated, TypeAlias

import msgspec

from ccrelay.demo import content, http1, models
from ccrelay.demo.limits import credential_of
from ccrelay.demo.prompt_cache import PromptCache
from ccrelay.demo.request import MessagesRequest, parse_request
from ccrelay.errors import TYPE_BY_STATUS, BadRequest, NotFound, RelayError

# Limits of the default rate-limit headers, per minute. Not enforced, so too high to be reached.
REQUESTS_LIMIT = 1_000_000
TOKENS_LIMIT = 1_000_000_000
EVENT_STREAM = "text/event-stream; charset=utf-8"
ECHOED = ("/v1/messages/batches", "/v1/files", "/v1/skills")  # the reply describes the request


FOREVER_S = 3600.0  # longer than any client waits

# Types of fault options: an option out of range is rejected before the fault starts.
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
Positive: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Size: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1 << 30)]  # bytes


class Wait(msgspec.Struct, frozen=True):
    """Send nothing for `seconds`."""

    seconds: float


class ReadBody(msgspec.Struct, frozen=True):
    """Read the request body into the context, at `bytes_per_s` at most (None: unlimited)."""

    bytes_per_s: float | None = None


class Close(enum.Enum):
    """Close the connection. A plan without one leaves it open for the next request."""

    FIN = "close"  # flush, then close
    RST = "reset"  # flush, then reset


Step: TypeAlias = bytes | Wait | ReadBody | Close
Plan: TypeAlias = Generator[Step, None, None]
Render: TypeAlias = Callable[[content.Event], bytes]


class Document(msgspec.Struct, frozen=True):
    """A complete response body."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Stream(msgspec.Struct, frozen=True):
    """A response of server-sent events, with `gap_s` seconds before each delta."""

    message: content.Message
    gap_s: float
    on_output: Callable[[int], None]  # called with the output tokens sent so far
    render: Render = content.Event.encode
    media: str = EVENT_STREAM


class RequestContext:
    """A request, and its response without faults.

    `body` is empty until a `ReadBody` step was executed. `rate_limits` replaces the default
    rate-limit headers; `output_tokens` counts the output tokens sent so far.

    Args:
        head: the request head.
        serial: makes ids unique.
        now: time of the `date` header.
        gap_s: seconds before each delta, unless the prompt has `demo:gap_ms`.
        cache: the prompt cache; None: nothing is cached.
    """

    def __init__(
        self,
        head: http1.RequestHead,
        *,
        serial: str,
        now: datetime.datetime,
        gap_s: float,
        cache: PromptCache | None = None,
    ) -> None:
        self.head = head
        self.body = b""
        self.rate_limits: http1.Headers | None = None
        self.output_tokens = 0
        self.serial = serial
        self._now = now
        self._gap_s = gap_s
        self._request: MessagesRequest | None = None
        self._cache = cache

    @property
    def request_id(self) -> str:
        """The value of the `request-id` header."""
        return f"req_demo{self.serial}"

    @property
    def now(self) -> datetime.datetime:
        """The time of the `date` header."""
        return self._now

    @property
    def credential(self) -> str:
        """What limits and key faults know the credential by."""
        return credential_of(self.head)

    @property
    def script_path(self) -> str:
        """The path for a script."""
        return self.head.path

    @property
    def sends_retry_after(self) -> bool:
        """Whether a 429 of the limits has `retry-after`."""
        return True

    @property
    def is_framed(self) -> bool:
        """Whether streams are binary messages instead of text."""
        return False

    @property
    def media(self) -> str:
        """The media type of a stream."""
        return EVENT_STREAM

    def render(self, event: content.Event) -> bytes:
        """Return an event as it is sent; b"": it is not sent here."""
        return event.encode()

    def render_error(self, type: str, message: str) -> bytes:
        """Return an `error` event as it is sent."""
        return content.error_event(type, message, self.request_id).encode()

    @property
    def is_messages(self) -> bool:
        """Whether this is `POST /v1/messages`, the only request with a prompt."""
        return self.head.method == "POST" and self.head.path == "/v1/messages"

    def text(self) -> bytes:
        """Return the decoded body. Raises BadRequest when it is not valid gzip."""
        if (self.head.get("content-encoding") or "identity").lower() != "gzip":
            return self.body  # an unknown coding fails as invalid JSON
        decoder = zlib.decompressobj(wbits=31)
        try:
            text = decoder.decompress(self.body, http1.BODY_BYTES_MAX)
        except zlib.error as error:
            raise BadRequest(f"The request body is not gzip: {error}") from error
        if not decoder.eof:
            raise BadRequest("The gzip request body is cut short or too long.")
        return text

    def request(self) -> MessagesRequest:
        """Parse the body, which must have been read. Raises BadRequest."""
        if self._request is None:
            request = self._parse()
            if self._cache is not None and request.prefix is not None:
                request = request.with_cached(
                    self._cache.read(credential_of(self.head), request.prefix)
                )
            self._request = request
        return self._request

    def reply(self) -> Document | Stream:
        """Return the response without faults; an error document when the request is invalid."""
        try:
            if not self.is_messages:
                return self._other_reply()
            return self.reply_with(content.compose(self.request(), self.serial))
        except RelayError as error:
            return self.refuse(error)

    def reply_with(self, message: content.Message) -> Document | Stream:
        """Return a message as a stream or a document, as requested."""
        gap_ms = message.request.directives.gap_ms
        gap_s = self._gap_s if gap_ms is None else gap_ms / 1000
        if message.request.stream:
            return Stream(message, gap_s, self._on_output, self.render, self.media)
        self._on_output(content.output_tokens(message))
        return Document(200, content.document(message))

    def response_head(
        self, status: int, content_type: str, *more: tuple[str, str], close: bool = False
    ) -> bytes:
        """Return a response head with Anthropic's fields; `close` adds `connection: close`."""
        headers = [
            ("date", self.now.strftime("%a, %d %b %Y %H:%M:%S GMT")),
            ("content-type", content_type),
            *self._identity(status),
            *more,
        ]
        if close or not self.head.keep_alive:
            headers.append(("connection", "close"))
        return http1.response_head(status, headers)

    def error(self, status: int, message: str, headers: http1.Headers) -> Document:
        """Return an error document."""
        type = TYPE_BY_STATUS.get(status, "invalid_request_error" if status < 500 else "api_error")
        error = {"type": type, "message": message}
        body = {"type": "error", "error": error, "request_id": self.request_id}
        return Document(status, msgspec.json.encode(body), headers=tuple(headers))

    def refuse(self, error: RelayError) -> Document:
        """Return the response to a request that cannot be served."""
        return self.error(error.status, error.message, [])

    def _parse(self) -> MessagesRequest:
        return parse_request(self.text())

    def _other_reply(self) -> Document:
        return _other_reply(self)

    def _identity(self, status: int) -> http1.Headers:
        headers = [
            ("request-id", self.request_id),
            ("anthropic-organization-id", "demo-organization"),
            ("server", "ccrelay-demo"),
        ]
        if self.head.path.startswith("/v1/messages"):
            rate_limits = self.rate_limits
            headers += (
                self._default_rate_limits(exhausted=status == 429)
                if rate_limits is None
                else rate_limits
            )
        return headers

    def _on_output(self, tokens: int) -> None:
        prefix = self._request.prefix if self._request is not None else None
        if tokens and not self.output_tokens and self._cache is not None and prefix is not None:
            self._cache.write(credential_of(self.head), prefix)
        # A fault may start a response twice.
        self.output_tokens = max(self.output_tokens, tokens)

    def _default_rate_limits(self, *, exhausted: bool) -> http1.Headers:
        reset = (self._now + datetime.timedelta(seconds=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
        # Constant, because nothing is counted here: a relay learns limits from falling numbers.
        used = REQUESTS_LIMIT if exhausted else 1
        tokens = TOKENS_LIMIT if exhausted else min(TOKENS_LIMIT, len(self.body) // 4)
        kinds = {
            "requests": (REQUESTS_LIMIT, used),
            "tokens": (TOKENS_LIMIT, tokens),
            "input-tokens": (TOKENS_LIMIT, tokens),
        }
        fields = []
        for kind, (limit, spent) in kinds.items():
            name = f"anthropic-ratelimit-{kind}"
            fields += [(f"{name}-limit", str(limit)), (f"{name}-remaining", str(limit - spent))]
            fields.append((f"{name}-reset", reset))
        return fields


def respond(context: RequestContext) -> Plan:
    """Respond without a fault; the body must have been read."""
    yield from send(context, context.reply())


def send(context: RequestContext, reply: Document | Stream) -> Plan:
    """Send a reply with its usual framing: Content-Length, or a chunk per event."""
    if isinstance(reply, Document):
        yield document_head(context, reply)
        if context.head.method != "HEAD":
            yield reply.body
    else:
        yield from send_stream(context, split_reply(reply))


def send_stream(context: RequestContext, parts: Iterable[bytes | Wait]) -> Plan:
    """Send an event stream, each part in its own chunk, and end the body."""
    yield _streaming_head(context, 200, context.media)
    for part in parts:
        yield frame(context, part)
    yield from end_body(context)


def chunked_head(
    context: RequestContext, reply: Document | Stream, *more: tuple[str, str]
) -> bytes:
    """Return a head with chunked framing, for documents too; HTTP/1.0 gets a close instead."""
    if isinstance(reply, Document):
        return _streaming_head(context, reply.status, reply.content_type, *reply.headers, *more)
    return _streaming_head(context, 200, reply.media, *more)


def frame(context: RequestContext, part: bytes | Wait) -> bytes | Wait:
    """Frame a part of a body whose head is a `chunked_head`."""
    return http1.chunk(part) if isinstance(part, bytes) and context.head.minor == 1 else part


def end_body(context: RequestContext) -> Iterator[bytes]:
    """End a body whose head is a `chunked_head`."""
    if context.head.minor == 1:
        yield http1.LAST_CHUNK


def document_head(
    context: RequestContext, reply: Document, *more: tuple[str, str], close: bool = False
) -> bytes:
    """Return the head of a document with its Content-Length."""
    fields = (*reply.headers, ("content-length", str(len(reply.body))), *more)
    return context.response_head(reply.status, reply.content_type, *fields, close=close)


def content_type(reply: Document | Stream) -> str:
    """Return the media type of a reply."""
    return reply.content_type if isinstance(reply, Document) else reply.media


def split_reply(reply: Document | Stream, render: Render | None = None) -> Iterator[bytes | Wait]:
    """Yield the events of a stream with their gaps, or the two halves of a document."""
    if isinstance(reply, Document):
        half = len(reply.body) // 2
        yield from (reply.body[:half], reply.body[half:])
        return
    total, deltas = content.output_tokens(reply.message), 0
    for event in content.events(reply.message):
        if event.name == "content_block_delta":
            if reply.gap_s:
                yield Wait(reply.gap_s)
            deltas += 1
            reply.on_output(min(deltas, total))
        if part := (render or reply.render)(event):
            yield part


def first_parts(reply: Document | Stream, count: int) -> Iterator[bytes | Wait]:
    """Yield the first `count` parts of a reply, with the gaps before them."""
    for part in split_reply(reply):
        if count <= 0:
            return
        count -= isinstance(part, bytes)
        yield part


def error_document(
    context: RequestContext, status: int, message: str, *headers: tuple[str, str]
) -> Document:
    """Return an error in the format of the provider: Anthropic's, without a dialect."""
    return context.error(status, message, list(headers))


def _streaming_head(
    context: RequestContext, status: int, media: str, *more: tuple[str, str]
) -> bytes:
    framing = [("transfer-encoding", "chunked")] if context.head.minor == 1 else []
    return context.response_head(status, media, ("cache-control", "no-cache"), *framing, *more)


def _other_reply(context: RequestContext) -> Document:
    method, path = context.head.method, context.head.path
    if path == "/api/hello" and method in ("GET", "HEAD"):
        return Document(200, b'{"message":"hello"}')
    if path == "/v1/messages/count_tokens" and method == "POST":
        usage = parse_request(context.text(), counting=True).usage
        total = usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
        return Document(200, msgspec.json.encode({"input_tokens": total}))
    if _is_under(path, "/v1/models") and method in ("GET", "HEAD"):
        return Document(200, _models(context))
    if any(_is_under(path, prefix) for prefix in ECHOED):
        return Document(200, _echo(context))
    if path in ("/api/hello", "/v1/messages", "/v1/messages/count_tokens", "/v1/models"):
        raise BadRequest(f"{method} is not allowed on {path}.", status=405)
    raise NotFound(f"The mock provider has no path {path}.")


def _is_under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


def _models(context: RequestContext) -> bytes:
    query = dict(urllib.parse.parse_qsl(context.head.target.partition("?")[2]))
    model_id = urllib.parse.unquote(context.head.path.removeprefix("/v1/models").lstrip("/"))
    if model_id:
        return msgspec.json.encode(models.find(model_id))
    return msgspec.json.encode(models.page(query))


def _echo(context: RequestContext) -> bytes:
    path, _, query = context.head.target.partition("?")
    return msgspec.json.encode(
        {
            "type": "demo_echo",
            "method": context.head.method,
            "path": path,
            "query": query,
            "headers": [name for name, _ in context.head.headers],
            "body_bytes": len(context.body),
            "body_sha256": hashlib.sha256(context.body).hexdigest(),
        }
    )
