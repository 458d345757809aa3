"""AWS's frames to events: recorded streams, published vectors, what a hostile peer could send."""

import json
import time
import zlib
from base64 import b64encode
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from ccrelay._fast.eventstream import EventStreamDecoder, use_simd
from tests.reference.eventstream import (
    PAYLOAD_MAX,
    chunk_frame,
    event_frame,
    exception_frame,
    frame,
    header,
)

CORPUS = Path(__file__).parents[2] / "corpus" / "clouds" / "eventstream"
CUTS: dict[str, object] = json.loads((CORPUS / "5_split_reads.cuts.json").read_text())
START = b'{"type":"message_start","message":{}}'
STOP = b'{"type":"message_stop"}'
MOST = 1 << 18

# Providers reference, section 16.1.
PING_FRAME = bytes.fromhex(
    "000000860000004bba8a02430b3a6576656e742d747970650700056368756e6b0d3a636f6e74656e742d747970650700"
    "106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d74797065070005"
    "6576656e747b226279746573223a2265794a306558426c496a6f6963476c755a794a39222c2270223a2261626364227d"
    "dc9d8443"
)
THROTTLED_FRAME = bytes.fromhex(
    "000000b0000000614f5086b30f3a657863657074696f6e2d747970650700137468726f74746c696e67457863657074696f"
    "6e0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d7479706507"
    "0009657863657074696f6e7b226d657373616765223a22546f6f206d616e7920746f6b656e732c20706c65617365207761"
    "6974206265666f726520747279696e6720616761696e2e227df70ae57f"
)
# Check sums of botocore's cases: prelude, message.
EMPTY = (0x05C248EB, 0x7D98C8FF)


@pytest.fixture(params=[False, True], ids=["portable", "simd"], autouse=True)
def simd(request: pytest.FixtureRequest) -> Iterator[None]:
    use_simd(request.param)
    yield
    use_simd(True)


def decoded(data: bytes, step: int = 0, decoder: EventStreamDecoder | None = None) -> bytes:
    """All events of a stream that comes in pieces of `step` bytes."""
    decoder = decoder or EventStreamDecoder()
    out = b""
    for at in range(0, len(data), step or len(data) or 1):
        rest = data[at : at + step] if step else data
        while rest:
            piece, rest = decoder.decode(rest, MOST)
            out += piece
    return out


def event(data: bytes) -> bytes:
    name = json.loads(data)["type"].encode()
    return b"event: %b\ndata: %b\n\n" % (name, data)


def error_of(stream: bytes) -> dict[str, object]:
    """The members of `error` in the one event of a stream."""
    head, _, data = stream.removesuffix(b"\n\n").partition(b"\ndata: ")
    assert head == b"event: error"
    found: dict[str, object] = json.loads(data)
    assert found.pop("type") == "error"
    [(name, members)] = found.items()
    assert name == "error"
    assert isinstance(members, dict)
    return members


# ---- recorded and published streams


@pytest.mark.parametrize(
    "name",
    ["1_chunk_events", "2_padding", "3_exception_frame", "5_split_reads", "6_unknown_frames"],
)
def test_a_recorded_stream(name: str) -> None:
    data, wanted = (CORPUS / f"{name}.bin").read_bytes(), (CORPUS / f"{name}.sse").read_bytes()
    for step in (0, 1, 2, 3, 11, 12, 13, 500):
        assert decoded(data, step) == wanted


@pytest.mark.parametrize("name", [name for name in CUTS if name != "every_byte"])
def test_the_recorded_cuts_make_no_difference(name: str) -> None:
    data = (CORPUS / "5_split_reads.bin").read_bytes()
    cuts = CUTS[name]
    assert isinstance(cuts, list)
    decoder = EventStreamDecoder()
    places = [0, *cuts, len(data)]
    pieces = [data[a:b] for a, b in pairwise(places)]
    out = b"".join(decoded(piece, decoder=decoder) for piece in pieces)
    assert out == (CORPUS / "5_split_reads.sse").read_bytes()


