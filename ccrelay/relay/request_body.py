"""Request bodies: model lookup, rewriting, and the errors of invalid ones."""

from collections.abc import Callable
from functools import partial

import msgspec

from ccrelay._fast.body import GUARDED, BodyFault
from ccrelay._fast.head_writer import RequestPlan
from ccrelay._fast.http1 import Head, HeadFault
from ccrelay._fast.json import MemberKeys, MemberScan
from ccrelay.errors import BadRequest, NoTarget, RelayError, TooLarge, Unauthorized
from ccrelay.fleet.provider_state import Target
from ccrelay.relay.attempt import Attempt
from ccrelay.relay.client_auth import ClientAuth
from ccrelay.relay.client_request import ClientRequest
from ccrelay.routing.candidate import Candidate
from ccrelay.types import RequestClass
from ccrelay.wire.bodies import ELEMENTS_MAX, json_string, splice_member, too_deep
from ccrelay.wire.thinking import strip_foreign, thinking_to_strip

# Longer than any model name; ARNs of inference profiles have up to 250.
MODEL_NAME_MAX = 512
# Larger bodies are rewritten in a thread. So many bytes or elements take about a millisecond.
INLINE_BYTES_MAX = 65_536
INLINE_ELEMENTS_MAX = 2_000

_decode_text = msgspec.json.Decoder(str).decode
_MODEL_KEYS = MemberKeys(["model"], guarded=GUARDED)


def no_memory() -> RelayError:
    """The 529 for what must be held when the client's share of the memory is used up."""
    return NoTarget(
        "This client's share of the relay's memory (server.limits.replay_bytes_max, "
        "memory_bytes_max) is used up.",
        retry_after_s=1,
    )


FAULTS: dict[int, Callable[[], RelayError]] = {
    int(BodyFault.NOT_JSON): lambda: BadRequest(
        "The request body is not one complete JSON object."
    ),
    int(BodyFault.SECOND_MODEL): lambda: BadRequest(
        'Duplicate "model" in the request body: send it once.'
    ),
    int(BodyFault.OTHER_CASE): lambda: BadRequest(
        "A member of the request body is one of the API's in other letters, such as "
        '"MODEL" for "model": send it in lower case.'
    ),
    int(BodyFault.TOO_LONG): lambda: TooLarge(
        "The request body is over server.limits.body_bytes_max.", status=413
    ),
    int(BodyFault.BAD_FRAMING): lambda: BadRequest(
        "The chunked encoding of the request body is invalid."
    ),
    int(BodyFault.NO_ROOM): no_memory,
    int(BodyFault.TOO_DEEP): too_deep,
}

_HEAD_FAULTS: dict[int, str] = {
    int(HeadFault.BAD_START_LINE): "the request line is malformed",
    int(HeadFault.BAD_METHOD): "the method is malformed",
    int(HeadFault.BAD_TARGET): "the request target is malformed",
    int(HeadFault.BAD_VERSION): "the version is not HTTP/1.1 or HTTP/1.0",
    int(HeadFault.BARE_LF): "a line ends with a bare LF",
    int(HeadFault.BAD_FIELD_NAME): "a header name is malformed",
    int(HeadFault.BAD_FIELD_VALUE): "a header value has control characters",
    int(HeadFault.OBS_FOLD): "a header is folded (obsolete line folding)",
    int(HeadFault.BAD_CONTENT_LENGTH): "the content-length is malformed or repeated",
    int(HeadFault.BAD_TRANSFER_ENCODING): "transfer-encoding must be chunked",
    int(HeadFault.BOTH_FRAMINGS): "content-length and transfer-encoding are both present",
    int(HeadFault.NOT_CANONICAL): (
        "the request target is not canonical: send no empty or dot segments, no ';' and only "
        "escapes that are needed"
    ),
    int(HeadFault.BAD_HOST): "the Host header is missing, repeated or malformed",
    int(HeadFault.REPEATED_FIELD): "Origin or Sec-Fetch-Site is repeated",
}


def head_error(fault: int) -> RelayError:
    """The error for an invalid request head. `fault`: a `HeadFault`."""
    if fault == int(HeadFault.TOO_MANY_FIELDS):
        return TooLarge(
            "The request has more headers than server.limits.header_count_max.", status=431
        )
    if fault == int(HeadFault.HEAD_TOO_LARGE):
        return TooLarge("The request head is over server.limits.head_bytes_max.", status=431)
    return BadRequest(f"Not a valid HTTP request: {_HEAD_FAULTS.get(fault, 'it is malformed')}.")


