"""Verifies AWS signatures (SigV4), as AWS does: from the request as received. Pure.

The texts of refusals are those of AWS, by which clients and people find the cause.
"""

import datetime
import hashlib
import hmac
import re
from urllib.parse import quote, unquote

import msgspec

from ccrelay.demo.cloud import Accepted, AccessKey
from ccrelay.demo.cloud_errors import CloudError
from ccrelay.demo.http1 import RequestHead

ALGORITHM = "AWS4-HMAC-SHA256"
WINDOW_S = 300  # between the time of a signature and the clock of the service
_TIME = "%Y%m%dT%H%M%SZ"
_SPACES = re.compile(r"[ \t]+")


class Signature(msgspec.Struct, frozen=True):
    """The parts of an `authorization` header."""

    key_id: str
    date: str
    region: str
    service: str
    signed: tuple[str, ...]  # names of headers, in lower case
    hex: str


def parse(text: str) -> Signature:
    """Parse the value of `authorization`. Raises CloudError."""
    parts = dict(
        part.strip().partition("=")[::2] for part in text.removeprefix(ALGORITHM).split(",")
    )
    scope = parts.get("Credential", "").split("/")
    names = ("Credential", "SignedHeaders", "Signature")
    for name in names:
        if not parts.get(name):
            problem = f"Authorization header requires '{name}' parameter."
            raise CloudError(problem, name="IncompleteSignatureException")
    if len(scope) != 5 or scope[4] != "aws4_request":
        problem = "Credential must have exactly 5 slash-delimited elements."
        raise CloudError(problem, name="IncompleteSignatureException")
    signed = tuple(parts["SignedHeaders"].split(";"))
    return Signature(scope[0], scope[1], scope[2], scope[3], signed, parts["Signature"])


def verify(
    head: RequestHead,
    body: bytes,
    *,
    accepted: Accepted,
    service: str,
    region: str | None,
    now: datetime.datetime,
) -> Signature:
    """Verify a signed request.

    Args:
        head: as received: order, case and escapes count.
        body: whole, as received.
        accepted: the keys that exist.
        service: that the signature must be for.
        region: likewise; None: any.
        now: the clock of the service, with a time zone.

    Raises:
        CloudError: the signature is refused.
    """
    given = parse(head.get("authorization") or "")
    _check_scope(given, service, region)
    _check_signed(head, given)
    time = head.get("x-amz-date") or ""
    _check_time(given, time, now)
    key = _find_key(head, accepted, given)
    if not hmac.compare_digest(given.hex, _expected(head, body, given, time, key.secret)):
        raise CloudError(name="InvalidSignatureException")
    return given


def _check_scope(given: Signature, service: str, region: str | None) -> None:
    if given.service != service:
        problem = f"Credential should be scoped to correct service: '{service}'."
        raise CloudError(problem, name="InvalidSignatureException")
    if region is not None and given.region != region:
        problem = "Credential should be scoped to a valid region."
        raise CloudError(problem, name="InvalidSignatureException")


def _check_signed(head: RequestHead, given: Signature) -> None:
    present = {name.lower() for name, _ in head.headers}
    must = {"host"} | {name for name in present if name.startswith("x-amz-")}
    missing = sorted(must - set(given.signed))
    if missing:
        problem = f"'{missing[0]}' must be a 'SignedHeader' in the AWS Authorization."
        raise CloudError(problem, name="InvalidSignatureException")
    if list(given.signed) != sorted(given.signed) or not set(given.signed) <= present:
        raise CloudError(name="InvalidSignatureException")


def _check_time(given: Signature, time: str, now: datetime.datetime) -> None:
    try:
        signed_at = datetime.datetime.strptime(time, _TIME).replace(tzinfo=datetime.UTC)
    except ValueError:
        problem = "Date must be in ISO-8601 'basic format'."
        raise CloudError(problem, name="IncompleteSignatureException") from None
    if given.date != time[:8]:
        problem = (
            f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from "
            f"HTTP: '{given.date}' != '{time[:8]}', from '{time}'."
        )
        raise CloudError(problem, name="InvalidSignatureException")
    window = datetime.timedelta(seconds=WINDOW_S)
    if signed_at < now - window:
        edge = (now - window).strftime(_TIME)
        problem = f"Signature expired: {time} is now earlier than {edge} ({now:{_TIME}} - 5 min.)"
        raise CloudError(problem, name="InvalidSignatureException")
    if signed_at > now + window:
        edge = (now + window).strftime(_TIME)
        problem = f"Signature not yet current: {time} is still later than {edge} ({now:{_TIME}} + "
        raise CloudError(problem + "5 min.)", name="InvalidSignatureException")


def _find_key(head: RequestHead, accepted: Accepted, given: Signature) -> AccessKey:
    token = head.get("x-amz-security-token") or ""
    if given.key_id in accepted.expired or (token and token in accepted.expired):
        raise CloudError(name="ExpiredTokenException")
    for key in accepted.access_keys:
        if key.id == given.key_id and key.session_token == token:
            return key
    raise CloudError(name="UnrecognizedClientException")


def _expected(head: RequestHead, body: bytes, given: Signature, time: str, secret: str) -> str:
    scope = f"{given.date}/{given.region}/{given.service}/aws4_request"
    canonical = _canonical(head, body, given.signed)
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    text = f"{ALGORITHM}\n{time}\n{scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _canonical(head: RequestHead, body: bytes, signed: tuple[str, ...]) -> str:
    path, _, query = head.target.partition("?")
    # The head was decoded as Latin-1: so the bytes that were received come back.
    raw_path = path.encode("latin-1")
    lines = [head.method, quote(raw_path, safe="/~"), _canonical_query(query)]
    for name in signed:
        values = (_SPACES.sub(" ", value.strip()) for value in head.all(name))
        lines.append(f"{name}:{','.join(values)}")
    digest = hashlib.sha256(body).hexdigest()
    if head.get("x-amz-content-sha256") not in (None, digest):
        raise CloudError(name="InvalidSignatureException")
    return "\n".join([*lines, "", ";".join(signed), digest])


def _canonical_query(query: str) -> str:
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    encoded = sorted((_encode(name), _encode(value)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _encode(text: str) -> str:
    return quote(unquote(text), safe="-_.~")
