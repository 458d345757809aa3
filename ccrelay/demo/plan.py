"""One request and the plan to answer it: what to send, when to wait, how to break off. Pure.

A plan is a generator of steps. It decides, the server performs; so every fault can be tested
without a socket and without waiting.
"""

import datetime
import enum
import hashlib
import urllib.parse
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Annotated, TypeAlias

import msgspec

from ccrelay.demo import catalogue, content, wire
from ccrelay.demo.ask import Ask, read_ask
from ccrelay.demo.limits import credential_of
from ccrelay.demo.prompt_cache import PromptCache
from ccrelay.errors import TYPE_BY_STATUS, BadRequest, NotFound, RelayError

# Of the rate-limit headers, per minute. Not enforced, but relays believe them: out of reach.
REQUESTS_LIMIT = 1_000_000
TOKENS_LIMIT = 1_000_000_000
EVENT_STREAM = "text/event-stream; charset=utf-8"
ECHOED = ("/v1/messages/batches", "/v1/files", "/v1/skills")  # answered with what was received


FOREVER_S = 3600.0  # longer than any client waits

# The types of fault options: an option out of bounds is refused before the fault begins.
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
Positive: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Size: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1 << 30)]  # bytes


class Wait(msgspec.Struct, frozen=True):
    """Send nothing for so long."""

    seconds: float


class ReadBody(msgspec.Struct, frozen=True):
    """Read the request body, at most so fast; the scene has it afterwards."""

    bytes_per_s: float | None = None


class Cut(enum.Enum):
    """End the connection. A plan without one leaves it open for the next request."""

    FIN = "close"  # send everything, then close
    RST = "reset"  # send everything, then reset


Step: TypeAlias = bytes | Wait | ReadBody | Cut
Plan: TypeAlias = Generator[Step, None, None]
Render: TypeAlias = Callable[[content.Event], bytes]


class Document(msgspec.Struct, frozen=True):
    """An answer that is there at once."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Stream(msgspec.Struct, frozen=True):
    """An answer that comes as server-sent events, with a gap before each delta."""

    message: content.Message
    gap_s: float
    note: Callable[[int], None]  # told of each output token, how many there are so far


class Scene:
    """A request as plans see it, and where its answer is looked up.

    `body` is empty until a `ReadBody` step has been performed. `serial` makes ids unique, `gap_s`
    is the pace unless the prompt says otherwise.
    `rate_limits` are sent instead of the invented ones, and `produced` counts the output tokens.
    `cache` is the demo's prompt cache; with None nothing is ever cached.
    """

    def __init__(
        self,
        head: wire.RequestHead,
        *,
        serial: str,
        now: datetime.datetime,
        gap_s: float,
        cache: PromptCache | None = None,
    ) -> None:
        self.head = head
        self.body = b""
        self.rate_limits: wire.Headers | None = None
        self.produced = 0
        self.serial = serial
        self._now = now
        self._gap_s = gap_s
        self._ask: Ask | None = None
        self._cache = cache

    @property
    def request_id(self) -> str:
        """What the `request-id` header says."""
        return f"req_demo{self.serial}"

    @property
    def is_messages(self) -> bool:
        """Whether this is `POST /v1/messages`, the one request with a prompt to answer."""
        return self.head.method == "POST" and self.head.path == "/v1/messages"

    def text(self) -> bytes:
        """Return the body without its content coding. Raises BadRequest."""
        if (self.head.get("content-encoding") or "identity").lower() != "gzip":
            return self.body  # an unknown coding will not read as JSON
        decoder = zlib.decompressobj(wbits=31)
        try:
            text = decoder.decompress(self.body, wire.BODY_BYTES_MAX)
        except zlib.error as error:
            raise BadRequest(f"The request body is not gzip: {error}") from error
        if not decoder.eof:
            raise BadRequest("The gzip request body is cut short or too long.")
        return text

    def ask(self) -> Ask:
        """Read the prompt, once the body is there. Raises BadRequest."""
        if self._ask is None:
            ask = read_ask(self.text())
            if self._cache is not None and ask.prefix is not None:
                ask = ask.after(self._cache.read(credential_of(self.head), ask.prefix))
            self._ask = ask
        return self._ask

    def reply(self) -> Document | Stream:
        """Return the faultless answer; what is wrong with the request becomes an error document."""
        try:
            if not self.is_messages:
                return _answer_elsewhere(self)
            return self.answer_with(content.compose(self.ask(), self.serial))
        except RelayError as error:
            return error_document(self, error.status, error.message)

    def answer_with(self, message: content.Message) -> Document | Stream:
        """Return a message in the form the request wants."""
        gap_ms = message.ask.directives.gap_ms
        gap_s = self._gap_s if gap_ms is None else gap_ms / 1000
        if message.ask.stream:
            return Stream(message, gap_s, self._note)
        self._note(content.output_tokens(message))
        return Document(200, content.document(message))

    def response_head(
        self, status: int, content_type: str, *more: tuple[str, str], close: bool = False
    ) -> bytes:
        """Return a response head with the fields Anthropic sends; `close` announces a close."""
        headers = [
            ("date", self._now.strftime("%a, %d %b %Y %H:%M:%S GMT")),
            ("content-type", content_type),
            ("request-id", self.request_id),
            ("anthropic-organization-id", "demo-organization"),
            ("server", "ccrelay-demo"),
        ]
        if self.head.path.startswith("/v1/messages"):
            told = self.rate_limits
            headers += self._invented_limits(exhausted=status == 429) if told is None else told
        headers += more
        if close or not self.head.keep_alive:
            headers.append(("connection", "close"))
        return wire.response_head(status, headers)

    def _note(self, tokens: int) -> None:
        prefix = self._ask.prefix if self._ask is not None else None
        if tokens and not self.produced and self._cache is not None and prefix is not None:
            self._cache.write(credential_of(self.head), prefix)
        # A fault may begin an answer twice.
        self.produced = max(self.produced, tokens)

    def _invented_limits(self, *, exhausted: bool) -> wire.Headers:
        reset = (self._now + datetime.timedelta(seconds=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
        # Nobody counts here: a relay would take a number that falls for its own key running dry.
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


def answer(scene: Scene) -> Plan:
    """Answer a request whose body was read, without any fault."""
    yield from send(scene, scene.reply())


def send(scene: Scene, reply: Document | Stream) -> Plan:
    """Send a reply in its usual framing: Content-Length, or chunks as the events come."""
    if isinstance(reply, Document):
        yield document_head(scene, reply)
        if scene.head.method != "HEAD":
            yield reply.body
    else:
        yield from send_events(scene, pieces(reply))


def send_events(scene: Scene, parts: Iterable[bytes | Wait]) -> Plan:
    """Send the parts of an event stream, each in its own chunk, and end the body."""
    yield _streaming_head(scene, 200, EVENT_STREAM)
    for part in parts:
        yield framed(scene, part)
    yield from end(scene)


def begin(scene: Scene, reply: Document | Stream, *more: tuple[str, str]) -> bytes:
    """Return a head that announces chunks, for a document too. HTTP/1.0 gets a close instead."""
    if isinstance(reply, Document):
        return _streaming_head(scene, reply.status, reply.content_type, *reply.headers, *more)
    return _streaming_head(scene, 200, EVENT_STREAM, *more)


def framed(scene: Scene, part: bytes | Wait) -> bytes | Wait:
    """Return a part of a body as it goes on the wire after `begin`."""
    return wire.chunk(part) if isinstance(part, bytes) and scene.head.minor == 1 else part


def end(scene: Scene) -> Iterator[bytes]:
    """End a body that `begin` announced."""
    if scene.head.minor == 1:
        yield wire.LAST_CHUNK


def document_head(
    scene: Scene, reply: Document, *more: tuple[str, str], close: bool = False
) -> bytes:
    """Return the head of a document with its true length."""
    fields = (*reply.headers, ("content-length", str(len(reply.body))), *more)
    return scene.response_head(reply.status, reply.content_type, *fields, close=close)


def content_type(reply: Document | Stream) -> str:
    """Return the media type of a reply."""
    return reply.content_type if isinstance(reply, Document) else EVENT_STREAM


def pieces(
    reply: Document | Stream, render: Render = content.Event.encode
) -> Iterator[bytes | Wait]:
    """Yield a reply piece by piece: a stream's events with their gaps, a document in two halves."""
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
            reply.note(min(deltas, total))
        yield render(event)


