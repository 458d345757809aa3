"""The frame writer, judged by botocore and by vectors of the reference."""

import base64
import json

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer

from ccrelay.demo import event_stream

PING = bytes.fromhex(
    "000000860000004bba8a02430b3a6576656e742d747970650700056368756e6b0d3a636f6e74656e742d7479706507"
    "00106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b226279746573"
    "223a2265794a306558426c496a6f6963476c755a794a39222c2270223a2261626364227ddc9d8443"
)
THROTTLED = bytes.fromhex(
    "000000b0000000614f5086b30f3a657863657074696f6e2d747970650700137468726f74746c696e6745786365707469"
    "6f6e0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970"
    "65070009657863657074696f6e7b226d657373616765223a22546f6f206d616e7920746f6b656e732c20706c65617365"
    "2077616974206265666f726520747279696e6720616761696e2e227df70ae57f"
)


def decoded(data: bytes):
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return list(buffer)


def test_the_bytes_are_those_of_the_reference():
    headers = {
        ":event-type": "chunk",
        ":content-type": "application/json",
        ":message-type": "event",
    }
    payload = b'{"bytes":"eyJ0eXBlIjoicGluZyJ9","p":"abcd"}'
    assert event_stream.message(headers, payload) == PING
    text = "Too many tokens, please wait before trying again."
    assert event_stream.exception("throttlingException", text) == THROTTLED


def test_botocore_reads_every_kind():
    whole = b"".join(
        (
            event_stream.chunk(b'{"type":"ping"}'),
            event_stream.exception("modelStreamErrorException", "no", originalStatusCode=529),
            event_stream.error("InternalFailure", "why"),
            event_stream.unknown("later"),
            event_stream.message({}),
        )
    )
    chunk, exception, error, unknown, empty = decoded(whole)
    payload = json.loads(chunk.payload)
    assert base64.b64decode(payload["bytes"]) == b'{"type":"ping"}'
    assert payload["p"]
    assert exception.headers[":exception-type"] == "modelStreamErrorException"
    assert json.loads(exception.payload) == {"message": "no", "originalStatusCode": 529}
    assert (error.headers[":error-code"], error.payload) == ("InternalFailure", b"")
    assert unknown.headers[":event-type"] == "later"
    assert (empty.headers, empty.payload) == ({}, b"")


def test_padding_differs_between_events():
    sizes = {len(event_stream.chunk(b'{"n":%d}' % n)) for n in range(10, 60)}
    assert len(sizes) > 10


def test_a_corrupted_message_fails_its_checksum():
    with pytest.raises(ChecksumMismatch):
        decoded(event_stream.corrupted(event_stream.chunk(b"{}")))
