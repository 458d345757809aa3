"""AWS's frames through the compiled connections, over sockets: what the exchange is told, and what
the client gets."""

import asyncio
from collections.abc import Iterator

import pytest
import uvloop

from ccrelay._fast.eventstream import EventStreamDecoder, EventStreamEncoder
from ccrelay._fast.head_writer import Framing
from ccrelay._fast.taps import Expected
from ccrelay._fast.upstream import Loss, Mode
from ccrelay._fast.usage import Usage
from ccrelay.wire.chunks import chunk
from ccrelay.wire.errors import PING
from tests.parity.exchange_stage import RealStage, Recorder
from tests.reference.eventstream import chunk_frame, decode, exception_frame
from tests.unit.relay.fakes import BODY, CONTENT, START, STOP

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
PLAIN_HEAD = HEAD.replace(b"application/vnd.amazon.eventstream", b"text/event-stream")
UNFRAMED = HEAD.replace(b"transfer-encoding: chunked\r\n", b"")


def framed(event: bytes) -> bytes:
    return chunk_frame(event.partition(b"data: ")[2].removesuffix(b"\n\n"), "abcd")


FRAMES = [framed(event) for event in (START, CONTENT, STOP)]


@pytest.fixture
def stage() -> Iterator[RealStage]:
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    recorder = Recorder({"on_head": on_head, "on_lost": on_lost, "on_held_error": on_held_error})
    made = RealStage(recorder, loop)
    made.open(BODY, len(BODY))
    made.send()
    yield made
    made.close()
    loop.close()


def on_head(recorder: Recorder, up: object) -> None:
    recorder.up.expect(int(Expected.A_MESSAGE))
    if recorder.up.head.get(b"content-type") == b"text/event-stream":
        recorder.up.encode(EventStreamEncoder())
    else:
        recorder.up.decode(EventStreamDecoder(), True)
    recorder.up.forward(int(Mode.HOLD), int(Framing.CHUNKED), True, media_type=b"x/y")


def on_lost(recorder: Recorder, up: object) -> None:
    recorder.down.cut()


def on_held_error(recorder: Recorder, up: object) -> None:
    recorder.up.release()


def called(stage: RealStage, name: str) -> list[tuple[object, ...]]:
    return [entry for entry in stage.recorder.log if entry[0] == name]


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_the_client_gets_events_however_the_frames_are_cut(stage: RealStage, size: int) -> None:
    data = b"".join(FRAMES)
    stage.respond(HEAD)
    for at in range(0, len(data), size):
        stage.feed(data[at : at + size])
    stage.end()
    assert stage.received() == ([200], START + CONTENT + STOP, "complete")


def test_a_ping_fits_between_events_and_inside_of_a_frame(stage: RealStage) -> None:
    stage.respond(HEAD)
    stage.feed(FRAMES[0] + FRAMES[1] + FRAMES[2][:20])
    assert stage.recorder.up.may_insert()
    stage.act(lambda recorder: recorder.down.write(chunk(PING)))
    stage.feed(FRAMES[2][20:])
    stage.end()
    assert stage.received()[1] == START + CONTENT + PING + STOP


@pytest.mark.parametrize("head", [HEAD, UNFRAMED])
def test_an_end_inside_of_a_frame_is_a_cut(stage: RealStage, head: bytes) -> None:
    stage.respond(head)
    stage.feed(FRAMES[0] + FRAMES[1] + FRAMES[2][:20])
    stage.end()
    assert [entry[2] for entry in called(stage, "on_lost")] == [Loss.CLOSED]


def test_what_follows_the_last_event_is_not_waited_for(stage: RealStage) -> None:
    stage.respond(UNFRAMED)
    stage.feed(b"".join(FRAMES) + FRAMES[0][:20])
    stage.end()
    assert called(stage, "on_lost") == []
    assert called(stage, "on_done") != []


@pytest.mark.parametrize("before", [0, 1, 2])
def test_a_broken_frame_loses_the_upstream_and_nothing_before_it(
    stage: RealStage, before: int
) -> None:
    stage.respond(HEAD)
    broken = bytearray(FRAMES[2])
    broken[-1] ^= 1
    stage.feed(b"".join(FRAMES[:before]) + bytes(broken))
    if before == 0:  # nothing says what it is: no answer
        assert called(stage, "on_held_error") != []
        return
    assert [entry[2] for entry in called(stage, "on_lost")] == [Loss.GARBAGE]
    assert stage.received()[1] == (START + CONTENT if before == 2 else b"")


def test_an_exception_before_content_is_a_held_error(stage: RealStage) -> None:
    stage.respond(HEAD)
    stage.feed(FRAMES[0] + exception_frame("throttlingException", b'{"message":"slow"}'))
    assert called(stage, "on_held_error") != []
    error = stage.recorder.up.taps.sse.error()
    assert error == b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}'


def test_an_exception_after_content_reaches_the_client(stage: RealStage) -> None:
    stage.respond(HEAD)
    stage.feed(b"".join(FRAMES[:2]) + exception_frame("modelTimeoutException", b'{"message":"t"}'))
    received = stage.received()[1]
    assert received.startswith(START + CONTENT + b"event: error\n")
    assert b'"timeout_error","message":"t"}' in received


def test_counts_that_only_the_metrics_have_are_in_the_usage(stage: RealStage) -> None:
    metrics = (
        b'{"inputTokenCount":3,"outputTokenCount":9,"cacheReadInputTokenCount":5,'
        b'"cacheWriteInputTokenCount":7}'
    )
    usage = b'{"type":"message_delta","usage":{"output_tokens":8}}'
    stop = b'{"type":"message_stop","amazon-bedrock-invocationMetrics":%b}' % metrics
    stage.respond(HEAD)
    stage.feed(b"".join(FRAMES[:2]) + chunk_frame(usage) + chunk_frame(stop))
    found = stage.recorder.up.taps.usage()
    assert found == Usage(input=3, output=8, cache_read=5, cache_write_5m=7)
    assert b"amazon" not in stage.received()[1]


def test_a_client_of_the_cloud_gets_frames(stage: RealStage) -> None:
    stage.respond(PLAIN_HEAD)
    for event in (START, CONTENT, PING, STOP):
        for half in (event[:9], event[9:]):
            stage.feed(half)
    stage.end()
    statuses, payload, end = stage.received()
    assert (statuses, end) == ([200], "complete")
    assert decode(payload)[0] == START + CONTENT + STOP
