"""Requests of cloud clients, put into Anthropic's form: then they are exchanges like all others.

What a cloud's form has elsewhere goes back to its place: the model from the path,
`anthropic_version` and `anthropic_beta` from the body, the body that AWS's CountTokens wraps.
Values of members keep their bytes. The head is written again, because what a cloud client signs,
and what only its cloud understands, is nothing for a provider: its credentials are never passed
on.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from msgspec import Raw

from ccrelay._fast.body import GUARDED, BodyFault
from ccrelay._fast.http1 import Head, parse_request
from ccrelay._fast.json import MemberKeys, MemberScan, ScanState, count_elements
from ccrelay.errors import BadRequest
from ccrelay.providers.cloud_models import first_party
from ccrelay.relay.cloud_paths import BEDROCK, CloudRequest
from ccrelay.relay.request_body import FAULTS, missing_model, model_json, model_name
from ccrelay.types import RequestClass
from ccrelay.wire.bodies import (
    ELEMENTS_MAX,
    UNREADABLE,
    Members,
    first_byte,
    read_body,
    read_members,
    write_body,
)

_TRUE = Raw(b"true")
_STRING = msgspec.json.Decoder(str)
_STRINGS = msgspec.json.Decoder(list[str])
# A beta that clouds have by another name (providers reference, section 11).
_OWN_NAME = {b"tool-search-tool-2025-10-19": b"advanced-tool-use-2025-11-20"}
_BETA = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_BETAS_MAX = 64
DEFAULT_VERSION = b"2023-06-01"
# `anthropic_version` of Bedrock and Vertex that stands for the first version of the API.
_FIRST_VERSIONS = (b"bedrock-2023-05-31", b"vertex-2023-10-16")
# InvokeModel's body has to have `max_tokens`; count_tokens takes none of these.
_NOT_COUNTED = (
    *("max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata"),
    "service_tier",
)
# Fields of the client's head that are its cloud's, its SDK's, its credentials, or written here.
_DROPPED = frozenset(
    (
        *(b"authorization", b"x-api-key", b"api-key", b"accept", b"content-type"),
        *(b"anthropic-beta", b"anthropic-version"),
    )
)
_DROPPED_BEGINNINGS = (b"x-amz-", b"x-amzn-", b"x-goog-", b"x-ms-", b"amz-sdk-")
_KEYS = MemberKeys(["model", "stream"], guarded=GUARDED)
_CAPTURE_MAX = 8192
_MODEL, _STREAM = 0, 1
_COMPLETE = int(ScanState.COMPLETE)


class Translated(NamedTuple):
    """A request in Anthropic's form."""

    body: bytes
    model: bytes  # raw JSON of `model`
    elements: int  # of the body
    streams: bool
    betas: tuple[bytes, ...]  # of the body
    version: bytes  # of the body; empty: it names none


class CloudBody:
    """A request whose body is in a cloud's form.

    Args:
        asked: what its path tells.
    """

    __slots__ = ("_asked",)

    def __init__(self, asked: CloudRequest) -> None:
        self._asked = asked

    @property
    def stream(self) -> bool:
        """Whether the path asks for a stream."""
        return self._asked.stream

    def translate(self, body: bytes) -> Translated:
        """The body in Anthropic's form; may run in a thread.

        Raises:
            BadRequest: it is no JSON object, or lacks what the form has to have.
        """
        _check_size(body)
        asked = self._asked
        counts = asked.kind == RequestClass.COUNT_TOKENS
        top = read_body(body)
        if counts and asked.form == BEDROCK:
            body = _inner_body(top)
            _check_size(body)
            top = read_body(body)
        betas = _betas_of(top.pop("anthropic_beta", None))
        version = _version_of(top.pop("anthropic_version", None))
        named = top.pop("model", None)
        if not asked.model and named is None:
            raise missing_model()
        name = asked.model or model_name(bytes(named or b""))
        if counts:
            for member in _NOT_COUNTED:
                top.pop(member, None)
        elif asked.form == BEDROCK:  # the path says whether it is a stream
            top.pop("stream", None)
        if asked.stream:
            top["stream"] = _TRUE
        return _scanned({"model": Raw(model_json(first_party(name))), **top}, betas, version)

    def first_party(self, head: Head, found: Translated) -> tuple[Head, bytes]:
        """The head of the request in Anthropic's form, and the path that is sent.

        Raises:
            BadRequest: see `first_party_head`.
        """
        betas = [*_listed(head), *found.betas]
        path = messages_path(self._asked.kind, bool(betas))
        return first_party_head(head, path, found.betas, found.version), path


