"""Signature Version 4 of requests to AWS, from bytes and a time; it sends nothing.

    canonical request -> SHA-256 -> string to sign -> HMAC with a key derived for one day, region
    and service -> Authorization

Facts: AWS General Reference, "Create a signed AWS API request"; botocore's `auth.SigV4Auth` is the
oracle (tests/property/test_sigv4.py); reference: providers, section 5.1.
"""

import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote

from ccrelay.wire.cloud_credential import AwsKeys

Line = tuple[bytes, bytes]

EMPTY_BODY = sha256(b"").hexdigest()

_ALGORITHM = b"AWS4-HMAC-SHA256"
_TERMINATOR = b"aws4_request"
_DATE, _TOKEN = b"x-amz-date", b"x-amz-security-token"
# Hops change these, or add them, so that they are not signed (botocore, `auth.py`).
_UNSIGNED = frozenset(
    b"authorization baggage connection expect keep-alive proxy-authenticate proxy-authorization te "
    b"traceparent tracestate trailer transfer-encoding upgrade user-agent x-amzn-trace-id".split()
)
# Derived keys that are kept: a few credentials, regions, services, and the days around midnight.
_DERIVED_MAX = 64


class SigningKey:
    """The key derived from a secret key, for one day, region and service.

    Args:
        keys: whose secret key it is.
        date: `YYYYMMDD`.
        region: as in the endpoint's name.
        service: as AWS names it in a scope.
    """

    __slots__ = ("_key", "_secret", "scope")

    def __init__(self, keys: AwsKeys, date: bytes, region: str, service: str) -> None:
        self._secret = keys.secret_key
        self.scope = b"/".join((date, region.encode(), service.encode(), _TERMINATOR))
        key = b"AWS4" + keys.secret_key.encode()
        for part in self.scope.split(b"/"):
            key = hmac.digest(key, part, "sha256")
        self._key = key

    def is_of(self, keys: AwsKeys) -> bool:
        """Whether it was derived from the secret key of `keys`."""
        return self._secret == keys.secret_key

    def sign(self, text: bytes) -> str:
        """The signature of a string to sign, hexadecimal."""
        return hmac.digest(self._key, text, "sha256").hex()

    def __repr__(self) -> str:
        return f"<SigningKey {self.scope.decode()}>"


# By access key id, date, region, service: none of them is a secret.
_derived: dict[tuple[str, bytes, str, str], SigningKey] = {}


def signing_key(keys: AwsKeys, date: bytes, region: str, service: str) -> SigningKey:
    """The derived key, from the cache where it is there."""
    place = (keys.access_key, date, region, service)
    found = _derived.get(place)
    if found is None or not found.is_of(keys):
        found = SigningKey(keys, date, region, service)
        _derived.pop(place, None)
        while len(_derived) >= _DERIVED_MAX:
            del _derived[next(iter(_derived))]
        _derived[place] = found
    return found


def sign(
    keys: AwsKeys,
    *,
    service: str,
    region: str,
    method: bytes,
    host: bytes,
    path: bytes,
    lines: Sequence[Line],
    body_hash: str,
    now_wall: float,
) -> list[Line]:
    """The header fields that sign a request: x-amz-date, x-amz-security-token, authorization.

    Args:
        keys: whose signature it is.
        service: signing name, "bedrock" for example.
        region: as in the endpoint's name.
        method: of the request.
        host: value of the Host header, as sent.
        path: path and query, as on the wire.
        lines: the header fields that are signed, as sent; of those that hops change, none is.
        body_hash: SHA-256 of the body's bytes as sent, hexadecimal.
        now_wall: seconds since 1970 by AWS's clock.

    Raises:
        ValueError: the credential has characters that a header cannot carry. It is not shown.
    """
    time = datetime.fromtimestamp(now_wall, UTC).strftime("%Y%m%dT%H%M%SZ").encode()
    added = [(_DATE, time)]
    if keys.session_token:
        added.append((_TOKEN, _sendable(keys.session_token)))
    fields = _canonical_fields([(b"host", host), *lines, *added])
    names = b";".join(name for name, _ in fields)
    target, _, query = path.partition(b"?")
    request = b"\n".join(
        (
            method,
            _canonical_path(target),
            _canonical_query(query),
            *(b"%b:%b" % field for field in fields),
            b"",
            names,
            body_hash.encode(),
        )
    )
    key = signing_key(keys, time[:8], region, service)
    text = b"\n".join((_ALGORITHM, time, key.scope, sha256(request).hexdigest().encode()))
    value = b"%b Credential=%b/%b, SignedHeaders=%b, Signature=%b" % (
        _ALGORITHM,
        _sendable(keys.access_key),
        key.scope,
        names,
        key.sign(text).encode(),
    )
    return [*added, (b"authorization", value)]


def _sendable(text: str) -> bytes:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("an AWS credential has characters that a header cannot carry")
    return text.encode()


def _canonical_path(path: bytes) -> bytes:
    """Without dot segments and empty ones, and encoded once more: `%3A` becomes `%253A`."""
    kept: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            del kept[-1:]
        elif part not in (b"", b"."):
            kept.append(part)
    tail = b"/" if kept and path.endswith(b"/") else b""
    return b"/" + quote(b"/".join(kept), safe="/~").encode() + tail


def _canonical_query(query: bytes) -> bytes:
    """Sorted by name and value; it is encoded already."""
    if not query:
        return b""
    pairs = sorted(pair.partition(b"=")[::2] for pair in query.split(b"&"))
    return b"&".join(b"%b=%b" % pair for pair in pairs)


def _canonical_fields(lines: Sequence[Line]) -> list[Line]:
    """Sorted by name in lower case, blanks folded, values of one name joined."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in lines:
        lower = name.lower()
        if lower not in _UNSIGNED:
            values.setdefault(lower, []).append(b" ".join(value.split()))
    return [(name, b",".join(values[name])) for name in sorted(values)]
