"""A provider for the tests of `ccrelay doctor`: answers as it is told, on a free port."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class FakeProvider:
    """What it answers, and what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b'{"type": "message", "input_tokens": 7}'
        self.date: str | None = None
        self.by_path: dict[str, int] = {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.url = ""


@contextmanager
def fake_provider() -> Iterator[FakeProvider]:
    """A provider that runs."""
    provider = FakeProvider()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            provider.asked.append((self.command, self.path, headers, body))
            self.send_response_only(provider.by_path.get(self.path, provider.status))
            if provider.date is not None:
                self.send_header("date", provider.date)
            self.send_header("content-length", str(len(provider.body)))
            self.send_header("connection", "close")
            self.end_headers()
            self.wfile.write(provider.body)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    provider.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
