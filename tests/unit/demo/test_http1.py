import pytest

from ccrelay.demo import http1
from ccrelay.demo.http1 import ProtocolError, RequestHead, RequestParser

POST = b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: x\r\n"


def read_all(data: bytes, step: int) -> list[tuple[RequestHead, bytes]]:
    reader, found, head = RequestParser(), [], None
    for at in range(0, len(data), step):
        reader.feed(data[at : at + step])
        while True:
            if head is None:
                head = reader.next_head()
                if head is None:
                    break
            body = reader.next_body()
            if body is None:
                break
            found.append((head, body))
            head = None
    assert head is None
    assert len(reader) == 0
    return found


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_pipelined_requests_parse_the_same_for_any_split(step):
    data = (
        b"\r\nGET / HTTP/1.1\r\n\r\n"
        + POST
        + b"Content-Length: 5\r\n\r\nhello"
        + POST
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + b"3;x=y\r\nabc\r\n0A \r\n0123456789\r\n0\r\nT: r\r\n\r\n"
        + b"HEAD /api/hello HTTP/1.0\r\n\r\n"
    )
    found = read_all(data, step)
    assert [(head.method, body) for head, body in found] == [
        ("GET", b""),
        ("POST", b"hello"),
        ("POST", b"abc0123456789"),
        ("HEAD", b""),
    ]
    assert found[1][0].target == "/v1/messages?beta=true"
    assert found[1][0].path == "/v1/messages"


def test_header_names_keep_their_case_and_match_case_insensitively():
    reader = RequestParser()
    reader.feed(b"GET / HTTP/1.1\r\nX-Demo: a\r\nx-demo:  b c \r\n\r\n")
    head = reader.next_head()
    assert head.headers == [("X-Demo", "a"), ("x-demo", "b c")]
    assert head.get("x-demo") == "a"
    assert head.all("x-demo") == ["a", "b c"]
    assert head.get("other") is None


@pytest.mark.parametrize(
    ("line", "minor", "stays"),
    [
        ("keep-alive", 1, True),
        ("Close", 1, False),
        ("x, close", 1, False),
        ("keep-alive", 0, False),
    ],
)
def test_keep_alive_unless_close_or_http_1_0(line, minor, stays):
    assert RequestHead("GET", "/", minor, [("Connection", line)]).keep_alive is stays


def test_expect_100_continue_needs_http_1_1():
    headers = [("Expect", "100-Continue")]
    assert RequestHead("POST", "/", 1, headers).expects_continue
    assert not RequestHead("POST", "/", 0, headers).expects_continue
    assert not RequestHead("POST", "/", 1, []).expects_continue


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nA: b\r\n\r\n", 400),
        (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400),
        (POST + b"Content-Length: +1\r\n\r\n", 400),
        (POST + b"Content-Length: 1, 1\r\n\r\n", 400),
        (POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (POST + b"Content-Length: 999999999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * http1.HEAD_BYTES_MAX, 431),
    ],
)
def test_invalid_and_ambiguous_heads_are_rejected(data, status):
    reader = RequestParser()
    reader.feed(data)
    with pytest.raises(ProtocolError) as caught:
        reader.next_head()
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"xyz\r\n", 400),
        (b"-1\r\n", 400),
        (b"2\r\nabc\r\n0\r\n\r\n", 400),
        (b"fffffffff\r\n", 413),
        (b"1;" + b"x" * http1.LINE_BYTES_MAX, 400),
    ],
)
def test_invalid_chunk_framing_is_rejected(body, status):
    reader = RequestParser()
    reader.feed(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert reader.next_head() is not None
    with pytest.raises(ProtocolError) as caught:
        reader.next_body()
    assert caught.value.status == status


def test_response_head():
    head = http1.response_head(529, [("A", "b"), ("c", "d")])
    assert head == b"HTTP/1.1 529 Overloaded\r\nA: b\r\nc: d\r\n\r\n"
    assert http1.response_head(299, [], version="1.0") == b"HTTP/1.0 299 Unknown\r\n\r\n"


def test_an_empty_chunk_is_omitted():
    assert http1.chunk(b"") == b""
    assert http1.chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
