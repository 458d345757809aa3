"""Fixtures to create requests and to run plans without sockets and clocks."""

import datetime
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import h11
import pytest

from ccrelay.demo.cloud import Cloud, DialectName
from ccrelay.demo.cloud_context import CloudContext
from ccrelay.demo.http1 import RequestHead
from ccrelay.demo.plan import Close, Plan, ReadBody, RequestContext, Wait

NOW = datetime.datetime(2026, 11, 22, 12, 0, 0, tzinfo=datetime.UTC)


@dataclass
class PlanResult:
    """What a plan did."""

    sent: bytes = b""
    waited_s: float = 0.0
    close: Close | None = None
    reads: list[ReadBody] = field(default_factory=list)
    sent_before_reading: bytes = b""

    @property
    def body_bytes(self) -> bytes:
        """The bytes after the first head."""
        return self.sent.partition(b"\r\n\r\n")[2]

    def response(self) -> tuple[h11.Response, bytes]:
        """The response, parsed by h11. Raises h11.RemoteProtocolError."""
        client = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 27)
        client.send(h11.Request(method="GET", target="/", headers=[("host", "demo")]))
        client.send(h11.EndOfMessage())
        client.receive_data(self.sent)
        if self.close is Close.FIN or b"connection: close" in self.sent:
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


def _payload(prompt: str = "hello", **members: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": "m", "max_tokens": 1000, "messages": messages, "stream": True} | members


def _context(
    body: dict[str, Any] | bytes = b"",
    *,
    method: str = "POST",
    target: str = "/v1/messages?beta=true",
    headers: dict[str, str] | None = None,
    minor: int = 1,
    gap_s: float = 0.0,
) -> RequestContext:
    head = RequestHead(method, target, minor, list((headers or {}).items()))
    context = RequestContext(head, serial="s1", now=NOW, gap_s=gap_s)
    context.body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return context


def _run(plan: Plan, context: RequestContext | None = None, body: bytes = b"") -> PlanResult:
    result = PlanResult()
    for step in plan:
        assert result.close is None, "a plan continued after closing the connection"
        match step:
            case bytes():
                result.sent += step
                if not result.reads:
                    result.sent_before_reading += step
            case Wait():
                result.waited_s += step.seconds
            case ReadBody():
                result.reads.append(step)
                if context is not None:
                    context.body = body
            case Close():
                result.close = step
    return result


@pytest.fixture
def payload() -> Callable[..., dict[str, Any]]:
    """Create a request body: payload("prompt", member=value)."""
    return _payload


@pytest.fixture
def context() -> Callable[..., RequestContext]:
    """Create a request context: context(body, method=..., target=...)."""
    return _context


@pytest.fixture
def run() -> Callable[..., PlanResult]:
    """Run a plan: run(plan), or run(plan, context, body) when the plan reads the body."""
    return _run


def _cloud_context(
    dialect: DialectName,
    body: dict[str, Any] | bytes = b"",
    *,
    target: str,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    **members: Any,
) -> CloudContext:
    given = {"authorization": "Bearer test-token-1", "anthropic-version": "2023-06-01"}
    if dialect == "claude-aws":
        given["anthropic-workspace-id"] = "wrkspc_test1"
    head = RequestHead(method, target, 1, list((given | (headers or {})).items()))
    cloud = Cloud(dialect=dialect, **members)
    context = CloudContext(head, serial="s1", now=NOW, gap_s=0.0, cloud=cloud)
    context.body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return context


@pytest.fixture
def cloud_context() -> Callable[..., CloudContext]:
    """Create a request to a cloud: cloud_context(dialect, body, target=..., region=...).

    It has an accepted token, and the header fields that every surface needs.
    """
    return _cloud_context