def test_an_error_frame_that_comes_first_is_an_error_event() -> None:
    stream = decoded((CORPUS / "4_error_frame_first.bin").read_bytes())
    message = "An internal server error occurred."
    assert error_of(stream) == {"type": "api_error", "message": message}


def test_what_stands_before_a_broken_frame_is_decoded() -> None:
    data = (CORPUS / "7_bad_crc.bin").read_bytes()
    wanted = (CORPUS / "7_bad_crc.sse").read_bytes().partition(b"event: error")[0]
    for step in (1, 7, len(data)):
        decoder, out = EventStreamDecoder(), b""
        with pytest.raises(ValueError, match="check sum"):  # noqa: PT012
            for at in range(0, len(data), step):
                rest = data[at : at + step]
                while rest:
                    piece, rest = decoder.decode(rest, MOST)
                    out += piece
        assert out == wanted
        with pytest.raises(ValueError, match="check sum"):
            decoder.decode(PING_FRAME, MOST)


def test_the_frames_of_the_reference() -> None:
    assert decoded(PING_FRAME) == event(b'{"type":"ping"}')
    error = error_of(decoded(THROTTLED_FRAME))
    message = "Too many tokens, please wait before trying again."
    assert error == {"type": "rate_limit_error", "message": message}
    prelude = (16).to_bytes(4, "big") + bytes(4)
    empty = prelude + b"".join(one.to_bytes(4, "big") for one in EMPTY)
    assert empty == frame(b"", b"")
    assert decoded(empty) == b""


# ---- payloads


@pytest.mark.parametrize(
    "payload",
    [
        b'{"bytes":"%b"}',
        b'{"bytes":"%b","p":"abc"}',
        b'{"p":"","bytes":"%b"}',
        b'{"p":"a\\"b","other":[{"bytes":"no"}],"bytes":"%b"}',
        b' { "bytes" : "%b" , "p" : "a" } ',
        b'{"bytes":"%b","p":"a\\"b"}',
        b'{"bytes":"%b","n":1.5e3,"t":true,"p":null}',
    ],
)
def test_padding_and_members_that_are_not_known_are_left_out(payload: bytes) -> None:
    assert decoded(event_frame("chunk", payload % b64encode(STOP))) == event(STOP)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b'{"p":"abc"}',
        b'{"bytes":null}',
        b'{"bytes":""}',
        b'{"bytes":"%b"}' % b64encode(b"[1]"),
        b'{"bytes":"%b"}' % b64encode(b'{"noType":1}'),
        b'{"bytes":"%b"}' % b64encode(b'{"type":7}'),
        b'{"bytes":"%b"}' % b64encode(b'{"other":{"type":"message_stop"}}'),
    ],
)
def test_a_frame_without_an_event_is_skipped(payload: bytes) -> None:
    data = event_frame("chunk", payload) + chunk_frame(STOP)
    assert decoded(data) == event(STOP)


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b'"bytes"',
        b'{"bytes":7}',
        b'{"bytes":"!!!!"}',
        b'{"bytes":"AAAAA"}',
        b'{"bytes":"AA=="',
        b'{"bytes":"AA==","p":',
        b'{"bytes":"A=A="}',
        b'{"bytes":"%b"}' % (b64encode(b'{"type":"%b"}' % (b"a" * 34))[:63] + b"=" + b"AAAA"),
        b'{"bytes":"%b"}' % b64encode(b'{"other":'),
        b'{"bytes":"%b"}' % b64encode(b'{"type":"a\\nevent: b"}'),
        b'{"bytes":"%b"}' % b64encode(b'{"type":"a\nevent: error"}'),
        b'{"bytes":"%b"}' % b64encode(b'{"type":"%b"}' % (b"a" * 65)),
        b'{"bytes":"%b"}' % b64encode(b'{"type":""}'),
    ],
)
def test_a_payload_that_cannot_be_read_ends_the_stream(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"payload|event"):
        decoded(event_frame("chunk", payload))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 46, 47, 48, 49, 50, 300, 70_000])
