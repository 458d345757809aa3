"""A door for browsers before a management API: the files of the page, sign-in, and calls passed on.

It stands for the relay's own door in tests of what the page does: it can be closed and opened
again, turn calls into errors, and count them.
"""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DIST = Path(__file__).parents[2] / "ccrelay" / "web" / "dist"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
CODE = "code-of-the-tests"
COOKIE = "ccrelay_tests=signed-in"
PAGE_KEY = "key-of-the-tests"
PIECE = 65_536


class Door:
    """Serves on a free port of 127.0.0.1, in threads.

    Args:
        upstream: HOST:PORT of the management API.
        token: that it asks for.
    """

    def __init__(self, upstream: str, token: str) -> None:
        self.upstream = upstream
        self.token = token
        self.read_only = False
        self.errors: dict[str, tuple[int, str]] = {}
        """gRPC status and message of methods that fail, by the end of their path."""
        self.calls: Counter[str] = Counter()
        self.is_cut = False
        self.only = ""
        """The end of the path of the one method that is answered; empty: all are."""
        self.open: set[http.client.HTTPConnection] = set()
        self._server = _Server(self)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def link(self) -> str:
        """Address that signs in."""
        return f"{self.url}#k={CODE}"

    def cut(self) -> None:
        """Cut all streams, and refuse calls until `mend`."""
        self.is_cut = True
        for upstream in list(self.open):
            with contextlib.suppress(OSError, AttributeError):
                upstream.sock.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Answer again."""
        self.is_cut = False

    def close(self) -> None:
        """Stop, and cut what is open."""
        self.cut()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, door: Door) -> None:
        self.door = door
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves is no failure."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/session":
            self._session(signed_in=COOKIE in self.headers.get("cookie", ""))
            return
        file = DIST / (path.lstrip("/") or "index.html")
        if not file.is_file() or DIST not in file.resolve().parents:
            self._send(404, b"", "text/plain")
            return
        self._send(200, file.read_bytes(), TYPES[file.suffix])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/session":
            self._session(signed_in=json.loads(body).get("code") == CODE, is_new=True)
            return
        door = self.server.door
        door.calls[self.path] += 1
        if door.is_cut:
            self.close_connection = True
            return
        is_signed_in = COOKIE in self.headers.get("cookie", "")
        if not is_signed_in or self.headers.get("x-ccrelay-page") != PAGE_KEY:
            self._grpc(16, "sign in")
            return
        while door.only and not door.is_cut and not self.path.endswith(door.only):
            time.sleep(0.05)
        for ending, (status, message) in door.errors.items():
            if self.path.endswith(ending):
                self._grpc(status, message)
                return
        self._pass_on(body)

    def _session(self, *, signed_in: bool, is_new: bool = False) -> None:
        if not signed_in:
            self._send(401, b"{}", "application/json")
            return
        cookie = f"{COOKIE}; HttpOnly; SameSite=Strict; Path=/" if is_new else ""
        told = json.dumps(
            {"read_only": self.server.door.read_only, "page_key": PAGE_KEY if is_new else ""}
        ).encode()
        self._send(200, told, "application/json", cookie)

    def _send(self, status: int, body: bytes, kind: str, cookie: str = "") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("content-security-policy", POLICY)
        self.send_header("cache-control", "no-cache")
        if cookie:
            self.send_header("set-cookie", cookie)
        self.end_headers()
        self.wfile.write(body)

    def _grpc(self, status: int, message: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/grpc-web+proto")
        self.send_header("grpc-status", str(status))
        self.send_header("grpc-message", message)
        self.send_header("content-length", "0")
        self.end_headers()

    def _pass_on(self, body: bytes) -> None:
        door = self.server.door
        upstream = http.client.HTTPConnection(door.upstream, timeout=600)
        door.open.add(upstream)
        try:
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower().startswith(("content-", "x-", "grpc-"))
                and name.lower() != "content-length"
            }
            headers["authorization"] = f"Bearer {door.token}"
            try:
                upstream.request("POST", self.path, body, headers)
                answer = upstream.getresponse()
            except OSError:
                self.close_connection = True  # nothing answers: neither does the door
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            while piece := answer.read1(PIECE):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")
        except (OSError, http.client.HTTPException):
            self.close_connection = True
        finally:
            door.open.discard(upstream)
            upstream.close()
