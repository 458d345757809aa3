"""A request as a cloud gets it: its bridged body, its path, and its own header lines. Pure.

head and body of the client -> Outgoing -> Dialect.bridge -> Prepared     (large ones: in a thread)
Prepared, credential, time  -> the header lines of one attempt            (for each attempt)
"""

import hashlib
from collections.abc import Callable
from functools import partial

import msgspec

from ccrelay._fast.http1 import Head
from ccrelay.config.secret_shapes import without_secrets
from ccrelay.errors import CannotServe, UpstreamFailed
from ccrelay.fleet.provider_state import Target
from ccrelay.printable import printable
from ccrelay.providers.base import BETA_HEADER, Dialect, Outgoing
from ccrelay.providers.probe import ProbeRequest, ProbeSent, bridged_probe, cloud_probe
from ccrelay.relay.client_request import ClientRequest
from ccrelay.types import RequestClass
from ccrelay.wire.cloud_credential import AwsKeys, BearerToken
from ccrelay.wire.thinking import strip_foreign, thinking_to_strip

VERSION_HEADER = b"anthropic-version"
# A client's list of features is a few hundred bytes; Claude Code sends ten.
BETAS_MAX = 64
BETA_CHARACTERS_MAX = 128
# Clouds take a signature whose time is five minutes off. What is less than this is no wrong clock.
SKEW_MIN_S = 30.0
# A signature that was refused is made once more where its time was off by this much.
SKEW_REFUSED_S = 120.0

Lines = list[tuple[bytes, bytes]]


class Prepared(msgspec.Struct, gc=False):
    """A bridged request, ready but for the credential.

    Args:
        body: whole; it is what `body_hash` is of.
        path: path and query, below the prefix of the plan.
        lines: header fields of this request.
        left_out: features that were left out, for the log.
        dropped: features that are known to be refused there.
        body_hash: SHA-256 of the body in hex, where the request is signed; else empty.
        stripped: which thinking blocks were left out after a rejection: all (True), foreign ones;
            None: no more than `Attempt.strip_thinking` says.
    """

    body: bytes
    path: bytes
    lines: Lines
    left_out: tuple[str, ...] = ()
    dropped: frozenset[str] = frozenset()
    body_hash: str = ""
    stripped: bool | None = None


class Bridging(msgspec.Struct, gc=False):
    """What makes a `Prepared`; `__call__` may run in a thread.

    Args:
        client: the request.
        target: where it goes.
        outgoing: all but the body.
        strip: leave out thinking blocks before (`Attempt.strip_thinking`).
    """

    client: ClientRequest
    target: Target
    outgoing: Outgoing
    strip: bool | None

    def __call__(self) -> Prepared:
        """Bridge the client's body.

        Raises:
            BadRequest: it cannot be parsed.
            CannotServe: the provider lacks what it needs, or it is too large.
        """
        body = self.client.copied()
        if self.strip is not None:
            body, _ = strip_foreign(body, everything=self.strip)
        return self._prepared(body)

    def after_rejection(self, stripped: bool | None) -> Prepared | None:
        """The same after a rejected signature: leave out more thinking than `stripped`.

        None: there is none to leave out.
        """
        body = self.client.copied()
        everything = thinking_to_strip(body, stripped)
        if everything is None:
            return None
        body, _ = strip_foreign(body, everything=everything)
        prepared = self._prepared(body)
        prepared.stripped = everything
        return prepared

    def _prepared(self, body: bytes) -> Prepared:
        dialect = self.target.provider.dialect
        self.outgoing.body = body
        bridged = dialect.bridge(self.outgoing)
        self.outgoing.body = b""
        most = dialect.payload_bytes_max
        if most and len(bridged.body) > most:
            raise too_large(dialect, len(bridged.body))
        is_signed = bool(dialect.sigv4_service) and self.target.credential is not None
        return Prepared(
            bridged.body,
            bridged.path,
            bridged.lines,
            bridged.left_out,
            self.outgoing.dropped,
            hashlib.sha256(bridged.body).hexdigest() if is_signed else "",
        )


def too_large(dialect: Dialect, size: int) -> CannotServe:
    """The error for a body that the provider would refuse for its size."""
    return CannotServe(
        f"Provider {dialect.name} takes requests of at most {dialect.payload_bytes_max:,} bytes; "
        f"this one has {size:,}.",
        status=413,
    )


def bridging(
    client: ClientRequest, target: Target, model: str, strip: bool | None, dropped: frozenset[str]
) -> Bridging:
    """What makes the request for a target.

    Args:
        client: the request, whole.
        target: where it goes.
        model: the one to send.
        strip: `Attempt.strip_thinking`.
        dropped: features that provider and model are known to refuse.
    """
    head = client.down.head
    outgoing = Outgoing(
        body=b"",
        model=model,
        kind=RequestClass(client.kind),
        stream=client.asks_for_stream(),
        version=head.get(VERSION_HEADER) or b"",
        betas=betas_of(head),
        dropped=dropped,
    )
    return Bridging(client, target, outgoing, strip)


