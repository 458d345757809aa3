"""What a response carries: what is expected, in which coding, and what came instead. Pure."""

import re
from urllib.parse import urlsplit

from msgspec.structs import replace

from ccrelay._fast.http1 import Head
from ccrelay._fast.rate_limits import Cooldown
from ccrelay._fast.taps import ContentKind
from ccrelay._fast.upstream import Upstream
from ccrelay.errors import UpstreamFailed
from ccrelay.fleet.provider_state import Target
from ccrelay.relay import retry
from ccrelay.relay.context import WorkerContext
from ccrelay.relay.local_reply import ErrorReply
from ccrelay.relay.runtime_config import RuntimeConfig
from ccrelay.routing.verdict import NO_ANSWER, Blame, Verdict
from ccrelay.types import RequestClass
from ccrelay.wire.cloud_credential import AwsKeys, BearerToken
from ccrelay.wire.decoders import ContentDecoder, accepts, coding_of, decoder_for
from ccrelay.wire.errors import is_error

SHOWN_MAX = 120  # characters of a strange body in the log
_NOT_PRINTABLE = re.compile(r"[^ -~]+")
# What looks like a credential: long runs without a space that mix letters and digits, and what is
# called one.
_SECRET = re.compile(r"(?=[^\s\"'<>]*[0-9])(?=[^\s\"'<>]*[A-Za-z])[A-Za-z0-9_.~+/=-]{20,}")
_CALLED_SECRET = re.compile(
    r"(\bbearer\s+|(?:api[_-]?key|token|secret|passw(?:or)?d)[\"']?\s*[=:]\s*[\"']?|//[^\s/@:]+:)"
    r"[^\s\"'<>@&,;]{4,}|\bsk-[\w-]{4,}",
    re.IGNORECASE,
)
_CREDENTIAL_FIELDS = (b"authorization", b"x-api-key")
_WHAT = {
    ContentKind.EVENT_STREAM: "an event stream without content",
    ContentKind.FOREIGN_JSON: "JSON that is no message",
    ContentKind.PAGE: "a web page",
    ContentKind.TEXT: "text",
    ContentKind.NOTHING: "nothing",
    ContentKind.ENCODED: "a body that cannot be decoded",
}


_JSON_KINDS = frozenset({ContentKind.FOREIGN_JSON, ContentKind.EVENT_STREAM})  # or its first event


def is_redirect(status: int) -> bool:
    """Whether a status is of class 3xx: it sends a client elsewhere, with prompt and credential.

    Or it is a 304, which nobody asked for: conditions are not forwarded.
    """
    return 300 <= status < 400


def decoding(client_head: Head, head: Head) -> tuple[bytes, ContentDecoder | None, bool]:
    """The coding of a response (b"": none), its decoder, whether the client needs it decoded."""
    named = [value for name, value in head.items() if name.lower() == b"content-encoding"]
    coding = coding_of(b",".join(named))
    if not coding:
        return b"", None, False
    decoder = decoder_for(coding)
    return coding, decoder, not accepts(client_head.get(b"accept-encoding"), coding)


def error_of(target: Target, upstream: Upstream, body: bytes) -> UpstreamFailed:
    """What came instead of an answer, for the client: no text of the provider's is in it."""
    head, name = upstream.head, target.provider.name
    status = head.status
    if is_redirect(status) and status != 304:
        place = _place(head)
        return UpstreamFailed(
            f"Provider {name} answered {status} with a redirect{place}: fix its base_url."
        )
    what = _WHAT.get(ContentKind(upstream.taps.kind), "something else")
    size = f" ({len(body):,} bytes)" if body else ""
    return UpstreamFailed(
        f"Provider {name} answered {status} with {what}{size} instead of a message."
    )


def _place(head: Head) -> str:
    """Scheme and host of a redirect: the rest of it may be a secret."""
    try:
        place = urlsplit((head.get(b"location") or b"").decode("ascii"))
    except ValueError:
        return ""
    host = place.netloc.rpartition("@")[2]
    scheme = f"{place.scheme}:" if place.scheme else ""
    return f" to {scheme}//{host}"[:100] if host else ""


def secrets_of(client_head: Head, target: Target) -> list[str]:
    """What a provider may send back of the request: its own keys and the client's credential."""
    given = [client_head.get(name) or b"" for name in _CREDENTIAL_FIELDS]
    own = [key.key for key in target.provider.config.keys]
    if target.credential is not None:
        own += secrets_in(target.credential.issued.secret)
    return own + [value.decode("latin-1").rpartition(" ")[2] for value in given]


def secrets_in(secret: AwsKeys | BearerToken | None) -> list[str]:
    """The secrets of an issued credential."""
    if isinstance(secret, AwsKeys):
        return [secret.secret_key, secret.session_token]
    return [secret.token] if secret is not None else []


def shown(body: bytes, secrets: list[str]) -> str:
    """The beginning of a body for the log: printable, without these secrets or what looks like one.

    Args:
        body: of a response.
        secrets: known ones; empty ones do not count.
    """
    text = body[: 8 * SHOWN_MAX].decode("utf-8", "replace")
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    text = _SECRET.sub("***", _NOT_PRINTABLE.sub(" ", text))
    return _CALLED_SECRET.sub(r"\1***", text).strip()[:SHOWN_MAX]


def classify(
    context: WorkerContext,
    config: RuntimeConfig,
    kind: int,
    target: Target,
    upstream: Upstream,
    body: bytes,
) -> Verdict:
    """What a response below 400 that is no answer means. `kind`: a `RequestClass`.

    It is the provider's failure, unless its text tells of the key or of the model.
    """
    verdict = NO_ANSWER
    if body and upstream.taps.kind in _JSON_KINDS:
        told = retry.classify_event(context, config, target, upstream, body)
        if told.elsewhere and told.blame in (Blame.KEY, Blame.MODEL, Blame.CREDENTIAL):
            verdict = told
    if kind != RequestClass.MESSAGES:
        return replace(verdict, cooldown_reason=Cooldown.NONE, cooldown_s=0.0, counts=None)
    return verdict


def reply(
    target: Target, verdict: Verdict, upstream: Upstream, body: bytes, error: UpstreamFailed
) -> ErrorReply:
    """What the client is told when no other target is left."""
    if upstream.taps.kind == ContentKind.FOREIGN_JSON and target.provider.dialect.translates_errors:
        told = retry.reply_of_event(target, verdict, body, upstream.head.get)
        if is_error(told.body):
            return told
    return ErrorReply(verdict.priority, error.status, error=error)
