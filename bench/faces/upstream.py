"""A provider that answers everything with one sentence, and 12,456 tokens written to the cache."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CACHE_WRITE = 12_456
CACHE_READ = 3_200
TEXT = "Hello from the other side."
USAGE = {
    "input_tokens": 31,
    "output_tokens": 9,
    "cache_creation_input_tokens": CACHE_WRITE,
    "cache_read_input_tokens": CACHE_READ,
    "cache_creation": {"ephemeral_5m_input_tokens": CACHE_WRITE, "ephemeral_1h_input_tokens": 0},
}


def _message(model: str, content: list[dict[str, str]], stop: str | None) -> dict[str, object]:
    return {
        "id": "msg_bench1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": USAGE,
    }


def _events(model: str) -> Iterator[dict[str, object]]:
    yield {"type": "message_start", "message": _message(model, [], None)}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    delta = {"type": "text_delta", "text": TEXT}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": USAGE}
    yield {"type": "message_stop"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
        model = str(body.get("model", ""))
        if "count_tokens" in self.path:
            self._answer("application/json", json.dumps({"input_tokens": 15_687}))
        elif body.get("stream"):
            lines = (f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in _events(model))
            self._answer("text/event-stream", "".join(lines))
        else:
            content = [{"type": "text", "text": TEXT}]
            self._answer("application/json", json.dumps(_message(model, content, "end_turn")))

    def do_GET(self) -> None:
        self._answer("application/json", json.dumps({"data": [], "has_more": False}))

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def upstream() -> Iterator[str]:
    """Serve on a free port of loopback; the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
