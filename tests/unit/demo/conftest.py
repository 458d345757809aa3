"""A scene from a few words, and a stage that performs a plan without a socket or a clock."""

import datetime
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import h11
import pytest

from ccrelay.demo.plan import Cut, Plan, ReadBody, Scene, Wait
from ccrelay.demo.wire import RequestHead

NOW = datetime.datetime(2026, 11, 22, 12, 0, 0, tzinfo=datetime.UTC)


@dataclass
class Performance:
    """What a plan did."""

    sent: bytes = b""
    waited_s: float = 0.0
    cut: Cut | None = None
    reads: list[ReadBody] = field(default_factory=list)
    sent_before_reading: bytes = b""

    @property
    def body_bytes(self) -> bytes:
        """What follows the first head, as it went on the wire."""
        return self.sent.partition(b"\r\n\r\n")[2]

    def response(self) -> tuple[h11.Response, bytes]:
        """The response as h11 reads it. Raises h11.RemoteProtocolError."""
        client = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 27)
        client.send(h11.Request(method="GET", target="/", headers=[("host", "demo")]))
        client.send(h11.EndOfMessage())
        client.receive_data(self.sent)
        if self.cut is Cut.FIN or b"connection: close" in self.sent:
            client.receive_data(b"")
        head, body = None, b""
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                raise h11.RemoteProtocolError("incomplete")
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
        assert head is not None
        return head, body

    def events(self) -> list[dict[str, Any]]:
        """The JSON of every named event of the stream."""
        found = []
        for block in self.response()[1].replace(b"\r\n", b"\n").split(b"\n\n"):
            fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if line)
            if b"event" in fields:
                found.append(json.loads(fields[b"data"]))
                assert found[-1]["type"] == fields[b"event"].decode()
        return found

    def document(self) -> Any:
        """The JSON body of the response."""
        return json.loads(self.response()[1])


def _ask(prompt: str = "hello", **members: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": "m", "max_tokens": 1000, "messages": messages, "stream": True} | members


def _scene(
    body: dict[str, Any] | bytes = b"",
    *,
    method: str = "POST",
    target: str = "/v1/messages?beta=true",
    headers: dict[str, str] | None = None,
    minor: int = 1,
    gap_s: float = 0.0,
) -> Scene:
    head = RequestHead(method, target, minor, list((headers or {}).items()))
    scene = Scene(head, serial="s1", now=NOW, gap_s=gap_s)
    scene.body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return scene


def _perform(plan: Plan, scene: Scene | None = None, body: bytes = b"") -> Performance:
    seen = Performance()
    for step in plan:
        assert seen.cut is None, "a plan went on after it had cut the connection"
        match step:
            case bytes():
                seen.sent += step
                if not seen.reads:
                    seen.sent_before_reading += step
            case Wait():
                seen.waited_s += step.seconds
            case ReadBody():
                seen.reads.append(step)
                if scene is not None:
                    scene.body = body
            case Cut():
                seen.cut = step
    return seen


@pytest.fixture
def ask() -> Callable[..., dict[str, Any]]:
    """Make a request body: ask("prompt", member=value)."""
    return _ask


@pytest.fixture
def scene() -> Callable[..., Scene]:
    """Make a scene: scene(body, method=..., target=...)."""
    return _scene


@pytest.fixture
def perform() -> Callable[..., Performance]:
    """Perform a plan: perform(plan) or perform(plan, scene, body) where the plan reads the body."""
    return _perform
