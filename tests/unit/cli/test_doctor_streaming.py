"""Whether an answer streams, told from what a real connection receives and when."""

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ccrelay.cli.doctor_streaming import check_streaming

EVENTS = [
    b"event: message_start\ndata: {}\n\n",
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]


@contextmanager
def relay(
    pieces: list[bytes], gap_s: float, status: int = 200
) -> Iterator[tuple[str, list[object]]]:
    asked: list[object] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            asked.append(self.headers["x-api-key"])
            self.send_response(status)
            self.end_headers()
            for number, piece in enumerate(pieces):
                if number:
                    time.sleep(gap_s)
                self.wfile.write(piece)
                self.wfile.flush()

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("pieces", "gap_s", "status", "verdict", "text"),
    [
        (EVENTS, 0.15, 200, "ok", "first event after"),
        ([b"".join(EVENTS)], 0, 200, "warn", "came at once"),
        (EVENTS[:1], 0, 200, "FAIL", "broke off"),
        ([], 0, 200, "FAIL", "broke off"),
        ([b"{}"], 0, 401, "FAIL", "answered with 401"),
    ],
)
def test_what_comes_is_judged_by_when(
    pieces: list[bytes], gap_s: float, status: int, verdict: str, text: str
) -> None:
    with relay(pieces, gap_s, status) as (address, asked):
        [finding] = check_streaming(address, "m-1", "test-token")
    assert finding.verdict == verdict
    assert text in finding.text
    assert asked[0]["model"] == "m-1"  # type: ignore[index]
    assert asked[0]["stream"] is True  # type: ignore[index]
    assert asked[1] == "test-token"


def test_nobody_there() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        [finding] = check_streaming(f"127.0.0.1:{sock.getsockname()[1]}", "m", "t")
    assert finding.verdict == "FAIL"
