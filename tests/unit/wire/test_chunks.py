"""What the relay adds to a stream, read back by the parser of responses."""

import pytest

from ccrelay._fast.http1 import ChunkReader, parse_response
from ccrelay.wire.chunks import LAST_CHUNK, chunk, early_head


@pytest.mark.parametrize("size", [1, 9, 10, 15, 16, 255, 65_536])
def test_a_chunk_holds_its_data_and_the_last_one_ends_the_body(size: int) -> None:
    data = bytes(n % 251 for n in range(size))
    reader = ChunkReader()
    assert b"".join(reader.feed(chunk(data) + chunk(b"\r\n") + LAST_CHUNK)) == data + b"\r\n"
    assert reader.done


def test_chunks_leave_the_body_open_for_more() -> None:
    reader = ChunkReader()
    reader.feed(chunk(b"one"))
    assert reader.between
    assert not reader.done


def test_the_early_head_is_a_chunked_event_stream_with_the_request_id() -> None:
    data = early_head("req_1")
    parsed = parse_response(data)
    assert parsed is not None
    head, end = parsed
    assert end == len(data)
    assert (head.status, head.chunked, head.content_length) == (200, True, -1)
    assert (head.get(b"content-type") or b"").startswith(b"text/event-stream")
    assert head.get(b"request-id") == b"req_1"


def test_a_non_ascii_request_id_is_escaped() -> None:
    assert parse_response(early_head("r\u00e9q")) is not None