def test_base64_of_any_length_with_and_without_padding(size: int) -> None:
    data = b'{"type":"content_block_delta","t":"%b"}' % (b"\xc3\xa9" * size + b"x" * (size % 3))
    text = b64encode(data)
    for bare in (text, text.rstrip(b"=")):
        assert decoded(event_frame("chunk", b'{"bytes":"%b"}' % bare), 997) == event(data)


@pytest.mark.parametrize("size", range(200))
def test_a_payload_of_every_length(size: int) -> None:
    data = b'{"type":"x","t":"%b"}' % bytes(range(35, 35 + 50)).replace(b"\\", b"")[: size % 49]
    data = data[:-2] + b"\xc3\xbf\xfb" * (size // 3) + b"z" * (size % 3) + b'"}'
    assert decoded(chunk_frame(data, "p" * (size % 7))) == b"event: x\ndata: %b\n\n" % data


@pytest.mark.parametrize("at", range(120))
def test_a_byte_that_is_no_base64_is_found_anywhere(at: int) -> None:
    text = bytearray(b64encode(b'{"type":"x","t":"%b"}' % (b"a" * 71)))
    assert len(text) == 120
    for foreign in b"-_=,\x00\x7f\x80\xff:@[`{.":
        text[at] = foreign
        if at == 119 and foreign == 61:
            continue
        with pytest.raises(ValueError, match="base64"):
            decoded(event_frame("chunk", b'{"bytes":"%b"}' % bytes(text)))


def test_a_frame_without_headers_is_no_event() -> None:
    assert decoded(frame(b"", b'{"bytes":"%b"}' % b64encode(STOP))) == b""


def test_base64_whose_letters_are_escaped() -> None:
    data = b'{"type":"ping","t":"???"}'
    text = b64encode(data).replace(b"/", b"\\/").replace(b"e", b"\\u0065")
    assert decoded(event_frame("chunk", b'{"bytes":"%b"}' % text)) == event(data)


@pytest.mark.parametrize("data", [b'{"a":1,"type":"x"}', b' {\n "type": "x" }', b'{"type" :"x"}'])
def test_the_type_is_found_wherever_it_stands(data: bytes) -> None:
    name, _, rest = decoded(chunk_frame(data)).partition(b"\n")
    assert name == b"event: x"
    assert rest == b"data: %b\n\n" % data.replace(b"\n", b" ")


def test_line_ends_between_tokens_do_not_end_the_data() -> None:
    data = b'{"type":"content_block_delta",\r\n"index":0}\n'
    assert decoded(chunk_frame(data)).endswith(b'_delta",  "index":0} \n\n')


# ---- metrics

COUNTS = b'{"inputTokenCount":1,"cacheReadInputTokenCount":2}'


@pytest.mark.parametrize(
    ("data", "left"),
    [
        (b'{"type":"message_stop","%b":%b}', b'{"type":"message_stop"}'),
        (b'{"type":"message_stop" , "%b" : %b }', b'{"type":"message_stop" }'),
        (b'{"%b":%b,"type":"message_stop"}', b'{"type":"message_stop"}'),
        (b'{"%b": %b , "type":"message_stop"}', b'{ "type":"message_stop"}'),
        (b'{"type":"message_stop","%b":%b,"a":1.50}', b'{"type":"message_stop","a":1.50}'),
        (b'{"type":"message_delta","%b":%b}', b'{"type":"message_delta"}'),
    ],
)
def test_metrics_are_taken_out_and_no_other_byte(data: bytes, left: bytes) -> None:
    decoder = EventStreamDecoder()
    whole = data % (b"amazon-bedrock-invocationMetrics", COUNTS)
    assert decoded(chunk_frame(whole), decoder=decoder).partition(b"data: ")[2] == left + b"\n\n"
    assert decoder.metrics == COUNTS


@pytest.mark.parametrize(
    ("data", "left"),
    [
        (b'{"type":"x"%b,"a":1}', b'{"type":"x","a":1}'),
        (b'{"type":"x"%b}', b'{"type":"x"}'),
        (b'{"":0%b,"type":"x"}', b'{"":0,"type":"x"}'),
    ],
)
def test_metrics_that_are_there_many_times_cost_no_more_than_their_bytes(
    data: bytes, left: bytes
) -> None:
    many = b',"amazon-bedrock-invocationMetrics":1' * 200_000
    begin = time.perf_counter()
    assert decoded(chunk_frame(data % many)).partition(b"data: ")[2] == left + b"\n\n"
    first = b'{"amazon-bedrock-invocationMetrics":1' + many + b',"type":"x"}'
    assert decoded(chunk_frame(first)).partition(b"data: ")[2] == b'{"type":"x"}\n\n'
    assert time.perf_counter() - begin < 10.0  # it was minutes, and a stack too small


def test_metrics_inside_of_content_are_content() -> None:
    data = b'{"type":"message_delta","delta":{"t":"\\"amazon-bedrock-invocationMetrics\\":{}"}}'
    decoder = EventStreamDecoder()
    assert decoded(chunk_frame(data), decoder=decoder) == event(data)
    assert decoder.metrics is None


# ---- errors


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("throttlingException", "rate_limit_error", None),
        ("ThrottlingException", "rate_limit_error", None),
        ("validationException", "invalid_request_error", None),
        ("internalServerException", "api_error", None),
        ("serviceUnavailableException", "overloaded_error", None),
        ("modelTimeoutException", "timeout_error", None),
        ("serviceQuotaExceededException", "rate_limit_error", "serviceQuotaExceededException"),
        ("com.amazonaws#ModelNotReadyException:http://a/", "overloaded_error", "modelNotReady"),
        ("modelStreamErrorException", "api_error", "modelStreamErrorException"),
        ("neverSeenException", "api_error", "neverSeenException"),
        ("", "api_error", None),
        ('evil"name', "api_error", None),
    ],
)
def test_an_exception_has_anthropics_type_and_a_name_where_that_says_less(
    name: str, kind: str, code: str | None
) -> None:
    error = error_of(decoded(exception_frame(name, b'{"message":"why"}')))
    assert (error["type"], error["message"]) == (kind, "why")
    details = error.get("details")
    assert details is None if code is None else isinstance(details, dict)
    if code is not None and isinstance(details, dict):
        assert details["error_code"].startswith(code)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (b"429", "rate_limit_error"),
        (b"529", "overloaded_error"),
        (b"413", "request_too_large"),
        (b"418", "invalid_request_error"),
        (b"599", "api_error"),
        (b'"429"', "api_error"),
        (b"-1", "api_error"),
        (b"99999999999999999999", "api_error"),
    ],
)
def test_a_model_error_has_the_type_of_the_models_own_status(status: bytes, kind: str) -> None:
    payload = b'{"originalStatusCode":%b,"originalMessage":"o","message":"m"}' % status
    assert error_of(decoded(exception_frame("modelStreamErrorException", payload)))["type"] == kind
    assert error_of(decoded(exception_frame("throttlingException", payload)))["message"] == "m"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b'{"message":"a \\"b\\" \\u00e9 \\n"}', 'a "b" é \n'),
        (b'{"Message":"big"}', "big"),
        (b'{"message":"","originalMessage":"o"}', "o"),
        (b'{"message":7}', "throttlingException"),
        (b"", "throttlingException"),
        (b"not JSON\n\n", "not JSON\n\n"),
        (b"\xff{", "\ufffd{"),
        (b'{"message":"raw\nline"}', "raw line"),
        (b'{"message":"%b"}' % (b"x" * 60_000), "x" * 60_000),
        (b'{"message":"%b"}' % (b"x" * 70_000), '{"message":"' + "x" * (4096 - 12)),
        (b"{%b}" % b",".join(b'"%d":1' % n for n in range(5_000)), "throttlingException"),
    ],
)
def test_the_text_of_an_exception_is_the_message(payload: bytes, message: str) -> None:
    stream = decoded(exception_frame("throttlingException", payload))
    assert stream.count(b"\n\n") == 1
    assert error_of(stream)["message"] == message


