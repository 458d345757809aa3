"""One GET over a stream of prepared reads."""

import gzip
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from ccrelay.upstream.fetch import HEAD_BYTES_MAX, FetchFailed, ask

T = TypeVar("T")

FIELDS = [(b"host", b"api.example.com"), (b"x-api-key", b"test-key-1")]
HEAD = b"HTTP/1.1 200 OK\r\n"
PACKED = gzip.compress(b"hello", mtime=0)


def finish(coro: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never has to wait: no loop, no sockets."""
    try:
        coro.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coro.close()
    raise AssertionError("the coroutine waits")


class Script:
    """A stream that answers with the given reads, then ends."""

    def __init__(self, *reads: bytes) -> None:
        self.reads = list(reads)
        self.sent = b""

    async def receive(self) -> bytes:
        return self.reads.pop(0) if self.reads else b""

    async def send(self, data: bytes) -> None:
        self.sent += data


def got(*reads: bytes, bytes_max: int = 100) -> bytes:
    return finish(ask(Script(*reads), b"/v1/models", FIELDS, bytes_max))


def test_the_request_has_exactly_the_given_fields() -> None:
    script = Script(HEAD + b"content-length: 0\r\n\r\n")
    finish(ask(script, b"/v1/models?limit=1", FIELDS, 10))
    lines = script.sent.lower().split(b"\r\n")
    assert lines[0] == b"get /v1/models?limit=1 http/1.1"
    assert lines[1:] == [b"host: api.example.com", b"x-api-key: test-key-1", b"", b""]


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"content-length: 5\r\n\r\nhello",
        HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        HEAD + b"connection: close\r\n\r\nhello",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + HEAD + b"content-length: 5\r\n\r\nhello",
        HEAD + b"content-encoding: Identity\r\ncontent-length: 5\r\n\r\nhello",
        HEAD + b"content-encoding: gzip\r\nconnection: close\r\n\r\n" + PACKED,
    ],
)
def test_any_framing_gives_the_body_however_it_is_split(answer: bytes) -> None:
    assert got(answer) == b"hello"
    assert got(*(answer[k : k + 1] for k in range(len(answer)))) == b"hello"


def test_the_body_size_is_bounded() -> None:
    answer = HEAD + b"content-length: 5\r\n\r\nhello"
    assert got(answer, bytes_max=5) == b"hello"
    bomb = gzip.compress(bytes(1 << 20))
    packed = HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb) + bomb
    for too_long in (answer, packed):
        with pytest.raises(FetchFailed, match="longer than 4 bytes"):
            got(too_long, bytes_max=4)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", "status 204"),
        (b"HTTP/1.1 301 Moved\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n", "status 301"),
        (b"HTTP/1.1 401 Denied\r\ncontent-length: 10\r\n\r\ntest-key-1", "status 401"),
        (HEAD + b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello", "not in the coding"),
        (HEAD + b"content-encoding: x-other\r\ncontent-length: 5\r\n\r\nhello", "cannot be undone"),
        (HEAD + b"content-length: 6\r\n\r\nhello", "incomplete"),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "incomplete"),
        (b"", "incomplete"),
        (b"test-key-1\r\n\r\n", "not valid HTTP"),
    ],
)
def test_failures_give_a_reason_and_quote_nothing(answer: bytes, reason: str) -> None:
    with pytest.raises(FetchFailed, match=reason) as failed:
        got(answer)
    assert "test-key-1" not in str(failed.value)


def test_an_unterminated_head_is_bounded() -> None:
    script = Script(HEAD, *[b"a: " + b"x" * 1000 + b"\r\n"] * 1000)
    with pytest.raises(FetchFailed, match="not valid HTTP"):
        finish(ask(script, b"/", FIELDS, 10))
    assert len(script.reads) > 1000 - 2 * HEAD_BYTES_MAX / 1000
