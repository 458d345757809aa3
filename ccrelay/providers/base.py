"""The dialect interface: where requests go, how the key is sent, how bodies and errors change.

A dialect is built once per provider and configuration, and is stateless. The base class implements
the plain Anthropic format; subclasses override what differs.
"""

from collections.abc import Callable
from typing import ClassVar, Literal
from urllib.parse import SplitResult, quote, urlsplit

import msgspec
from msgspec import Raw

from ccrelay.config.model import Provider
from ccrelay.providers.cloud_models import matcher_of
from ccrelay.providers.quota import is_spent
from ccrelay.types import RequestClass
from ccrelay.wire.bodies import (
    UNREADABLE,
    Members,
    fold_system_turns,
    is_dense,
    json_string,
    read_body,
    write_body,
)
from ccrelay.wire.cloud_credential import AwsKeys, BearerToken
from ccrelay.wire.decoders import ContentDecoder

BETA_HEADER = b"anthropic-beta"
ANY = "*"

# Requests whose body is a conversation; other bodies only have their model replaced.
CONVERSATIONS = frozenset({RequestClass.MESSAGES, RequestClass.COUNT_TOKENS})

_DEFAULT_PORT = {"http": 80, "https": 443}
# Not encoded in the path of a base URL; `%` because the path may be encoded already.
_PATH_SAFE = "/%:@!$&'()*+,;=~"

