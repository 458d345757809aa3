"""The fakes of tests/unit/relay behave like the compiled connections, callback by callback.

Not compared, because the fakes leave them to the test: time limits, backpressure, chunk framing,
and `on_held_error` that neither drops nor releases.
"""

import asyncio
from collections.abc import Callable, Iterator

import pytest
import uvloop

from ccrelay._fast.head_writer import Framing
from ccrelay._fast.taps import Expected
from ccrelay._fast.upstream import Loss, Mode
from ccrelay.wire.chunks import LAST_CHUNK, chunk, early_head
from ccrelay.wire.errors import PING
from tests.parity.exchange_stage import FakeStage, Reaction, RealStage, Recorder, Stage
from tests.unit.relay.fakes import BODY, CONTENT, MODEL_SEEN, OVERLOADED, START, STOP, STREAM_HEAD

Conversation = tuple[dict[str, Reaction], Callable[[Stage], None]]

JSON = b'{"usage":{"input_tokens":1}}'
KEEP_ALIVE_JSON = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(JSON)
)
CLOSED_JSON = KEEP_ALIVE_JSON[:-2] + b"connection: close\r\n\r\n"
UNFRAMED_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
OPAQUE_STREAM = STREAM_HEAD.replace(b"text/event-stream", b"application/octet-stream")
PACKED_STREAM = STREAM_HEAD[:-2] + b"content-encoding: gzip\r\n\r\n"
ERROR = b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}'
ERROR_HEAD = (
    b"HTTP/1.1 529 X\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
)
ANSWER = b"HTTP/1.1 503 X\r\ncontent-length: 2\r\n\r\nno"
HELD_OVER_MAX = START[:-3] + b" " * 300_000 + b"}\n\n"


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = uvloop.new_event_loop()
    yield made
    made.close()


def forward(mode: Mode, framing: Framing = Framing.KEEP, *, repairs: bool = False) -> Reaction:
    def react(recorder: Recorder, up: object) -> None:
        recorder.up.forward(int(mode), int(framing), not recorder.down.started, b"", repairs)

    return react


def collect(limit: int) -> Reaction:
    return lambda recorder, up: recorder.up.collect(limit)


def drop(recorder: Recorder, up: object) -> None:
    recorder.up.drop()


def answer(keep_alive: bool) -> Reaction:
    return lambda recorder, up: recorder.down.answer(ANSWER, keep_alive)


def drop_and_answer(recorder: Recorder, up: object) -> None:
    recorder.up.drop()
    recorder.down.answer(ANSWER, True)


def await_body(recorder: Recorder, up: object) -> None:
    recorder.down.await_body()


# ---- conversations


def body_in_pieces(stage: Stage) -> None:
    stage.open(BODY, 5)
    stage.act(lambda recorder: recorder.down.await_model())
    stage.arrive(MODEL_SEEN - 1)
    stage.arrive(MODEL_SEEN)
    stage.arrive(len(BODY) - 1)
    stage.arrive(len(BODY))


def body_without_model(stage: Stage) -> None:
    stage.open(b'{"messages":[]}', 3)
    stage.act(lambda recorder: recorder.down.await_model())
    stage.arrive(8)
    stage.arrive(15)


def whole(head: bytes, *pieces: bytes) -> Callable[[Stage], None]:
    """A complete request, a response in pieces, and its end."""

    def run(stage: Stage) -> None:
        stage.open(BODY, len(BODY))
        stage.send()
        stage.respond(head)
        for piece in pieces:
            stage.probe()
            stage.feed(piece)
        stage.probe()
        stage.end()

    return run


def streamed(
    *pieces: bytes, head: bytes = STREAM_HEAD, lost: int | None = None, minor: int = 1
) -> Callable[[Stage], None]:
    """A stream that is lost, or goes on while the test ends."""

    def run(stage: Stage) -> None:
        stage.open(BODY, len(BODY), minor=minor)
        stage.send()
        stage.respond(head)
        for piece in pieces:
            stage.feed(piece)
            stage.probe()
        if lost is not None:
            stage.lose(lost)

    return run


