"""What the dialects of all clouds have in common: bridged requests, credentials, errors.

A dialect of a cloud names its surface (`providers.bridge` says what becomes of a body there), its
paths and header lines, and the table of its errors. Oracles: what the official `anthropic` SDK,
botocore and Claude Code send (tests/corpus/clouds).
"""

import re
from typing import ClassVar

from msgspec.structs import replace

from ccrelay.config.model import Provider
from ccrelay.providers.base import ANY, Bridged, Dialect, Fault, Get, Outgoing, no_head
from ccrelay.providers.bridge import (
    Applied,
    Surface,
    apply,
    names_no_beta,
    refused_features,
    sent_features,
)
from ccrelay.providers.cloud_errors import CloudError, fault_of, read_error, translated
from ccrelay.types import RequestClass

Lines = list[tuple[bytes, bytes]]

# How `Key.key` of a resolved configuration begins where the key is a credential: never sent.
IDENTITY = "credential:"
JSON = (b"content-type", b"application/json")
ACCEPT_JSON = (b"accept", b"application/json")
MIB_32 = 33_554_432

# Fields of the client that the lines of a cloud replace, or that only the relay may choose.
_DROPPED = frozenset(
    {
        *(b"accept", b"content-type", b"anthropic-beta", b"anthropic-version"),
        *(b"anthropic-workspace-id", b"amz-sdk-request", b"amz-sdk-invocation-id"),
    }
)
_VERSION = re.compile(rb"20\d\d-\d\d-\d\d")
# A token of RFC 9110; others cannot be in a list, and would be in the way of those that can.
_BETA = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_TEXT = re.compile(rb"[\x20-\x7e]*")


class CloudDialect(Dialect):
    """A cloud: requests are made from whole bodies, errors are translated."""

    translates_errors: ClassVar[bool] = True
    bridges: ClassVar[bool] = True
    # Whether `?beta=true` is sent with betas, as Claude Code does.
    sends_query: bool = True
    # Whether a limit is that of one model, not of the key.
    limits_per_model: ClassVar[bool] = False
    surface: Surface
    payload_bytes_max = MIB_32

    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        betas = provider.drop_betas or ()
        self._drops_all_betas = ANY in betas
        self._drops_betas = frozenset(betas)
        self.drop_names = self.drop_names | _DROPPED
        self._project = provider.project or ""
        self._static_names = frozenset(name for name, _ in self.static_headers)

    # ---- credentials

    def credential_lines(self, key: str | None) -> Lines:
        """The header fields of an API key; none for a credential, which is issued later.

        Raises:
            ValueError: the key has characters not allowed in headers. The key is not shown.
        """
        if not key or key.startswith(IDENTITY) or self._auth == "none":
            return []
        return self.key_lines(self._checked(key))

    def key_lines(self, key: bytes) -> Lines:
        """The header fields of an API key that is no credential; clouds differ."""
        return [(b"authorization", b"Bearer " + key)]

    def _checked(self, text: str) -> bytes:
        if not text.isascii() or not text.isprintable():
            raise ValueError(
                f"provider {self.name}: a credential has characters not allowed in headers"
            )
        return text.encode("ascii")

    # ---- requests

    def bridge(self, request: Outgoing) -> Bridged:
        """The request as this cloud takes it.

        Raises:
            BadRequest: the body is not a JSON object.
            CannotServe: the cloud lacks what the request needs.
        """
        path = self.path_of(request)
        applied = apply(self.surface, self._without_dropped(request))
        lines = [JSON, ACCEPT_JSON]
        if _VERSION.fullmatch(applied.version):  # else the body has it
            lines.append((b"anthropic-version", applied.version))
        betas = [beta for beta in applied.betas if _BETA.fullmatch(beta)]
        if betas:
            lines.append((b"anthropic-beta", ",".join(betas).encode("ascii")))
            if self.sends_query:
                path += "?beta=true"
        lines += self.more_lines(request)
        return Bridged(
            self.body_of(request, applied),
            path.encode("ascii"),
            [line for line in lines if line[0] not in self._static_names],
            applied.left_out,
        )

    def path_of(self, request: Outgoing) -> str:
        """The path below `prefix()`, without query.

        Raises:
            CannotServe: the model's id cannot be in a path.
        """
        if request.kind == RequestClass.COUNT_TOKENS:
            return "/v1/messages/count_tokens"
        return "/v1/messages"

    def more_lines(self, request: Outgoing) -> Lines:
        """Header lines of this cloud besides those of all."""
        return []

    def body_of(self, request: Outgoing, applied: Applied) -> bytes:
        """The body to send, once the bridge has edited it."""
        return applied.body

    # ---- errors

    def read_error(self, status: int, body: bytes, get: Get = no_head) -> Fault:
        """Parse an error body, or the data of an `error` event, by the tables of clouds."""
        return self._fault(read_error(status, body, get), body)

    def translate_error(self, status: int, body: bytes, get: Get = no_head) -> tuple[int, bytes]:
        """Anthropic's status and shape; the text is the cloud's, without numbers of accounts.

        An error of Anthropic's shape keeps its bytes; what is no error of an API stays as it is.
        """
        error = read_error(status, body, get)
        return translated(status, body, error, self._fault(error, body), self._project)

    def is_expired(self, status: int, body: bytes, get: Get) -> bool:
        """Whether the credential was refused as expired or invalid, or its signature was."""
        return self.read_error(status, body, get).cause == "credential"

    def forbids_retry(self, body: bytes) -> bool:
        """True for a spent quota, a 429 like a burst."""
        return self.read_error(200, body).spent

    def _fault(self, error: CloudError, body: bytes) -> Fault:
        return fault_of(error, body, per_model=self.limits_per_model, project=self._project)

    def features_refused(self, status: int, body: bytes) -> tuple[str, ...]:
        """The features that an error names and a request can do without.

        None where the error is about something else, in words that sound alike: a model that is
        "not available", or "isn't supported" without a profile.
        """
        if self.read_error(status, body).cause:
            return ()
        return refused_features(self.surface, status, body)

    def guesses_features(self, status: int, body: bytes) -> bool:
        """Whether `features_refused` can only guess what an error is about."""
        return names_no_beta(status, body)

    def sent_features(
        self, features: tuple[str, ...], header: bytes, body: bytes
    ) -> tuple[str, ...]:
        """Those of guessed features that a request had: `anthropic-beta`, and its body."""
        return sent_features(features, header, body)

    def _without_dropped(self, request: Outgoing) -> Outgoing:
        """The request without the betas that the configuration drops."""
        if self._drops_all_betas:
            return replace(request, betas=())
        if not self._drops_betas:
            return request
        return replace(
            request, betas=tuple(beta for beta in request.betas if beta not in self._drops_betas)
        )
