"""One request by hand, over a real socket."""

import asyncio
import gzip
import socket
import threading
from collections.abc import Callable

import pytest

from ccrelay.errors import UpstreamFailed
from ccrelay.upstream.dial import Dialer
from ccrelay.upstream.origin import Origin
from ccrelay.upstream.request import Response, send_request


def asked(answer: bytes, bytes_max: int = 100) -> Response:
    """Send a request to a server that answers these bytes and closes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=_serve(listener, answer), daemon=True)
        thread.start()
        port = listener.getsockname()[1]

        async def go() -> Response:
            loop = asyncio.get_running_loop()
            dialer = Dialer(Origin.parse(f"http://127.0.0.1:{port}"), loop, connect_s=5.0)
            fields = [(b"host", b"h"), (b"content-length", b"2")]
            return await send_request(
                dialer, loop, b"POST", b"/x", fields, b"hi", bytes_max=bytes_max
            )

        try:
            return asyncio.run(asyncio.wait_for(go(), 10))
        finally:
            thread.join(5)


def _serve(listener: socket.socket, answer: bytes) -> Callable[[], None]:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(answer)

    return serve


def test_status_fields_and_body_come_back() -> None:
    found = asked(b"HTTP/1.1 503 No\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello")
    assert (found.status, found.body) == (503, b"hello")
    assert (b"date", b"now") in [(name.lower(), value) for name, value in found.fields]


def test_a_redirect_is_an_answer() -> None:
    found = asked(b"HTTP/1.1 302 F\r\nLocation: http://e.example\r\nContent-Length: 0\r\n\r\n")
    assert found.status == 302


@pytest.mark.parametrize("bytes_max", [0, 3])
def test_no_more_of_the_body_than_wanted(bytes_max: int) -> None:
    found = asked(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", bytes_max)
    assert found.body == b"hello"[:bytes_max]


def test_a_body_that_breaks_off_is_what_came() -> None:
    found = asked(b"HTTP/1.1 400 B\r\nContent-Length: 50\r\n\r\nhello")
    assert (found.status, found.body) == (400, b"hello")


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 2"])
def test_what_is_no_http_is_a_failure_that_quotes_nothing(answer: bytes) -> None:
    with pytest.raises(UpstreamFailed) as failed:
        asked(answer)
    assert "SSH" not in str(failed.value)


@pytest.mark.parametrize(
    ("coding", "sent", "body"),
    [
        (b"gzip", gzip.compress(b"hello", mtime=0), b"hello"),
        (b"gzip", b"not", b""),
        (b"odd", b"raw", b"raw"),
    ],
)
def test_a_content_coding_is_undone_as_far_as_it_is_known(
    coding: bytes, sent: bytes, body: bytes
) -> None:
    """Some send one that was not accepted."""
    head = b"HTTP/1.1 401 No\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n"
    assert asked(head % (coding, len(sent)) + sent).body == body


def test_chunks_are_put_together() -> None:
    head = b"HTTP/1.1 401 No\r\ntransfer-encoding: chunked\r\n\r\n"
    assert asked(head + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n").body == b"abc"