def model_name(raw: bytes) -> str:
    """Decode the raw JSON value of `model`.

    Raises:
        BadRequest: not a string, empty, or over MODEL_NAME_MAX characters.
    """
    try:
        name = _decode_text(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest('"model" is not a string.') from error
    if not name or len(name) > MODEL_NAME_MAX:
        raise BadRequest(f'"model" must have 1 to {MODEL_NAME_MAX} characters.')
    return name


def span_of_model(body: bytes) -> tuple[int, int]:
    """Start and end of the value of the top-level `model`.

    Raises:
        BadRequest: not a JSON object, no `model`, or a duplicate.
    """
    scan = MemberScan(_MODEL_KEYS, MODEL_NAME_MAX * 6)
    if scan.feed_bytes(body) != 1:
        if scan.is_too_deep():
            raise too_deep()
        raise FAULTS[int(BodyFault.NOT_JSON)]()
    if scan.seen(0) > 1:
        raise FAULTS[int(BodyFault.SECOND_MODEL)]()
    if scan.other_case:
        raise FAULTS[int(BodyFault.OTHER_CASE)]()
    span = scan.span(0)
    if span is None:
        raise missing_model()
    return span


def missing_model() -> RelayError:
    """The 400 for a body without `model`."""
    return BadRequest('The body has no "model". Send a JSON object with a "model" string.')


def is_gzip(head: Head) -> bool:
    """Whether the body is compressed by gzip once, and by nothing else.

    `x-gzip` is the same, and `identity` says nothing (RFC 9110 sections 8.4.1.3 and 12.5.3).
    """
    codings = [
        coding
        for name, value in head.items()
        if name.lower() == b"content-encoding"
        for part in value.split(b",")
        if (coding := part.strip().lower()) not in (b"", b"identity")
    ]
    return codings in ([b"gzip"], [b"x-gzip"])


def model_json(model: str) -> bytes:
    """A model name as raw JSON."""
    return bytes(json_string(model))


# ---- the upstream request


def check_elements(client: ClientRequest) -> None:
    """Refuse a body that has too many items and members to be decoded.

    Raises:
        BadRequest: it has.
    """
    if client.elements() > ELEMENTS_MAX:
        raise BadRequest(
            f"The request body has more than {ELEMENTS_MAX:,} JSON items and members, too many to "
            "be rewritten for this provider: send a shorter conversation."
        )


def is_large(client: ClientRequest) -> bool:
    """Whether work on the whole body would hold the loop up: it goes to `BodyWorker`."""
    return client.size() > INLINE_BYTES_MAX or client.elements() > INLINE_ELEMENTS_MAX


def rewriting(client: ClientRequest, attempt: Attempt) -> Callable[[], bytes]:
    """What makes the body to send where it differs from the client's; may run in a thread.

    It raises BadRequest where the dialect cannot parse the body.
    """
    candidate = attempt.candidate
    assert candidate is not None
    kind = RequestClass(client.kind)
    return partial(_rewrite, client, candidate, kind, attempt.strip_thinking)


def stripping(
    client: ClientRequest, attempt: Attempt, stripped: bool | None
) -> Callable[[], tuple[bool, bytes] | None]:
    """The same for an attempt that follows a rejected signature.

    What it makes begins with what was stripped (`thinking_to_strip`); None: there is nothing to
    strip.
    """
    candidate = attempt.candidate
    assert candidate is not None
    return partial(_strip, client, candidate, RequestClass(client.kind), stripped)


def _rewrite(
    client: ClientRequest, candidate: Candidate, kind: RequestClass, strip: bool | None
) -> bytes:
    return _changed(client.copied(), candidate, kind, strip, client.respelt)


def _changed(
    body: bytes,
    candidate: Candidate,
    kind: RequestClass,
    strip: bool | None,
    respelt: bytes | None,
) -> bytes:
    if candidate.rewrites:
        body = candidate.provider.dialect.rewrite(body, candidate.sent, kind)
    elif (model := candidate.splice or respelt) is not None:
        body = splice_member(body, span_of_model(body), model)
    if strip is not None:
        body, _ = strip_foreign(body, everything=strip)
    return body


def _strip(
    client: ClientRequest, candidate: Candidate, kind: RequestClass, stripped: bool | None
) -> tuple[bool, bytes] | None:
    body = client.copied()
    everything = thinking_to_strip(body, stripped)
    if everything is None:
        return None
    return everything, _changed(body, candidate, kind, everything, client.respelt)


def pass_through_plan(auth: ClientAuth, target: Target) -> RequestPlan:
    """The request plan that forwards the client's own credential and drops a relay token.

    Raises:
        Unauthorized: the only credential is a relay token.
    """
    if not (auth.token_in_key or auth.token_in_bearer):
        return target.plan
    if not auth.has_own:
        raise Unauthorized(
            f"Provider {target.provider.name} has no key of its own, and the request carries "
            "no credential besides the relay token. Configure a key for it.",
            should_retry=False,
        )
    return target.plan_no_key if auth.token_in_key else target.plan_no_bearer
