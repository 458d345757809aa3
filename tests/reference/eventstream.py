"""Readable twin of ccrelay._fast.eventstream and its encoder: AWS's frames, and events of them."""

import base64
import binascii
import json
import re
import zlib
from collections.abc import Iterator

HEADERS_MAX, PAYLOAD_MAX = 128 * 1024, 24 * 1024 * 1024
ERROR_READ_MAX = 64 * 1024
METRICS = "amazon-bedrock-invocationMetrics"
# Bytes of a value by the header's type; None: a length of two bytes tells.
SIZES: dict[int, int | None] = {
    0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 6: None, 7: None, 8: 8, 9: 16
}  # fmt: skip
TEXT = 7

PLAIN = {
    "throttlingException": "rate_limit_error",
    "validationException": "invalid_request_error",
    "internalServerException": "api_error",
    "serviceUnavailableException": "overloaded_error",
    "modelTimeoutException": "timeout_error",
    "accessDeniedException": "permission_error",
    "resourceNotFoundException": "not_found_error",
    "expiredTokenException": "authentication_error",
    "internalFailure": "api_error",
}
NAMED = {
    "conflictException": "invalid_request_error",
    "serviceQuotaExceededException": "rate_limit_error",
    "tooManyRequestsException": "rate_limit_error",
    "modelNotReadyException": "overloaded_error",
    "unrecognizedClientException": "authentication_error",
    "invalidSignatureException": "authentication_error",
    "missingAuthenticationTokenException": "authentication_error",
    "missingAuthenticationToken": "authentication_error",
}
BY_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


# ---- frames


def header(name: str, value: bytes, kind: int = TEXT) -> bytes:
    size = len(value).to_bytes(2, "big") if SIZES[kind] is None else b""
    return bytes([len(name)]) + name.encode() + bytes([kind]) + size + value


def frame(headers: bytes, payload: bytes) -> bytes:
    total = 16 + len(headers) + len(payload)
    prelude = total.to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    data = prelude + zlib.crc32(prelude).to_bytes(4, "big") + headers + payload
    return data + zlib.crc32(data).to_bytes(4, "big")


def event_frame(kind: str, payload: bytes) -> bytes:
    return frame(
        header(":event-type", kind.encode())
        + header(":content-type", b"application/json")
        + header(":message-type", b"event"),
        payload,
    )


def chunk_frame(event: bytes, padding: str | None = None) -> bytes:
    members = {"bytes": base64.b64encode(event).decode()}
    if padding is not None:
        members["p"] = padding
    return event_frame("chunk", json.dumps(members, separators=(",", ":")).encode())


def exception_frame(name: str, payload: bytes) -> bytes:
    return frame(
        header(":exception-type", name.encode())
        + header(":content-type", b"application/json")
        + header(":message-type", b"exception"),
        payload,
    )


def frames(data: bytes) -> Iterator[tuple[dict[str, bytes], bytes]]:
    """Headers that are text and payload of each frame that is whole.

    Raises:
        ValueError: what follows is no frame.
    """
    while len(data) >= 12:
        total, size = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
        if zlib.crc32(data[:8]) != int.from_bytes(data[8:12], "big"):
            raise ValueError("prelude")
        if size > HEADERS_MAX or total < size + 16 or total - size - 16 > PAYLOAD_MAX:
            raise ValueError("length")
        if len(data) < total:
            return
        if zlib.crc32(data[: total - 4]) != int.from_bytes(data[total - 4 : total], "big"):
            raise ValueError("check sum")
        yield read_headers(data[12 : 12 + size]), data[12 + size : total - 4]
        data = data[total:]


def read_headers(data: bytes) -> dict[str, bytes]:
    found: dict[bytes, bytes | None] = {}
    while data:
        name, rest = data[1 : 1 + data[0]], data[1 + data[0] :]
        if len(name) < data[0] or not rest or name in found or rest[0] not in SIZES:
            raise ValueError("header")
        kind, rest = rest[0], rest[1:]
        size = SIZES[kind]
        if size is None:
            if len(rest) < 2:
                raise ValueError("header")
            size, rest = int.from_bytes(rest[:2], "big"), rest[2:]
        if len(rest) < size:
            raise ValueError("header")
        found[name] = rest[:size] if kind == TEXT else None
        data = rest[size:]
    return {name.decode("latin-1"): value for name, value in found.items() if value is not None}


# ---- events