def betas_of(head: Head) -> tuple[str, ...]:
    """The values of all `anthropic-beta` fields, each once."""
    found: dict[str, None] = {}
    for name, value in head.items():
        if name.lower() != BETA_HEADER:
            continue
        for item in value.split(b","):
            beta = item.strip()
            if 0 < len(beta) <= BETA_CHARACTERS_MAX and beta.isascii():
                found[beta.decode()] = None
    return tuple(found)[:BETAS_MAX]


def betas_sent(prepared: Prepared) -> bytes:
    """The value of `anthropic-beta` of a request; empty: it has none."""
    return next((value for name, value in prepared.lines if name == BETA_HEADER), b"")


# ---- credentials


def header_lines(
    target: Target, prepared: Prepared, secret: AwsKeys | BearerToken | None, now_wall: float
) -> bytes:
    """The header lines of one attempt: those of the request, and the credential's.

    Args:
        target: where it goes.
        prepared: the request.
        secret: the credential to use; None: the plan has a key.
        now_wall: seconds since 1970, by the cloud's clock.

    Raises:
        UpstreamFailed: the credential is of a kind that cannot be used there.
    """
    lines = prepared.lines
    if isinstance(secret, AwsKeys):
        lines = [*lines, *signature_lines(target, prepared, secret, now_wall)]
    elif secret is not None:
        lines = [*lines, *target.provider.dialect.secret_lines(secret)]
    return rendered(lines)


def signature_lines(target: Target, prepared: Prepared, secret: AwsKeys, now_wall: float) -> Lines:
    """The header fields of a SigV4 signature over the request.

    Raises:
        UpstreamFailed: the provider's requests are not signed.
    """
    from ccrelay.wire.sigv4 import sign  # only where a cloud needs it

    dialect = target.provider.dialect
    if not dialect.sigv4_service:
        raise UpstreamFailed(
            f"The credential of provider {dialect.name} is of AWS, whose signatures it does not "
            "take: correct its `credential`.",
            should_retry=False,
        )
    lines: Lines = sign(
        secret,
        service=dialect.sigv4_service,
        region=dialect.sigv4_region,
        method=b"POST",
        host=dialect.host(),
        path=dialect.prefix() + prepared.path,
        lines=dialect.signed_lines(prepared.lines),
        body_hash=prepared.body_hash or hashlib.sha256(prepared.body).hexdigest(),
        now_wall=now_wall,
    )
    return lines


def rendered(lines: Lines) -> bytes:
    """Header fields as lines of a head.

    Raises:
        ValueError: one would break the head. Its value is not shown.
    """
    for name, value in lines:
        if not value.isascii() or not value.decode().isprintable():
            raise ValueError(f"header {name.decode('latin-1')} has characters not allowed there")
    return b"".join([b"%b: %b\r\n" % line for line in lines])


def probe_of(target: Target, kind: ProbeRequest, model: str, now_wall: float) -> ProbeSent:
    """A probe of a cloud with a target's credential.

    Raises:
        UpstreamFailed: there is no credential, or it cannot be sent.
        BadRequest: the cloud cannot be asked that.
    """
    dialect, credential = target.provider.dialect, target.credential
    bridged = bridged_probe(dialect, kind, model)
    if credential is None:
        keys = [key.key for key in target.provider.config.keys if key.enabled]
        key = keys[target.index] if keys else None
        return cloud_probe(dialect, bridged, dialect.credential_lines(key))
    secret = credential.secret(now_wall)
    if secret is None:
        raise no_credential(target)
    if isinstance(secret, AwsKeys):
        lines = signature_lines(
            target, Prepared(bridged.body, bridged.path, bridged.lines), secret, now_wall
        )
    else:
        lines = dialect.secret_lines(secret)
    return cloud_probe(dialect, bridged, lines)


# ---- the cloud's clock


def is_off(signed_at: float, now_cloud: float) -> bool:
    """Whether a signature's time explains that it was refused. Seconds since 1970."""
    return abs(signed_at - now_cloud) > SKEW_REFUSED_S


def skew(date: float, now_wall: float) -> float:
    """How far a cloud's clock is ahead, by the `date` of its response; a little is nothing."""
    ahead = date - now_wall
    return ahead if abs(ahead) >= SKEW_MIN_S else 0.0


Job = Callable[[], Prepared | None]


def job(bridging: Bridging, is_rejected: bool, stripped: bool | None) -> Job:
    """What the worker's thread runs. `is_rejected`: signatures were, with `stripped` left out."""
    return partial(bridging.after_rejection, stripped) if is_rejected else bridging


# ---- what is said when there is none

ERROR_CHARACTERS_MAX = 300


def no_credential(target: Target) -> UpstreamFailed:
    """The error for a request that no credential can be sent with."""
    credential, name = target.credential, target.provider.name
    told = credential.issued.error if credential is not None else ""
    told = " ".join(printable(without_secrets(told)).split())[:ERROR_CHARACTERS_MAX]
    if not told:
        told = "None has come in time: see the relay's log."
    return UpstreamFailed(f"Provider {name} has no credential: {told}", should_retry=False)


def unusable(target: Target, error: Exception) -> UpstreamFailed:
    """The error for a credential that cannot be sent: of the wrong kind, or with odd characters."""
    if isinstance(error, UpstreamFailed):
        return error
    return UpstreamFailed(
        f"What is sent to provider {target.provider.name} is not valid in a header: correct its "
        "credential.",
        should_retry=False,
    )
