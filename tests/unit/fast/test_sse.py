"""The tap that watches an SSE stream go by."""

import sys
import tracemalloc

import pytest

from ccrelay._fast.sse import SseTap, Verdict

START = b'event: message_start\ndata: {"type":"message_start","message":{"usage":{}}}\n\n'
TEXT = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0}\n\n'
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
DELTA = b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":7}}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
ERROR_DATA = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
ERROR = b"event: error\ndata: " + ERROR_DATA + b"\n\n"


def tapped(*pieces: bytes, event_max: int = 262144) -> SseTap:
    tap = SseTap(event_max)
    for piece in pieces:
        tap.feed_bytes(piece)
    return tap


def test_a_complete_stream_is_counted_and_its_usage_kept() -> None:
    tap = tapped(START, PING, TEXT, TEXT, DELTA, STOP)
    assert (tap.events, tap.pings, tap.stopped) == (5, 1, True)
    assert tap.verdict == Verdict.CONTENT
    assert tap.start() == b'{"type":"message_start","message":{"usage":{}}}'
    assert tap.delta() == b'{"type":"message_delta","usage":{"output_tokens":7}}'
    assert tap.error() is None


def test_a_new_tap_is_at_a_boundary() -> None:
    tap = SseTap()
    assert (tap.verdict, tap.at_boundary, tap.events, tap.pings) == (Verdict.WAITING, True, 0, 0)
    assert (tap.start(), tap.delta(), tap.error(), tap.stopped) == (None, None, None, False)


def test_pings_and_comments_leave_the_verdict_open() -> None:
    tap = tapped(b": hello\n\n", PING, PING)
    assert (tap.verdict, tap.pings, tap.events) == (Verdict.WAITING, 2, 0)


def test_message_start_leaves_the_verdict_open() -> None:
    tap = tapped(START[:-1])
    assert (tap.verdict, tap.start()) == (Verdict.WAITING, None)
    tap.feed_bytes(START[-1:])
    assert tap.verdict == Verdict.STARTED


@pytest.mark.parametrize(
    "name", [b"content_block_start", b"message_delta", b"message_stop", b"content_new"]
)
def test_content_is_recognised_at_the_end_of_its_event_line(name: bytes) -> None:
    tap = tapped(START, b"event: " + name)
    assert tap.verdict == Verdict.STARTED
    tap.feed_bytes(b"\n")
    assert tap.verdict == Verdict.CONTENT
    assert tap.events == 1


@pytest.mark.parametrize("before", [b"", PING, START])
def test_a_complete_error_before_content_fails_the_stream(before: bytes) -> None:
    tap = tapped(before, ERROR[:-1])
    assert tap.verdict != Verdict.FAILED
    assert tap.error() is None
    tap.feed_bytes(b"\n")
    assert tap.verdict == Verdict.FAILED
    assert tap.error() == ERROR_DATA
    tap.feed_bytes(TEXT)
    assert tap.verdict == Verdict.FAILED


