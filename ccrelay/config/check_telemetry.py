"""Semantic checks of `telemetry`: the collector's URL and headers."""

import re
from urllib.parse import urlsplit

from ccrelay.config.check_names import TOKEN
from ccrelay.config.findings import Findings
from ccrelay.config.model import Telemetry

# Those of the known collectors whose value is a secret.
CREDENTIAL_HEADERS = frozenset(
    {
        "authorization",
        "api-key",
        "x-api-key",
        "dd-api-key",
        "x-honeycomb-team",
        "signoz-access-token",
    }
)
_RESERVED = frozenset({"content-type", "content-length", "content-encoding", "host"})
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")
_GRPC_PORT = 4317
_SIGNAL_PATH = re.compile(r"/v1/(?:traces|metrics|logs)/*\Z")


def check_telemetry(telemetry: Telemetry, findings: Findings) -> None:
    """Report what no collector could be reached with."""
    if telemetry.otlp_endpoint is not None:
        _check_endpoint(telemetry.otlp_endpoint, findings)
    seen: set[str] = set()
    for name, value in telemetry.headers.items():
        place = ("telemetry", "headers", name)
        lower = name.lower()
        if not TOKEN.match(name):
            findings.error(place, "invalid header name")
        elif lower in _RESERVED:
            findings.error(place, "reserved header, set by the relay")
        elif lower in seen:
            findings.error(place, "duplicate header (names are case-insensitive)")
        elif not _HEADER_VALUE.match(value):
            message = (
                "invalid value: empty, control or non-ASCII characters, or leading or trailing "
                "whitespace"
            )
            findings.error(place, message)
        seen.add(lower)


def _check_endpoint(text: str, findings: Findings) -> None:
    path = ("telemetry", "otlp_endpoint")
    try:
        url = urlsplit(text)
        port = url.port  # raises ValueError for an invalid port
    except ValueError:
        findings.wrong(path, "invalid URL: use http://HOST:PORT, or http://[IPV6]:PORT", text)
        return
    is_plain = text.isascii() and text.isprintable() and " " not in text
    if not is_plain or url.scheme not in ("http", "https") or not url.hostname:
        findings.wrong(path, "must be http://HOST or https://HOST, optionally with a path", text)
    elif "@" in url.netloc:
        findings.wrong(path, "must not contain a user name or password; use headers", text)
    elif "?" in text or "#" in text:
        findings.wrong(path, "must not contain a query or a fragment", text)
    elif tail := _SIGNAL_PATH.search(url.path):
        findings.error(path, f"must be the URL before {tail[0].rstrip('/')}: remove that part")
    elif port == _GRPC_PORT:
        findings.warning(
            path, "4317 is the port of OTLP over gRPC: the relay speaks OTLP over HTTP, port 4318"
        )