def lost_before_the_head(reason: int) -> Callable[[Stage], None]:
    def run(stage: Stage) -> None:
        stage.open(BODY, len(BODY))
        stage.send()
        stage.lose(reason)

    return run


def client_leaves_before_the_head(stage: Stage) -> None:
    stage.open(BODY, len(BODY))
    stage.send()
    stage.leave()


def client_leaves_in_mid_stream(stage: Stage) -> None:
    streamed(START, CONTENT)(stage)
    stage.leave()


def answered_at_once(stage: Stage) -> None:
    stage.open(BODY, len(BODY))
    stage.act(lambda recorder: recorder.down.answer(ANSWER, True))


def answered_and_closed(stage: Stage) -> None:
    stage.open(BODY, len(BODY))
    stage.act(lambda recorder: recorder.down.answer(ANSWER, False))


def early_head_and_pings(stage: Stage) -> None:
    stage.open(BODY, len(BODY))
    stage.send()
    stage.act(lambda recorder: recorder.down.begin(early_head("req_1")))
    stage.respond(STREAM_HEAD)
    stage.feed(START)
    stage.probe()
    stage.feed(CONTENT)
    stage.probe()
    stage.feed(STOP)
    stage.end()


def early_head_and_cut(stage: Stage) -> None:
    stage.open(BODY, len(BODY))
    stage.send()
    stage.act(lambda recorder: recorder.down.begin(early_head("req_1")))
    stage.act(lambda recorder: recorder.up.drop())
    stage.act(lambda recorder: recorder.down.cut())


def error_event_after_an_early_head(stage: Stage) -> None:
    stage.open(BODY, len(BODY))
    stage.act(lambda recorder: recorder.down.begin(early_head("req_1")))
    stage.act(lambda recorder: recorder.down.write(LAST_CHUNK))
    stage.act(lambda recorder: recorder.down.finish())


def aborted(stage: Stage) -> None:
    streamed(START, CONTENT)(stage)
    stage.act(lambda recorder: recorder.up.drop())
    stage.act(lambda recorder: recorder.down.abort())


def cut_in_mid_stream(stage: Stage) -> None:
    streamed(START, CONTENT)(stage)
    stage.act(lambda recorder: recorder.up.drop())
    stage.act(lambda recorder: recorder.down.cut())


def held_head_flushed(stage: Stage) -> None:
    streamed(START)(stage)
    stage.act(lambda recorder: recorder.down.flush_head())
    stage.act(lambda recorder: recorder.up.release())
    stage.feed(CONTENT + STOP)
    stage.end()


def answered_before_the_body_is_here(stage: Stage) -> None:
    stage.open(BODY, 10)
    stage.act(lambda recorder: recorder.down.answer(ANSWER, True))


def chunked_request(stage: Stage) -> None:
    stage.open(BODY, 5, chunked=True)
    stage.act(lambda recorder: recorder.down.await_body())
    stage.arrive(len(BODY))
    stage.send()
    stage.respond(KEEP_ALIVE_JSON)
    stage.feed(JSON)
    stage.end()


def two_attempts(stage: Stage) -> None:
    """The first is collected; the second goes over the same connection, from `on_collected`."""
    stage.open(BODY, len(BODY))
    stage.send()
    stage.respond(ERROR_HEAD)
    stage.feed(ERROR)
    stage.end()


class Brackets:
    """A coding: each byte in brackets; encodes and decodes."""

    def encode(self, data: bytes) -> bytes:
        if b"unwritable" in data:
            raise ValueError("no bracket for it")
        return b"".join(b"<%c>" % byte for byte in data)

    def decode(self, data: bytes, most: int, /) -> tuple[bytes, bytes]:
        if b"!" in data:
            raise ValueError("no bracket")
        return data.replace(b"<", b"").replace(b">", b""), b""


