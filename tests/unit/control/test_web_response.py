"""Reading responses. Whole ones and broken ones over sockets: tests/loopback/control."""

import pytest
from grpc import StatusCode
from hypothesis import given, strategies as st

from ccrelay.control.web_response import CODES, CallFailed, Reader, failure_of, messages

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc-web+proto\r\n"


def reader_of(data: bytes, size: int = 1 << 20) -> Reader:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return Reader(lambda limit: pieces.pop(0) if pieces else b"")


def test_codes_are_those_of_grpc() -> None:
    assert list(CODES) == [code.name for code in sorted(StatusCode, key=lambda c: c.value[0])]


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(1, 60), st.booleans())
def test_messages_come_whole_however_they_arrive(
    wanted: list[bytes], size: int, is_chunked: bool
) -> None:
    body = b"".join(b"\0" + len(m).to_bytes(4, "big") + m for m in wanted)
    trailers = b"grpc-status: 3\r\ngrpc-message: a%20b\r\n"
    body += b"\x80" + len(trailers).to_bytes(4, "big") + trailers
    if is_chunked:
        parts = [body[at : at + 7] for at in range(0, len(body), 7)]
        chunks = b"".join(b"%X\r\n%s\r\n" % (len(part), part) for part in parts)
        data = HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    else:
        data = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    reader = reader_of(data, size)
    assert list(messages(reader)) == wanted
    failed = failure_of(reader)
    assert failed is not None
    assert (failed.code, failed.message) == ("INVALID_ARGUMENT", "a b")


@given(st.binary(max_size=200))
def test_nothing_else_is_raised(data: bytes) -> None:
    for start in (b"", HEAD, HEAD + b"\r\n", HEAD + b"transfer-encoding: chunked\r\n\r\n"):
        reader = reader_of(start + data)
        try:
            list(messages(reader))
        except CallFailed:
            continue
        failure_of(reader)


def test_an_error_without_a_message_is_not_empty() -> None:
    assert str(CallFailed("ABORTED", "")) == "ABORTED"


@pytest.mark.parametrize(
    ("number", "code"), [("16", "UNAUTHENTICATED"), ("17", "UNKNOWN"), ("", "UNKNOWN")]
)
def test_status_numbers(number: str, code: str) -> None:
    reader = reader_of(b"")
    reader.headers = {"grpc-status": number}
    failed = failure_of(reader)
    assert failed is not None
    assert failed.code == code