# HTTP status for each type of `error` event (providers reference, section 3.1).
STATUS_BY_TYPE: dict[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
# Characters of a message that are examined.
MESSAGE_MAX = 4096

_ANY = msgspec.json.Decoder()

# What an error is about where its status does not say it, as a dialect reads it:
#   credential  expired or invalid: another one of the same entry may do
#   key         what the credential may do: another entry may do more
#   access      the account has no access to this model
#   model       the provider does not have the model, or not in this region
#   place       where the request comes from
#   size        more bytes than this provider takes, and others may take
#   flagged     content that is not allowed
Cause = Literal["", "credential", "key", "access", "model", "place", "size", "flagged"]
# Whose midnight ends the quota of a day, by the name of its time zone.
QuotaDay = Literal["", "UTC", "America/Los_Angeles"]


class Fault(msgspec.Struct, frozen=True, gc=False):
    """An upstream's error in Anthropic's terms."""

    status: int  # HTTP status by meaning, which may differ from the response's
    type: str = ""  # empty: not a known error format
    code: str = ""  # machine-readable: `details.error_code`, or the provider's own code
    message: str = ""
    spent: bool = False  # balance or quota exhausted: a retry within minutes cannot succeed
    # When it is available again, seconds since 1970, where the dialect knows how to read it better
    # than `quota.seconds_to_reset`; 0.0: it does not.
    resets_at: float = 0.0
    cause: Cause = ""  # overrules what the status says
    day: QuotaDay = ""  # `spent` is the quota of a day
    per_model: bool = False  # a limit or quota is that of the model at this key


# A header's value by its name in lower case; None: it is absent.
Get = Callable[[bytes], bytes | None]


def no_head(name: bytes) -> bytes | None:
    """A `Get` for what has no head: an event, a body alone."""
    return None


class Outgoing(msgspec.Struct, gc=False):
    """A client's request, for a dialect that bridges it.

    Args:
        body: whole, in Anthropic's form.
        model: the one to send.
        kind: MESSAGES or COUNT_TOKENS.
        stream: whether it asks for a stream.
        version: value of `anthropic-version`; empty: absent.
        betas: values of `anthropic-beta`, in order.
        dropped: features that this provider and model are known to refuse (`providers.bridge`).
    """

    body: bytes
    model: str
    kind: RequestClass
    stream: bool
    version: bytes = b""
    betas: tuple[str, ...] = ()
    dropped: frozenset[str] = frozenset()


class Bridged(msgspec.Struct, gc=False):
    """A request as it is sent to a cloud.

    Args:
        body: whole.
        path: path and query, below `Dialect.prefix()`.
        lines: header fields of this request, without credential. The plan drops the client's.
        left_out: features that were left out, as `providers.bridge` names them, for the log.
    """

    body: bytes
    path: bytes
    lines: list[tuple[bytes, bytes]]
    left_out: tuple[str, ...] = ()


class Dialect:
    """How requests and errors of one provider are translated."""

    translates_errors: ClassVar[bool] = False
    # True: requests are made by `bridge`, from whole bodies; `needs_rewrite` is not asked.
    bridges: ClassVar[bool] = False
    # SigV4 service that requests are signed for, with AwsKeys; empty: they are not.
    sigv4_service: str = ""
    sigv4_region: str = ""
    # Bytes of a request body that the provider accepts; 0: not known.
    payload_bytes_max: int = 0
    # True: a stream that ends without `message_stop` has failed and gets an `error` event.
    repairs_stream: ClassVar[bool] = False
    # A separator between folded system text and its neighbours, if the provider adds none.
    fold_gap: ClassVar[Raw | None] = None

    def __init__(self, provider: Provider) -> None:
        if provider.base_url is None or provider.auth is None or provider.count_tokens is None:
            raise ValueError(f"provider {provider.name}: its defaults are not filled in")
        url = urlsplit(provider.base_url)
        self.name = provider.name
        self.provider = provider
        self.matcher = matcher_of(provider)
        self.counts_tokens: Literal["forward", "estimate"] = provider.count_tokens
        self.folds_system = provider.system_role == "user"
        # The client's own login is sent only to an anthropic provider without keys.
        self.passes_client_credential = (
            provider.type == "anthropic" and not provider.keys and provider.auth != "none"
        )
        self.static_headers = [
            (_field(name, provider).lower(), _field(value, provider))
            for name, value in provider.headers.items()
        ]
        betas = provider.drop_betas or []
        self.drop_betas = frozenset(beta.encode() for beta in betas if beta != ANY) or None
        # Static headers replace the client's.
        dropped = {name for name, _ in self.static_headers}
        dropped |= {name.lower().encode("ascii") for name in provider.drop_headers}
        self.drop_names = frozenset(dropped | {BETA_HEADER} if ANY in betas else dropped)
        self._prefix = quote(url.path.rstrip("/"), safe=_PATH_SAFE).encode("ascii")
        self._host = _host(url)
        self._auth = provider.auth

    def prefix(self) -> bytes:
        """Path of the base URL without trailing slash: the prefix of `/v1`."""
        return self._prefix

    def host(self) -> bytes:
        """Value of the Host header, without the scheme's default port."""
        return self._host

    def credential_lines(self, key: str | None) -> list[tuple[bytes, bytes]]:
        """The header fields that carry a key; none without a key or with auth "none".

        Raises:
            ValueError: the key has characters not allowed in headers. The key is not shown.
        """
        if key is None or self._auth == "none":
            return []
        value = _field(key, self.provider)
        if self._auth == "x-api-key":
            return [(b"x-api-key", value)]
        return [(b"authorization", b"Bearer " + value)]

    def secret_lines(self, secret: AwsKeys | BearerToken) -> list[tuple[bytes, bytes]]:
        """The header fields of an issued credential; none for AWS keys, which sign.

        Raises:
            ValueError: it has characters not allowed in headers. It is not shown.
        """
        if isinstance(secret, AwsKeys):
            return []
        lines = [(b"authorization", b"Bearer " + _field(secret.token, self.provider))]
        if secret.quota_project:
            lines.append((b"x-goog-user-project", _field(secret.quota_project, self.provider)))
        return lines

    def signed_lines(self, lines: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """What SigV4 covers of a request with these lines (`Bridged.lines`), besides its host."""
        return [*lines, *self.static_headers]

    def needs_rewrite(self, model: str) -> bool:
        """Whether a body for `model` (the one sent) must be decoded.

        False: only the top-level `model` is spliced, and the body streams through.
        """
        return self.folds_system

    def rewrite(self, body: bytes, model: str, kind: RequestClass) -> bytes:
        """The body to send, with `model`. Called only if `needs_rewrite`.

        Raises:
            BadRequest: the body is not a JSON object.
        """
        top = read_body(body)
        top["model"] = json_string(model)
        if kind in CONVERSATIONS:
            self.edit(top, model)
        return write_body(top)

    def edit(self, top: Members, model: str) -> None:
        """Edit the members of a body in place; subclasses extend this."""
        if self.folds_system and "messages" in top:
            top["messages"] = fold_system_turns(top["messages"], self.fold_gap)

    def bridge(self, request: Outgoing) -> Bridged:
        """The request to send. Called only if `bridges`; may run in a thread.

        Raises:
            BadRequest: the body is not a JSON object.
            CannotServe: the provider lacks what the request needs.
        """
        raise NotImplementedError

    def stream_decoder(self, get: Get) -> ContentDecoder | None:
        """What turns a streamed response into server-sent events; None: it has them already."""
        return None

    def translate_answer(self, kind: RequestClass, body: bytes) -> bytes | None:
        """A whole answer in Anthropic's form; None: it is in that form already.

        Raises:
            ValueError: it is no answer.
        """
        return None

    def features_refused(self, status: int, body: bytes) -> tuple[str, ...]:
        """The features of a bridged request that an error names, which may be left out."""
        return ()

    def guesses_features(self, status: int, body: bytes) -> bool:
        """Whether `features_refused` can only guess what an error is about."""
        return False

    def sent_features(
        self, features: tuple[str, ...], header: bytes, body: bytes
    ) -> tuple[str, ...]:
        """Those of guessed features that a request had: `anthropic-beta`, and its body."""
        return features

    def is_expired(self, status: int, body: bytes, get: Get) -> bool:
        """Whether an error says that the credential has expired, so that another one may do."""
        return False

    def translate_error(self, status: int, body: bytes, get: Get = no_head) -> tuple[int, bytes]:
        """Status and body for the client. Called only if `translates_errors`."""
        return status, body

    def read_error(self, status: int, body: bytes, get: Get = no_head) -> Fault:
        """Parse an error body. `status` below 400: `body` is the data of an `error` event."""
        return read_fault(status, body)

    def forbids_retry(self, body: bytes) -> bool:
        """Whether an error body rules out a retry for now (`x-should-retry: false`)."""
        return False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def read_fault(status: int, body: bytes) -> Fault:
    """Parse an error body of any shape observed from Messages endpoints.

    Reads `error.{type,status,message,code,details.error_code}`, also one level deeper, `error` as
    text, the same members without `error`, `msg`, `detail`, `base_resp.{status_code,status_msg}`.
    """
    try:
        found = None if is_dense(body) else _ANY.decode(body)
    except UNREADABLE:
        text = "" if body.lstrip()[:1] == b"<" else body[:MESSAGE_MAX].decode("utf-8", "replace")
        status = status if status >= 400 else 500
        return Fault(status, message=text, spent=is_spent(status, "", "", text))
    inner = _inner(found)
    kind = _text(inner.get("type")) or _text(inner.get("status")) or _text(inner.get("__type"))
    code, message = _code(inner), _message(inner)
    if status < 400:
        status = STATUS_BY_TYPE.get(kind) or _http_status(code)
    if not (kind or code or message):
        return Fault(status, spent=status == 402)
    return Fault(status, kind or "error", code, message, is_spent(status, kind, code, message))


def _inner(found: object) -> dict[str, object]:
    """The object with the error's members."""
    for _ in range(2):
        if not isinstance(found, dict) or not found.get("error"):
            break
        found = found["error"]
    if isinstance(found, str):
        return {"message": found}
    if not isinstance(found, dict):
        return {}
    base = found.get("base_resp")
    if isinstance(base, dict):
        return {"code": base.get("status_code"), "message": base.get("status_msg"), **found}
    return found


def _message(inner: dict[str, object]) -> str:
    for name in ("message", "Message", "msg", "detail", "error_description"):
        if text := _text(inner.get(name)):
            return text[:MESSAGE_MAX]
    return ""


def _code(inner: dict[str, object]) -> str:
    details = inner.get("details")
    if isinstance(details, dict) and (code := _text(details.get("error_code"))):
        return code
    return _text(inner.get("code"))


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _http_status(code: str) -> int:
    # OpenRouter sends the HTTP status as code; an unknown event counts as a 500.
    return int(code) if len(code) == 3 and code.isdecimal() and 400 <= int(code) <= 599 else 500


def _host(url: SplitResult) -> bytes:
    name = url.hostname or ""
    if ":" in name:
        name = f"[{name}]"
    elif not name.isascii():
        name = name.encode("idna").decode("ascii")
    if url.port is not None and url.port != _DEFAULT_PORT.get(url.scheme):
        name = f"{name}:{url.port}"
    return name.encode("ascii")


def _field(text: str, provider: Provider) -> bytes:
    if not text.isascii() or not text.isprintable():
        raise ValueError(
            f"provider {provider.name}: a key or header has characters not allowed in headers"
        )
    return text.encode("ascii")