def test_an_error_after_content_keeps_the_verdict() -> None:
    tap = tapped(START, TEXT, ERROR, b"event: error\ndata: second\n\n")
    assert tap.verdict == Verdict.CONTENT
    assert tap.error() == ERROR_DATA


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_every_line_ending_and_split_gives_the_same_result(line_end: bytes) -> None:
    stream = (START + PING + TEXT + DELTA + STOP).replace(b"\n", line_end)
    for cut in range(len(stream) + 1):
        tap = tapped(stream[:cut], stream[cut:])
        assert (tap.events, tap.pings, tap.stopped, tap.at_boundary) == (4, 1, True, True)
        assert tap.delta() == b'{"type":"message_delta","usage":{"output_tokens":7}}'


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"type":"ping"}', (0, 1, Verdict.WAITING)),
        (b'{ "type" : "message_start" }', (1, 0, Verdict.STARTED)),
        (b'{"type":"content_block_stop","index":0}', (1, 0, Verdict.CONTENT)),
        (b'{"request_id":"x","type":"error"}', (1, 0, Verdict.FAILED)),
        (b'{"error":{"message":"rate"}}', (1, 0, Verdict.FAILED)),
        (b'{"error":null}', (1, 0, Verdict.WAITING)),
        (b'{"delta":{"type":"error"}}', (1, 0, Verdict.CONTENT)),
        (b'{"a":"{\\"type\\":\\"error\\"","type":"ping"}', (0, 1, Verdict.WAITING)),
        (b'{"type":"new","x":1}', (1, 0, Verdict.WAITING)),
        (b"[DONE]", (1, 0, Verdict.WAITING)),
        (b"some text", (1, 0, Verdict.WAITING)),
        (b"", (1, 0, Verdict.WAITING)),
        (b'{"code":1302,"msg":"busy","success":false}', (1, 0, Verdict.FAILED)),
        (b'{"success":false,"data":1}', (1, 0, Verdict.FAILED)),
        (b'{"success":true,"type":"new"}', (1, 0, Verdict.WAITING)),
        (b'{"error":"overloaded"}', (1, 0, Verdict.FAILED)),
        (b'{"message":"Too many requests"}', (1, 0, Verdict.FAILED)),
        (b'{"message":{"id":"m"},"type":"message_start"}', (1, 0, Verdict.STARTED)),
        (b'{"detail":"Not Found"}', (1, 0, Verdict.FAILED)),
        (b'{"id":"c","object":"chat.completion.chunk"}', (1, 0, Verdict.FAILED)),
        (b'{"type":"server_error","message":"boom"}', (1, 0, Verdict.FAILED)),
        (b'{"request_id":"' + b"r" * 80 + b'","error":{"message":"boom"}}', (1, 0, Verdict.FAILED)),
        (b"{}", (1, 0, Verdict.WAITING)),
        (b'{"error_code":110,"error_msg":"boom"}', (1, 0, Verdict.WAITING)),
        (b'{"candidates":[{"content":{}}]}', (1, 0, Verdict.WAITING)),
        (b'{"id":"' + b"x" * 150 + b'","type":"ping"}', (1, 0, Verdict.CONTENT)),
        (b'{"delta":{"text":"' + b"x" * 150 + b'"}}', (1, 0, Verdict.CONTENT)),
        (b'{"message":{"id":"' + b"x" * 150 + b'"}}', (1, 0, Verdict.STARTED)),
        (b'{"type":"message_stop"}', (1, 0, Verdict.WAITING)),
        (b'{"type":"response.output_text.delta","delta":"Hi"}', (1, 0, Verdict.WAITING)),
    ],
)
def test_an_unnamed_event_is_identified_by_its_data_type(
    data: bytes, expected: tuple[int, int, int]
) -> None:
    tap = tapped(b"data: " + data + b"\n\n")
    assert (tap.events, tap.pings, tap.verdict) == expected


def test_an_unnamed_event_is_kept_whole() -> None:
    data = b'{"type":"message_start","message":{"id":"msg_01","usage":{"input_tokens":1}}, "x":""}'
    for cut in range(len(data)):
        tap = tapped(b"data:" + data[:cut], data[cut:] + b"\n\n")
        assert tap.start() == data


def test_unnamed_content_is_recognised_after_128_bytes() -> None:
    data = b'{"type":"content_block_delta","delta":{"text":"'.ljust(128, b"x")
    tap = tapped(b"data: " + data[:127])
    assert tap.verdict == Verdict.WAITING
    tap.feed_bytes(data[127:])
    assert tap.verdict == Verdict.CONTENT


def test_data_of_several_lines_is_joined_by_line_feeds() -> None:
    tap = tapped(b"event:error\r\ndata: a\r\ndata:b\r\ndata\r\ndata:  c\r\n\r\n")
    assert tap.error() == b"a\nb\n\n c"


def test_a_block_without_data_is_not_an_event() -> None:
    tap = tapped(b"event: message_stop\n\nevent: ping\n\nid: 7\nretry: 10\n\n")
    assert (tap.events, tap.pings, tap.stopped) == (0, 0, False)
    assert tap.at_boundary


def test_other_fields_and_similar_names_are_ignored() -> None:
    tap = tapped(b"events: error\ndatum: x\nEvent: error\n event: error\n\n")
    assert (tap.events, tap.verdict) == (0, Verdict.WAITING)
    tap = tapped(b'event:  error\ndata: {"type":"new"}\n\n')
    assert (tap.events, tap.verdict, tap.error()) == (1, Verdict.WAITING, None)