def test_frames_of_other_kinds_are_skipped() -> None:
    other = frame(header(":message-type", b"new") + header(":event-type", b"chunk"), b"{}")
    data = other + event_frame("initial-response", b"{}") + event_frame("new", b"no JSON")
    assert decoded(data + chunk_frame(STOP)) == event(STOP)


# ---- headers and limits

ALL_TYPES = b"".join(
    header(f"h{kind}", bytes(size), kind)
    for kind, size in enumerate((0, 0, 1, 2, 4, 8, 300, 300, 8, 16))
)
CHUNK = header(":event-type", b"chunk") + header(":message-type", b"event")
BODY = b'{"bytes":"%b"}' % b64encode(STOP)


def test_headers_of_all_types() -> None:
    assert decoded(frame(ALL_TYPES + CHUNK, BODY), 1) == event(STOP)


@pytest.mark.parametrize(
    "headers",
    [
        CHUNK + header(":event-type", b"chunk"),
        CHUNK + header("a", b"", 0) + header("a", b"x"),
        b"".join(header(f"n{k}", b"", 0) for k in range(40)) + header("n39", b"", 1),
        CHUNK + b"\x05abc",
        CHUNK + b"\x01a",
        CHUNK + b"\x01a\x0a",
        CHUNK + b"\x01a\xff",
        CHUNK + b"\x01a\x07\x00",
        CHUNK + b"\x01a\x07\x00\x09four",
        CHUNK + b"\x01a\x09" + bytes(15),
        CHUNK + b"\x01",
    ],
)
def test_headers_that_are_wrong_end_the_stream(headers: bytes) -> None:
    with pytest.raises(ValueError, match="header"):
        decoded(frame(headers, BODY))


