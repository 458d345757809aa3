"""Chunks and the early response head: what the relay itself writes into a stream.

Framing: RFC 9112 section 7.1.
"""

LAST_CHUNK = b"0\r\n\r\n"

_EARLY_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n"
    b"request-id: %b\r\n"
    b"\r\n"
)


def chunk(data: bytes) -> bytes:
    """`data` as one chunk of a chunked body; `data` must not be empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def early_head(request_id: str) -> bytes:
    """The head of an event stream, sent before the upstream responds."""
    return _EARLY_HEAD % request_id.encode("ascii", "replace")