def test_an_event_name_outside_of_the_protocol_leaves_the_kind_to_the_data() -> None:
    tap = tapped(b"event: message\n")
    assert tap.verdict == Verdict.WAITING
    tap.feed_bytes(b'data: {"error":{"message":"rate"}}\n\n')
    assert (tap.verdict, tap.error()) == (Verdict.FAILED, b'{"error":{"message":"rate"}}')


def test_the_last_event_line_before_data_wins() -> None:
    tap = tapped(b"event: ping\nevent: error\ndata: 1\n\n")
    assert (tap.pings, tap.error()) == (0, b"1")
    tap = tapped(b'event: error\nevent\ndata: {"type":"ping"}\n\n')
    assert (tap.pings, tap.error()) == (1, None)


def test_an_event_line_after_data_counts_while_the_type_is_unknown() -> None:
    assert tapped(b"data: x\nevent: error\n\n").error() == b"x"
    assert tapped(b"data: " + b"x" * 128 + b"\nevent: error\n\n").error() is None


def test_the_last_message_delta_with_usage_is_kept() -> None:
    bare = b'event: message_delta\ndata: {"n":1}\n\n'
    assert tapped(bare).delta() == b'{"n":1}'
    assert tapped(bare, bare.replace(b"1", b"2")).delta() == b'{"n":2}'
    assert tapped(bare, DELTA, bare).delta() == DELTA[27:-2]
    assert tapped(DELTA, DELTA.replace(b"7", b"8")).delta() == DELTA[27:-2].replace(b"7", b"8")


def test_the_first_message_start_is_kept() -> None:
    assert tapped(START, START.replace(b"usage", b"other")).start() == START[27:-2]


@pytest.mark.parametrize(
    ("stream", "at_boundary"),
    [
        (b"e", False),
        (b"event: ping", False),
        (b"event: ping\n", False),
        (b"event: ping\ndata: {}", False),
        (b"event: ping\ndata: {}\n", False),
        (PING, True),
        (PING + b"\n", True),
        (b"event: ping\ndata: {}\r", False),
        (b"event: ping\ndata: {}\r\n\r", True),
        (b":", False),
        (b": x", False),
        (b": x\n", True),
        (b": x\n\n", True),
        (b"event: ping\n: x\n", False),
        (b"id: 1\n", False),
        (b"id: 1\n\n", True),
    ],
)
def test_the_boundary_is_where_an_event_can_be_inserted(stream: bytes, at_boundary: bool) -> None:
    assert tapped(stream).at_boundary is at_boundary
    assert tapped(*(stream[n : n + 1] for n in range(len(stream)))).at_boundary is at_boundary


def test_data_is_truncated_at_the_limit() -> None:
    tap = tapped(b"event: error\ndata: 1234567\ndata: 8901\n\n", event_max=9)
    assert tap.error() == b"1234567\n8"
    assert tap.verdict == Verdict.FAILED


def test_a_huge_content_event_is_not_buffered() -> None:
    piece = b"x" * 65536
    tap = tapped(START, b"event: content_block_delta\ndata: ")
    tracemalloc.start()
    for _ in range(320):
        tap.feed_bytes(piece)
    tap.feed_bytes(b"\n\n")
    grown = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert tap.events == 2
    assert grown < 10_000


def test_a_huge_error_is_buffered_up_to_the_limit() -> None:
    tap = tapped(b"event: error\ndata: ", *([b"y" * 65536] * 320), b"\n\n", event_max=1000)
    assert tap.error() == b"y" * 1000


def test_streams_cut_inside_an_event_free_their_buffers() -> None:
    cut = b"event: error\ndata: " + b"x" * 200_000
    tracemalloc.start()
    taps = [tapped(cut) for _ in range(10)]
    held = tracemalloc.get_traced_memory()[0]
    del taps
    left = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert 2_000_000 <= held < 4_000_000
    assert left < 10_000


def test_an_idle_tap_is_small() -> None:
    assert sys.getsizeof(SseTap()) < 300


def test_a_limit_of_zero_is_rejected() -> None:
    with pytest.raises(ValueError, match="event_max"):
        SseTap(0)


def test_taps_share_no_state() -> None:
    one, two = SseTap(), SseTap()
    one.feed_bytes(ERROR)
    assert (two.error(), two.verdict, two.events) == (None, Verdict.WAITING, 0)
