"""Request headers that identify the client: credentials, Host, Origin, what browsers add."""

import re
from collections.abc import Iterable

ANY = "*"

_BEARER = re.compile(rb"\s*bearer +(\S+)\s*", re.IGNORECASE)
_SIGNED = re.compile(rb"\s*AWS4-[A-Z0-9-]+(?:\s|\Z)", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]/@\s]+)(?::[0-9]{0,5})?")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#@\\\s]+)(?=[/?#]|\Z)")
_LOOPBACK_V4 = re.compile(r"127(?:\.(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}")


def client_tokens(authorization: bytes | None, x_api_key: bytes | None) -> tuple[bytes, ...]:
    """The client's credentials, from either header: with an apiKeyHelper it sends both.

    The client is authenticated if any of them is valid (gateway contract, section 3). Empty ones,
    schemes other than Bearer and duplicates are left out.
    """
    found: list[bytes] = []
    if authorization is not None and (match := _BEARER.fullmatch(authorization)):
        found.append(match[1])
    if x_api_key is not None and (key := x_api_key.strip()) and key not in found:
        found.append(key)
    return tuple(found)


def is_signed(authorization: bytes | None) -> bool:
    """Whether a request is signed as AWS's are (Signature Version 4): only AWS can verify it."""
    return authorization is not None and _SIGNED.match(authorization) is not None


def host_set(names: Iterable[str]) -> frozenset[str]:
    """Normalise configured host names, with or without port, for `host_allowed`."""
    return frozenset(ANY if name == ANY else _host_name(name) or name.lower() for name in names)


def host_allowed(host: bytes, allowed: frozenset[str]) -> bool:
    """Whether a request with this Host may be served; the port is ignored.

    Loopback names are always allowed. A web page that rebinds its own name to a loopback address
    still sends that name, and is rejected. `allowed` comes from `host_set`; `*` allows any host.
    """
    if ANY in allowed:
        return True
    name = _host_name(host.decode("latin-1"))
    if name is None:
        return False
    return name in ("localhost", "[::1]") or name in allowed or bool(_LOOPBACK_V4.fullmatch(name))


def origin_allowed(origin: bytes | None, allowed: frozenset[str]) -> bool:
    """Whether a request with this Origin may be served. None: not sent by a browser script.

    `allowed` holds full origins (`https://tools.example`) in lower case, or `*`.
    """
    if origin is None or ANY in allowed:
        return True
    return origin.decode("latin-1").lower() in allowed


def site_allowed(
    site: bytes | None, referer: bytes | None, host: bytes, allowed: frozenset[str]
) -> bool:
    """Whether a request without Origin may be served, by what only browsers send.

    Pages send no Origin with `<img>`, `<script>`, links and frames, but Sec-Fetch-Site (Fetch
    Metadata, W3C): `none` is the address bar, `same-origin` a page of the relay, which has none but
    its JSON. Browsers without it, and those that do not take the relay's address for a secure
    context, send a Referer at best: it must be of the relay itself, or of an allowed origin.
    """
    if ANY in allowed:
        return True
    if site is not None:
        return site in (b"none", b"same-origin")
    if referer is None:
        return True
    match = _ORIGIN.match(referer.decode("latin-1").lower())
    if match is None:
        return False
    return match[1].encode("latin-1") == host.lower() or match[0] in allowed


def _host_name(host: str) -> str | None:
    match = _HOST.fullmatch(host.strip().lower())
    return match[1].removesuffix(".") if match else None