def transformed(mode: Mode, *, decoded: bool, encoded: bool) -> Reaction:
    """Decoded for taps and client, encoded for the client, or both."""

    def react(recorder: Recorder, up: object) -> None:
        recorder.up.expect(int(Expected.A_MESSAGE))
        if decoded:
            recorder.up.decode(Brackets(), True)
        if encoded:
            recorder.up.encode(Brackets())
        recorder.up.forward(int(mode), int(Framing.CHUNKED), True, media_type=b"text/brackets")

    return react


def packed(data: bytes) -> bytes:
    return Brackets().encode(data)


HOLD = forward(Mode.HOLD)
CONVERSATIONS: dict[str, Conversation] = {
    "a body in pieces": ({"on_model": await_body}, body_in_pieces),
    "a body without a model": ({}, body_without_model),
    "a chunked request": ({"on_head": forward(Mode.FORWARD)}, chunked_request),
    "forwarded as sent": ({"on_head": forward(Mode.FORWARD)}, whole(STREAM_HEAD, START, CONTENT)),
    "forwarded with a length": (
        {"on_head": forward(Mode.FORWARD)},
        whole(KEEP_ALIVE_JSON, JSON),
    ),
    "the provider closes after a length": (
        {"on_head": forward(Mode.FORWARD)},
        whole(CLOSED_JSON, JSON),
    ),
    "no length becomes chunks": (
        {"on_head": forward(Mode.FORWARD, Framing.CHUNKED)},
        whole(UNFRAMED_STREAM, START, CONTENT, STOP),
    ),
    "no length, closed at the end": (
        {"on_head": forward(Mode.FORWARD, Framing.CLOSE)},
        whole(UNFRAMED_STREAM, START, CONTENT, STOP),
    ),
    "held until content": (
        {"on_head": forward(Mode.HOLD)},
        whole(STREAM_HEAD, START, CONTENT, STOP),
    ),
    "held beyond the maximum": (
        {"on_head": forward(Mode.HOLD)},
        streamed(HELD_OVER_MAX, START),
    ),
    "held without content": ({"on_head": HOLD}, whole(STREAM_HEAD, START)),
    "held without content, dropped": (
        {"on_head": HOLD, "on_held_error": drop_and_answer},
        whole(STREAM_HEAD, START),
    ),
    "a held error, dropped": (
        {"on_head": HOLD, "on_held_error": drop_and_answer},
        streamed(START, OVERLOADED),
    ),
    "a held error, released": (
        {"on_head": HOLD, "on_held_error": lambda recorder, up: recorder.up.release()},
        streamed(START, OVERLOADED),
    ),
    "a compressed stream is not held": (
        {"on_head": forward(Mode.HOLD)},
        whole(PACKED_STREAM, b"\x1f\x8b" * 9),
    ),
    "a whole answer is not held": ({"on_head": HOLD}, whole(KEEP_ALIVE_JSON, JSON)),
    "unfinished, repaired": (
        {
            "on_head": forward(Mode.FORWARD, Framing.CHUNKED, repairs=True),
            "on_unfinished": lambda recorder, up: recorder.down.write(chunk(PING)) and None,
        },
        whole(STREAM_HEAD, START, CONTENT),
    ),
    "finished, no repair": (
        {"on_head": forward(Mode.FORWARD, Framing.CHUNKED, repairs=True)},
        whole(STREAM_HEAD, START, CONTENT, STOP),
    ),
    "unfinished, dropped": (
        {
            "on_head": forward(Mode.FORWARD, Framing.CHUNKED, repairs=True),
            "on_unfinished": lambda recorder, up: (recorder.up.drop(), recorder.down.cut())[0],
        },
        whole(STREAM_HEAD, START, CONTENT),
    ),
    "an error collected": (
        {"on_head": collect(1000), "on_collected": answer(True)},
        whole(ERROR_HEAD, ERROR[:9], ERROR[9:]),
    ),
    "an error too long to collect": (
        {"on_head": collect(20), "on_lost": answer(True)},
        streamed(ERROR[:15], ERROR[15:], head=ERROR_HEAD),
    ),
    "enough of what is no answer": (
        {"on_head": collect(20), "on_collected": answer(True)},
        streamed(ERROR[:15], ERROR[15:]),
    ),
    "an empty error": ({"on_head": collect(9), "on_collected": answer(True)}, whole(ERROR_HEAD)),
    "closed before the head": ({"on_lost": answer(True)}, lost_before_the_head(Loss.CLOSED)),
    "garbage for a head": ({"on_lost": answer(True)}, lost_before_the_head(Loss.GARBAGE)),
    "closed while held": (
        {"on_head": HOLD, "on_lost": answer(True)},
        streamed(START, lost=Loss.CLOSED),
    ),
    "closed after content": (
        {
            "on_head": forward(Mode.HOLD),
            "on_lost": lambda recorder, up: recorder.down.cut(),
        },
        streamed(START, CONTENT, lost=Loss.CLOSED),
    ),
    "the client leaves before the head": (
        {"on_client_left": drop},
        client_leaves_before_the_head,
    ),
    "the client leaves in mid-stream": (
        {"on_head": HOLD, "on_client_left": drop},
        client_leaves_in_mid_stream,
    ),
    "answered here": ({}, answered_at_once),
    "answered here and closed": ({}, answered_and_closed),
    "answered before the body is here": ({}, answered_before_the_body_is_here),
    "an early head, then the stream": (
        {"on_head": forward(Mode.HOLD, Framing.CHUNKED)},
        early_head_and_pings,
    ),
    "an early head, then cut": ({}, early_head_and_cut),
    "an early head, then the end": ({}, error_event_after_an_early_head),
    "aborted": ({"on_head": HOLD}, aborted),
    "cut in mid-stream": ({"on_head": HOLD}, cut_in_mid_stream),
    "the head flushed while held": ({"on_head": HOLD}, held_head_flushed),
    "decoded": (
        {"on_head": transformed(Mode.HOLD, decoded=True, encoded=False)},
        whole(OPAQUE_STREAM, packed(START), packed(CONTENT), packed(STOP)),
    ),
    "encoded": (
        {"on_head": transformed(Mode.HOLD, decoded=False, encoded=True)},
        whole(STREAM_HEAD, START, CONTENT, STOP),
    ),
    "decoded and encoded": (
        {"on_head": transformed(Mode.HOLD, decoded=True, encoded=True)},
        whole(OPAQUE_STREAM, packed(START), packed(CONTENT), packed(STOP)),
    ),
    "not in its coding, before content": (
        {
            "on_head": transformed(Mode.HOLD, decoded=True, encoded=False),
            "on_lost": answer(True),
        },
        streamed(packed(START), b"!", head=OPAQUE_STREAM),
    ),
    "not in its coding, after content": (
        {
            "on_head": transformed(Mode.HOLD, decoded=True, encoded=False),
            "on_lost": lambda recorder, up: recorder.down.cut(),
        },
        streamed(packed(START), packed(CONTENT), b"!", head=OPAQUE_STREAM),
    ),
    "nothing that can be encoded": (
        {
            "on_head": transformed(Mode.HOLD, decoded=False, encoded=True),
            "on_lost": lambda recorder, up: recorder.down.cut(),
        },
        streamed(START, CONTENT, CONTENT.replace(b"type", b"unwritable")),
    ),
    "collected, then answered": (
        {"on_head": collect(1000), "on_collected": answer(False)},
        two_attempts,
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_fakes_give_the_callbacks_and_the_client_bytes_of_the_real_ones(
    name: str, loop: asyncio.AbstractEventLoop
) -> None:
    reactions, run = CONVERSATIONS[name]
    fake = FakeStage(Recorder(reactions))
    real = RealStage(Recorder(reactions), loop)
    try:
        run(real)
        expected = (real.recorder.log, real.received(), real.recorder.up.is_closed())
    finally:
        real.close()
    run(fake)
    log, received, closed = expected
    assert fake.recorder.log == log
    assert fake.received() == received
    assert fake.recorder.up.is_closed() == closed
