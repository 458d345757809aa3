"""Events to AWS's frames, with botocore and the official SDK's decoder as judges."""

import json
from typing import Any

import pytest
from botocore.eventstream import EventStream, EventStreamBuffer
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import EventStreamJSONParser

from ccrelay._fast.eventstream import EventStreamDecoder, EventStreamEncoder
from tests.reference.eventstream import event_frame

START = b'{"type":"message_start","message":{"usage":{"input_tokens":1}}}'
DELTA = '{"type":"content_block_delta","delta":{"text":"é ✓ 😀"}}'.encode()
STOP = b'{"type":"message_stop"}'
# By its path: to look for the newest version lists hundreds of folders.
SHAPE = ServiceModel(Loader().load_data("bedrock-runtime/2023-09-30/service-2")).shape_for(
    "ResponseStream"
)


def sse(name: str, data: bytes, end: bytes = b"\n") -> bytes:
    return end.join((b"event: %b" % name.encode(), b"data: %b" % data, b"", b""))


STREAM = (
    sse("message_start", START)
    + sse("ping", b'{"type": "ping"}')
    + sse("content_block_delta", DELTA)
    + sse("message_stop", STOP)
)


def messages(data: bytes) -> list[Any]:
    """The frames, as botocore reads them."""
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    found = list(buffer)
    assert buffer._data == b""
    return found


def error(kind: str, message: str = "why") -> bytes:
    data = {"type": "error", "error": {"type": kind, "message": message}}
    return sse("error", json.dumps(data).encode())