def _scanned(top: Members, betas: tuple[bytes, ...], version: bytes) -> Translated:
    body = write_body(top)
    scan = MemberScan(_KEYS, _CAPTURE_MAX)
    if scan.feed_bytes(body) != _COMPLETE:
        deep = scan.is_too_deep()
        raise FAULTS[int(BodyFault.TOO_DEEP if deep else BodyFault.NOT_JSON)]()
    if scan.other_case:
        raise FAULTS[int(BodyFault.OTHER_CASE)]()
    span = scan.span(_MODEL)
    assert span is not None
    streams = scan.value(_STREAM) == b"true"
    return Translated(body, body[slice(*span)], scan.elements, streams, betas, version)


def _check_size(body: bytes) -> None:
    if count_elements(body) > ELEMENTS_MAX:
        raise BadRequest(
            f"The request body has more than {ELEMENTS_MAX:,} JSON items and members: send a "
            "shorter conversation."
        )


def _inner_body(top: Members) -> bytes:
    """The body of InvokeModel that one of CountTokens wraps, in Base64."""
    wrapped = _member(_member(top.get("input"), "invokeModel"), "body")
    if wrapped is None:
        raise BadRequest("input.invokeModel.body is missing: the relay counts tokens of that only.")
    try:
        return base64.b64decode(_STRING.decode(wrapped), validate=True)
    except (*UNREADABLE, binascii.Error, ValueError) as error:
        raise BadRequest("input.invokeModel.body is not Base64.") from error


def _member(value: Raw | None, name: str) -> Raw | None:
    members = read_members(value) if value is not None else None
    return members.get(name) if members is not None else None


def _betas_of(value: Raw | None) -> tuple[bytes, ...]:
    if value is None or bytes(value) == b"null":
        return ()
    try:
        names = _STRINGS.decode(value)
    except UNREADABLE as error:
        raise BadRequest("anthropic_beta: Input should be a list of strings.") from error
    return tuple(name.encode("utf-8", "replace") for name in names)


def _version_of(value: Raw | None) -> bytes:
    if value is None or first_byte(value) != ord('"'):
        return b""
    try:
        return _STRING.decode(value).encode("utf-8", "replace")
    except UNREADABLE:
        return b""


def respelt(raw: bytes) -> bytes | None:
    """The first-party name of a model, as raw JSON; None: it is that already.

    Args:
        raw: raw JSON of the model's id at a cloud.

    Raises:
        BadRequest: it is no name.
    """
    name = model_name(raw)
    own = first_party(name)
    return model_json(own) if own != name else None


# ---- the head


def first_party_head(
    head: Head, path: bytes, betas: Iterable[bytes] = (), version: bytes = b""
) -> Head:
    """The client's head as one of Anthropic's own API would be.

    Args:
        head: the client's.
        path: path and query, below which it is served.
        betas: those of the body; they follow those of the head.
        version: that of the body; it goes before that of the head.

    Raises:
        BadRequest: a beta or version cannot stand in a head.
    """
    known = _known_betas([*_listed(head), *betas])
    kept = [
        b"%b: %b" % (name, value)
        for name, value in head.items()
        if (lower := name.lower()) not in _DROPPED and not lower.startswith(_DROPPED_BEGINNINGS)
    ]
    version = version or head.get(b"anthropic-version") or DEFAULT_VERSION
    if version in _FIRST_VERSIONS:
        version = DEFAULT_VERSION
    if not version or not set(version) <= _BETA:
        raise BadRequest("anthropic_version: Input is not a version of the API.")
    lines = [
        b"%b %b HTTP/1.%d" % (head.method, path, head.minor),
        *kept,
        b"accept: application/json",
        b"content-type: application/json",
        b"anthropic-version: " + version,
    ]
    if known:
        lines.append(b"anthropic-beta: " + b",".join(known))
    parsed = parse_request(b"\r\n".join([*lines, b"", b""]), len(lines))
    assert parsed is not None
    return parsed[0]


def messages_path(kind: RequestClass, has_betas: bool) -> bytes:
    """Path and query of Anthropic's API for a request."""
    path = b"/v1/messages" if kind == RequestClass.MESSAGES else b"/v1/messages/count_tokens"
    return path + b"?beta=true" if has_betas else path


def _listed(head: Head) -> list[bytes]:
    return [
        item
        for name, value in head.items()
        if name.lower() == b"anthropic-beta"
        for part in value.split(b",")
        if (item := part.strip())
    ]


def _known_betas(betas: list[bytes]) -> list[bytes]:
    """By their names at Anthropic, each once, in order."""
    found: dict[bytes, None] = {}
    for beta in betas:
        if not beta or not set(beta) <= _BETA:
            raise BadRequest("anthropic_beta: Input is not the name of a beta.")
        found[_OWN_NAME.get(beta, beta)] = None
    if len(found) > _BETAS_MAX:
        raise BadRequest(f"anthropic_beta: List should have at most {_BETAS_MAX} items.")
    return list(found)
