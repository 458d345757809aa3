"""`python -m bench.resilience.hostile_client KIND PORT`: a client that does no good.

A process of its own, until it is ended: what it costs the relay is measured, not what it costs the
bench. Says `ready` once it has begun.
"""

import os
import selectors
import socket
import sys
import time

from bench.resilience.client import TOKEN

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
NO_TOKEN = b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
BODY = b'{"model":"claude-bench-1","messages":['
HEAD = (
    b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: %b\r\nContent-Length: %d\r\n\r\n"
)
PIPELINED = 500  # requests of one write
DRIP_S = 0.02


def main() -> None:
    """Do it."""
    kind, port = sys.argv[1], int(sys.argv[2])
    os.nice(10)  # the bench itself must not starve
    KINDS[kind](port)


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port))


def _pipeline(port: int, wire: bytes) -> None:
    """Eight connections send as many requests as are answered."""
    selector = selectors.DefaultSelector()
    both = selectors.EVENT_READ | selectors.EVENT_WRITE
    burst = wire * PIPELINED

    def open_one() -> None:
        sock = _connect(port)
        sock.setblocking(False)
        selector.register(sock, both, [b""])

    for _ in range(8):
        open_one()
    print("ready", flush=True)
    while True:
        for key, events in selector.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            try:
                if events & selectors.EVENT_READ and not sock.recv(1 << 18):
                    raise ConnectionError
                if events & selectors.EVENT_WRITE:
                    left = key.data[0] or burst
                    key.data[0] = left[sock.send(left) :]
            except BlockingIOError:
                pass
            except OSError:
                selector.unregister(sock)
                sock.close()
                open_one()


def pipeline_health(port: int) -> None:
    """Pipelines `GET /health` without a token."""
    _pipeline(port, HEALTH)


def pipeline_refused(port: int) -> None:
    """Pipelines requests that are refused for want of a token."""
    _pipeline(port, NO_TOKEN)


def drip(port: int) -> None:
    """Sends 64 bodies a byte at a time."""
    socks: list[socket.socket] = []
    while len(socks) < 64:
        socks.append(_connect(port))
        socks[-1].sendall(HEAD % (TOKEN.encode(), 1 << 20) + BODY)
    print("ready", flush=True)
    while True:
        for place, sock in enumerate(socks):
            try:
                sock.sendall(b" ")
            except OSError:
                socks[place] = _connect(port)
                socks[place].sendall(HEAD % (TOKEN.encode(), 1 << 20) + BODY)
        time.sleep(DRIP_S)


def announce(port: int) -> None:
    """Announces 64 bodies of 32 MB, and sends the beginning of each."""
    socks = []
    for _ in range(64):
        socks.append(_connect(port))
        socks[-1].sendall(HEAD % (TOKEN.encode(), 32 << 20) + BODY)
    print("ready", flush=True)
    while True:
        time.sleep(1)


KINDS = {
    "pipelines /health": pipeline_health,
    "pipelines refused": pipeline_refused,
    "drips": drip,
    "announces": announce,
}

if __name__ == "__main__":
    main()