class Raw:
    """A response as botocore's `EventStream` wants it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> list[bytes]:
        return [self._data[:7], self._data[7:]]

    def close(self) -> None:
        pass


def test_botocores_client_reads_the_events_and_skips_pings() -> None:
    stream = EventStream(
        Raw(EventStreamEncoder().encode(STREAM)), SHAPE, EventStreamJSONParser(), ""
    )
    assert [event["chunk"]["bytes"] for event in stream] == [START, DELTA, STOP]


def test_the_official_sdks_decoder_reads_the_events_and_skips_pings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sdk = pytest.importorskip("anthropic.lib.bedrock._stream_decoder")
    monkeypatch.setattr(sdk, "get_response_stream_shape", lambda: SHAPE)
    decoder = sdk.AWSEventStreamDecoder()
    found = list(decoder.iter_bytes([EventStreamEncoder().encode(STREAM)]))
    assert [json.loads(event.data)["type"] for event in found] == [
        "message_start",
        "content_block_delta",
        "message_stop",
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_any_split_and_line_end_gives_the_same_frames(end: bytes) -> None:
    wanted = EventStreamEncoder().encode(STREAM)
    stream = STREAM.replace(b"\n", end)
    for step in range(1, 20):
        encoder = EventStreamEncoder()
        pieces = [stream[at : at + step] for at in range(0, len(stream), step)]
        assert b"".join(map(encoder.encode, pieces)) == wanted


def test_what_the_decoder_makes_of_it_is_the_stream_without_pings() -> None:
    out, rest = EventStreamDecoder().decode(EventStreamEncoder().encode(STREAM), 1 << 20)
    assert (out, rest) == (STREAM.replace(sse("ping", b'{"type": "ping"}'), b""), b"")


def test_comments_noise_and_fields_that_do_not_matter_are_left_out() -> None:
    stream = b": hello\n\nid: 7\nretry: 5\n\ndata: [DONE]\n\nevent: x\n\n\n\ndata:\n\n"
    assert EventStreamEncoder().encode(stream) == b""


def test_data_of_several_lines_is_joined() -> None:
    encoder = EventStreamEncoder()
    [message] = messages(encoder.encode(b'data: {"type":\ndata:"message_stop"}\n\n'))
    out, _ = EventStreamDecoder().decode(encoder.encode(b"") + _bytes_of(message), 1 << 20)
    assert out == b'event: message_stop\ndata: {"type": "message_stop"}\n\n'


def _bytes_of(message: Any) -> bytes:
    """The frame again."""
    return event_frame("chunk", message.payload)


def test_an_event_without_a_name_is_known_by_its_data() -> None:
    frames = messages(EventStreamEncoder().encode(b'data: {"type":"ping"}\n\ndata: %b\n\n' % STOP))
    assert [frame.headers[":event-type"] for frame in frames] == ["ping", "chunk"]
    text = b'data: {"type":"content_block_delta","delta":{"text":"ping"}}\n\n'
    frames = messages(EventStreamEncoder().encode(b'data: { "type": "ping" }\n\n' + text))
    assert [frame.headers[":event-type"] for frame in frames] == ["ping", "chunk"]


@pytest.mark.parametrize(
    ("kind", "name", "status"),
    [
        ("rate_limit_error", "throttlingException", None),
        ("overloaded_error", "serviceUnavailableException", None),
        ("api_error", "internalServerException", None),
        ("invalid_request_error", "validationException", None),
        ("timeout_error", "modelTimeoutException", None),
        ("authentication_error", "modelStreamErrorException", 401),
        ("permission_error", "modelStreamErrorException", 403),
        ("request_too_large", "modelStreamErrorException", 413),
        ("billing_error", "modelStreamErrorException", 402),
        ("never_seen_error", "modelStreamErrorException", 500),
    ],
)
def test_an_error_event_is_an_exception_that_clients_know(
    kind: str, name: str, status: int | None
) -> None:
    made = EventStreamEncoder().encode(error(kind, 'a "b"\n'))
    [message] = messages(made)
    assert (message.headers[":message-type"], message.headers[":exception-type"]) == (
        "exception",
        name,
    )
    assert name in SHAPE.members
    payload = json.loads(message.payload)
    assert (payload["message"], payload.get("originalStatusCode")) == ('a "b"\n', status)
    back, _ = EventStreamDecoder().decode(made, 1 << 20)
    expected = "api_error" if kind == "never_seen_error" else kind
    assert json.loads(back.partition(b"data: ")[2])["error"]["type"] == expected


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("429", "throttlingException"),
        ('"503"', "serviceUnavailableException"),
        ("400", "validationException"),
        ('"DeploymentNotFound"', "modelStreamErrorException"),
        ("4290", "modelStreamErrorException"),
        ("null", "modelStreamErrorException"),
    ],
)
def test_an_error_of_a_gateway_is_told_by_its_code(code: str, name: str) -> None:
    data = f'{{"error":{{"code":{code},"message":"m","status":"RESOURCE_EXHAUSTED"}}}}'
    made = EventStreamEncoder().encode(f"event: error\ndata: {data}\n\n".encode())
    assert messages(made)[0].headers[":exception-type"] == name


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b'{"error":7}',
        b'{"error":{"type":[],"message":{}}}',
        b'{"error":{"message":"%b"}}' % (b"x" * 10_000_000),
    ],
    ids=len,
)
def test_an_error_event_of_any_shape_is_an_exception(data: bytes) -> None:
    [message] = messages(EventStreamEncoder().encode(sse("error", data)))
    assert message.headers[":message-type"] == "exception"
    assert 0 < len(json.loads(message.payload)["message"]) < 100


def test_an_event_too_long_for_a_frame_is_refused() -> None:
    encoder = EventStreamEncoder()
    piece = b"x" * (1 << 20)
    assert encoder.encode(b'data: {"type":"') == b""
    for _ in range(15):
        assert encoder.encode(piece) == b""
    with pytest.raises(ValueError, match="too long"):
        encoder.encode(piece)


def test_the_longest_event_fits() -> None:
    data = b'{"type":"x","t":"%b"}' % (b"y" * 16_000_000)
    [message] = messages(EventStreamEncoder().encode(sse("x", data)))
    assert len(message.payload) > len(data)
