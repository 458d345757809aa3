"""Faults that give no answer, or another one than was asked for. See `ccrelay.demo.faults`."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from ccrelay.demo import content, wire
from ccrelay.demo.plan import (
    FOREVER_S,
    Cut,
    Document,
    Plan,
    Scene,
    Seconds,
    Stream,
    Wait,
    document_head,
    error_document,
    send,
    send_events,
)

Status: TypeAlias = Annotated[int, Meta(ge=300, le=599)]

MESSAGES: dict[int, str] = {
    400: "The demo was told to refuse this request.",
    401: "invalid x-api-key",
    402: "Your credit balance is too low to access the Anthropic API.",
    403: "Your API key does not have permission to use the specified resource.",
    404: "model: the demo was told not to know this model",
    408: "Request timed out.",
    409: "The request conflicts with another one.",
    413: "Request exceeds the maximum size",
    422: "The request is well-formed but cannot be processed.",
    429: "This request would exceed your account's rate limit. Please try again later.",
    500: "Internal server error",
    503: "Service temporarily unavailable",
    504: "Gateway timed out.",
    529: "Overloaded",
}
REDIRECTS = (301, 302, 303, 307, 308)
HTML = b"<html><head><title>Demo</title></head><body><h1>A page, not an answer</h1></body></html>\n"
HTML_TYPE = "text/html; charset=utf-8"


def reset_before_head(scene: Scene) -> Plan:
    """Reset the connection once the request is read."""
    yield Cut.RST


def close_before_head(scene: Scene) -> Plan:
    """Close the connection once the request is read."""
    yield Cut.FIN


def stall_head(scene: Scene, *, seconds: Seconds = FOREVER_S) -> Plan:
    """Stay silent for so long, then close without an answer."""
    yield Wait(seconds)
    yield Cut.FIN


def garbage(scene: Scene) -> Plan:
    """Send bytes that are not HTTP, then close."""
    yield b"SSH-2.0-demo\r\n\x00\x01\x02\x03 this is not HTTP\r\n\r\n"
    yield Cut.FIN


def early_response(scene: Scene, *, code: Status = 413) -> Plan:
    """Answer with an error before the request body is read, then close."""
    reply = error_document(scene, code, MESSAGES.get(code, wire.reason(code)))
    yield document_head(scene, reply, close=True) + reply.body
    yield Cut.FIN


def status(
    scene: Scene,
    *,
    code: Status = 529,
    retry_after: str | None = None,
    should_retry: bool | None = None,
    message: str | None = None,
    body: Literal["json", "html", "empty"] | None = None,
) -> Plan:
    """Answer with a status: in Anthropic's shape, 502 as HTML, a redirect to nowhere."""
    headers: list[tuple[str, str]] = []
    if retry_after is not None:
        headers.append(("retry-after", retry_after))
    if should_retry is not None:
        headers.append(("x-should-retry", str(should_retry).lower()))
    if code in REDIRECTS:
        headers.append(("location", "/demo/redirected"))
    kind = "empty" if code == 304 else body or ("html" if code == 502 else "json")
    if kind == "json":
        text = message or MESSAGES.get(code, wire.reason(code))
        reply = error_document(scene, code, text, *headers)
    else:
        reply = Document(code, HTML if kind == "html" else b"", HTML_TYPE, tuple(headers))
    yield from send(scene, reply)


def empty_200(scene: Scene) -> Plan:
    """Answer 200 with an empty body."""
    if isinstance(scene.reply(), Stream):
        yield from send_events(scene, [])
    else:
        yield from send(scene, Document(200, b""))


def html_200(scene: Scene) -> Plan:
    """Answer 200 with an HTML page, as a captive portal does."""
    yield from send(scene, Document(200, HTML, HTML_TYPE))


def json_200(scene: Scene, *, kind: Literal["message", "error"] = "message") -> Plan:
    """Answer a stream request with a JSON document (kind=message or error) and status 200."""
    reply = scene.reply()
    if kind == "error":
        body = error_document(scene, 529, MESSAGES[529]).body
    elif isinstance(reply, Stream):
        body = content.document(reply.message)
    else:
        body = reply.body
    yield from send(scene, Document(200, body))
