"""Faults without a response, with an error, or with a wrong body. See `ccrelay.demo.faults`."""

from gzip import compress
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, structs

from ccrelay.demo import content, http1
from ccrelay.demo.plan import (
    FOREVER_S,
    Close,
    Document,
    Plan,
    RequestContext,
    Seconds,
    Stream,
    Wait,
    document_head,
    error_document,
    send,
    send_stream,
)

Status: TypeAlias = Annotated[int, Meta(ge=300, le=599)]

MESSAGES: dict[int, str] = {
    400: "Invalid request (injected fault).",
    401: "invalid x-api-key",
    402: "Your credit balance is too low to access the Anthropic API.",
    403: "Your API key does not have permission to use the specified resource.",
    404: "model: not found (injected fault)",
    408: "Request timed out.",
    409: "The request conflicts with another request.",
    413: "Request exceeds the maximum size",
    422: "The request is well-formed but cannot be processed.",
    429: "This request would exceed your account's rate limit. Please try again later.",
    500: "Internal server error",
    503: "Service temporarily unavailable",
    504: "Gateway timed out.",
    529: "Overloaded",
}
REDIRECTS = (301, 302, 303, 307, 308)
HTML = b"<html><head><title>Demo</title></head><body><h1>An HTML page</h1></body></html>\n"
HTML_TYPE = "text/html; charset=utf-8"


def reset_before_head(context: RequestContext) -> Plan:
    """Reset the connection after the request was read."""
    yield Close.RST


def close_before_head(context: RequestContext) -> Plan:
    """Close the connection after the request was read."""
    yield Close.FIN


def stall_head(context: RequestContext, *, seconds: Seconds = FOREVER_S) -> Plan:
    """Send nothing for `seconds`, then close."""
    yield Wait(seconds)
    yield Close.FIN


def garbage(context: RequestContext) -> Plan:
    """Send bytes that are not HTTP, then close."""
    yield b"SSH-2.0-demo\r\n\x00\x01\x02\x03 this is not HTTP\r\n\r\n"
    yield Close.FIN


def early_response(context: RequestContext, *, code: Status = 413) -> Plan:
    """Send an error before the request body is read, then close."""
    reply = error_document(context, code, MESSAGES.get(code, http1.reason(code)))
    yield document_head(context, reply, close=True) + reply.body
    yield Close.FIN


def status(
    context: RequestContext,
    *,
    code: Status = 529,
    retry_after: str | None = None,
    should_retry: bool | None = None,
    message: str | None = None,
    body: Literal["json", "html", "empty"] | None = None,
    packed: bool = False,
) -> Plan:
    """Send a status: errors in Anthropic's format, 502 as HTML, redirects to a 404."""
    headers: list[tuple[str, str]] = []
    if retry_after is not None:
        headers.append(("retry-after", retry_after))
    if should_retry is not None:
        headers.append(("x-should-retry", str(should_retry).lower()))
    if code in REDIRECTS:
        headers.append(("location", "/demo/redirected"))
    kind = "empty" if code == 304 else body or ("html" if code == 502 else "json")
    if kind == "json":
        text = message or MESSAGES.get(code, http1.reason(code))
        reply = error_document(context, code, text, *headers)
    else:
        reply = Document(code, HTML if kind == "html" else b"", HTML_TYPE, tuple(headers))
    if packed:
        fields = (*reply.headers, ("content-encoding", "gzip"))
        reply = structs.replace(reply, body=compress(reply.body), headers=fields)
    yield from send(context, reply)


def empty_200(context: RequestContext) -> Plan:
    """Send 200 with an empty body."""
    if isinstance(context.reply(), Stream):
        yield from send_stream(context, [])
    else:
        yield from send(context, Document(200, b""))


def html_200(context: RequestContext) -> Plan:
    """Send 200 with an HTML page, as a captive portal does."""
    yield from send(context, Document(200, HTML, HTML_TYPE))


def json_200(context: RequestContext, *, kind: Literal["message", "error"] = "message") -> Plan:
    """Send a JSON document with 200 (kind=message or error) to a stream request."""
    reply = context.reply()
    if kind == "error":
        body = error_document(context, 529, MESSAGES[529]).body
    elif isinstance(reply, Stream):
        body = content.document(reply.message)
    else:
        body = reply.body
    yield from send(context, Document(200, body))