def decode(data: bytes) -> tuple[bytes, bytes | None, bool]:
    """Events, the last metrics, and whether it went wrong behind them."""
    out, metrics = b"", None
    try:
        for headers, payload in frames(data):
            event, found = event_of(headers, payload)
            out += event
            metrics = metrics if found is None else found
    except ValueError:
        return out, metrics, True
    return out, metrics, False


def event_of(headers: dict[str, bytes], payload: bytes) -> tuple[bytes, bytes | None]:
    kind = headers.get(":message-type", b"event")
    if kind == b"exception":
        return exception_event(headers.get(":exception-type", b""), payload), None
    if kind == b"error":
        message = headers.get(":error-message", b"").decode("utf-8", "replace")
        return error_event(headers.get(":error-code", b""), quoted(message)), None
    if kind != b"event" or headers.get(":event-type") != b"chunk" or not payload.strip(b" \t\r\n"):
        return b"", None
    members = json.loads(payload)
    if not isinstance(members, dict):
        raise ValueError("payload")
    if members.get("bytes") is None:
        return b"", None
    event = unbase64(members["bytes"])
    if event.lstrip(b" \t\r\n")[:1] != b"{":
        return b"", None
    name = json.loads(event).get("type")
    if not isinstance(name, str):
        return b"", None
    if not re.fullmatch(r"[!-\[\]-~]{1,64}", name):
        raise ValueError("type")
    event = event.replace(b"\n", b" ").replace(b"\r", b" ")
    event, metrics = without_metrics(event)
    return b"event: %b\ndata: %b\n\n" % (name.encode(), event), metrics


def unbase64(text: object) -> bytes:
    if not isinstance(text, str):
        raise ValueError("bytes")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError("base64") from error


def without_metrics(event: bytes) -> tuple[bytes, bytes | None]:
    """Without the member and one of the commas beside it, all other bytes as they are."""
    text = event.decode()
    scan = json.JSONDecoder().raw_decode
    at = behind = text.index("{") + 1
    while True:
        at = re.compile(r"[ \t,]*").match(text, at).end()  # type: ignore[union-attr]
        if text[at] == "}":
            return event, None
        name, at = scan(text, at)
        begin = re.compile(r"[ \t]*:[ \t]*").match(text, at).end()  # type: ignore[union-attr]
        _, end = scan(text, begin)
        if name == METRICS:
            metrics = text[begin:end]
            if text[behind - 1] == "{":
                end = re.compile(r"([ \t]*,)?").match(text, end).end()  # type: ignore[union-attr]
            return (text[:behind] + text[end:]).encode(), metrics.encode()
        at = behind = end


# ---- errors


def quoted(text: str) -> bytes:
    escaped = "".join(
        f"\\u{ord(c):04x}" if c < " " else "\\" + c if c in '"\\' else c for c in text
    )
    return f'"{escaped}"'.encode()


def exception_event(name: bytes, payload: bytes) -> bytes:
    try:
        found = json.loads(payload) if len(payload) <= ERROR_READ_MAX else {}
    except ValueError:
        found = {}
    members = found if isinstance(found, dict) else {}
    texts = (members.get(key) for key in ("message", "Message", "originalMessage"))
    text = next((one for one in texts if isinstance(one, str) and one), None)
    if text is None:
        shown = name if members or not payload else payload[:4096]
        text = shown.decode("utf-8", "replace")
    return error_event(name, quoted(text), members.get("originalStatusCode"))


def error_event(raw_name: bytes, message: bytes, status: object = None) -> bytes:
    name = raw_name.decode("ascii", "replace").partition(":")[0].rpartition("#")[2]
    name = name[:1].lower() + name[1:64]
    kind = {**PLAIN, **NAMED}.get(name, "api_error")
    if re.fullmatch("[0-9]{3}", name):
        kind = BY_STATUS.get(int(name), kind)
    is_model = name in ("modelErrorException", "modelStreamErrorException")
    if is_model and isinstance(status, int) and 100 <= status <= 999:
        by_group = "invalid_request_error" if status < 500 else "api_error"
        kind = BY_STATUS.get(status, by_group)
    details = f',"details":{{"error_code":"{name}"}}'
    if name in PLAIN or not re.fullmatch("[A-Za-z0-9]+", name):
        details = ""
    message = re.sub(rb"(?<![0-9A-Za-z])[0-9]{12}(?![0-9A-Za-z])", b"************", message)
    head = f'event: error\ndata: {{"type":"error","error":{{"type":"{kind}","message":'
    return head.encode() + message + details.encode() + b"}}\n\n"