def test_ten_thousand_headers_cost_no_more_than_their_bytes() -> None:
    many = b"".join(header(f"n{k}", b"", 0) for k in range(10_000))
    assert decoded(frame(many + CHUNK, BODY)) == event(STOP)


def prelude(total: int, headers: int) -> bytes:
    data = total.to_bytes(4, "big") + headers.to_bytes(4, "big")
    return data + zlib.crc32(data).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("total", "headers"),
    [
        (0, 0),
        (15, 0),
        (100, 85),
        (16, 0xFFFFFFFF),
        (200_000, 128 * 1024 + 1),
        (16 + PAYLOAD_MAX + 1, 0),
        (0xFFFFFFFF, 0),
    ],
)
def test_lengths_that_cannot_be_are_refused_with_the_prelude(total: int, headers: int) -> None:
    for step in (1, 12):
        with pytest.raises(ValueError, match="too long"):
            decoded(prelude(total, headers), step)


def test_the_largest_payload_passes() -> None:
    size = PAYLOAD_MAX - len(b'{"bytes":""}')
    size -= size % 4
    text = b"x" * (size // 4 * 3 - len(b'{"type":"content_block_delta","t":""}'))
    data = b'{"type":"content_block_delta","t":"%b"}' % text
    made = event_frame("chunk", b'{"bytes":"%b"}' % b64encode(data))
    assert decoded(made, 1 << 20) == event(data)


def test_the_rest_is_given_back_once_there_is_enough() -> None:
    data = chunk_frame(START) * 100
    decoder = EventStreamDecoder()
    piece, rest = decoder.decode(data, 200)
    assert len(event(START)) <= len(piece) < 400
    assert piece + decoded(rest, decoder=decoder) == event(START) * 100
    assert decoder.decode(b"", MOST) == (b"", b"")


def test_every_flipped_bit_is_found() -> None:
    data = chunk_frame(STOP)
    for at in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(ValueError, match=r"check sum|too long|header"):
            decoded(bytes(flipped))