def first(reply: Document | Stream, count: int) -> Iterator[bytes | Wait]:
    """Yield the first so many pieces of a reply, with the gaps before them."""
    for part in pieces(reply):
        if count <= 0:
            return
        count -= isinstance(part, bytes)
        yield part


def error_document(scene: Scene, status: int, message: str, *headers: tuple[str, str]) -> Document:
    """Return an error as Anthropic words it."""
    type = TYPE_BY_STATUS.get(status, "invalid_request_error" if status < 500 else "api_error")
    error = {"type": type, "message": message}
    body = {"type": "error", "error": error, "request_id": scene.request_id}
    return Document(status, msgspec.json.encode(body), headers=headers)


def _streaming_head(scene: Scene, status: int, media: str, *more: tuple[str, str]) -> bytes:
    framing = [("transfer-encoding", "chunked")] if scene.head.minor == 1 else []
    return scene.response_head(status, media, ("cache-control", "no-cache"), *framing, *more)


def _answer_elsewhere(scene: Scene) -> Document:
    method, path = scene.head.method, scene.head.path
    if path == "/api/hello" and method in ("GET", "HEAD"):
        return Document(200, b'{"message":"hello"}')
    if path == "/v1/messages/count_tokens" and method == "POST":
        usage = read_ask(scene.text(), counting=True).usage
        total = usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
        return Document(200, msgspec.json.encode({"input_tokens": total}))
    if _is_under(path, "/v1/models") and method in ("GET", "HEAD"):
        return Document(200, _models(scene))
    if any(_is_under(path, prefix) for prefix in ECHOED):
        return Document(200, _echo(scene))
    if path in ("/api/hello", "/v1/messages", "/v1/messages/count_tokens", "/v1/models"):
        raise BadRequest(f"{method} is not allowed on {path}.", status=405)
    raise NotFound(f"The demo provider has nothing at {path}.")


def _is_under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


def _models(scene: Scene) -> bytes:
    query = dict(urllib.parse.parse_qsl(scene.head.target.partition("?")[2]))
    model_id = urllib.parse.unquote(scene.head.path.removeprefix("/v1/models").lstrip("/"))
    if model_id:
        return msgspec.json.encode(catalogue.find(model_id))
    return msgspec.json.encode(catalogue.page(query))


def _echo(scene: Scene) -> bytes:
    path, _, query = scene.head.target.partition("?")
    return msgspec.json.encode(
        {
            "type": "demo_echo",
            "method": scene.head.method,
            "path": path,
            "query": query,
            "headers": [name for name, _ in scene.head.headers],
            "body_bytes": len(scene.body),
            "body_sha256": hashlib.sha256(scene.body).hexdigest(),
        }
    )
