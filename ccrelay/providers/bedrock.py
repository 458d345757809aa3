"""Amazon Bedrock: its three surfaces.

    mantle     Messages API of bedrock-mantle, server-sent events
    messages   Messages API of bedrock-runtime, server-sent events; counts no tokens
    invoke     InvokeModel of bedrock-runtime: the model in the path, a binary event stream

Source: providers reference, section 5; clouds reference, sections 1 and 2.
"""

from base64 import b64encode
from typing import ClassVar

import msgspec

from ccrelay._fast.eventstream import EventStreamDecoder
from ccrelay.config.model import Provider
from ccrelay.errors import CannotServe
from ccrelay.providers.base import Get, Outgoing
from ccrelay.providers.bridge import Applied, Surface, plain_model
from ccrelay.providers.cloud import CloudDialect, Lines
from ccrelay.providers.cloud_paths import quoted_model
from ccrelay.types import RequestClass
from ccrelay.wire.bodies import UNREADABLE
from ccrelay.wire.decoders import ContentDecoder

EVENT_STREAM = b"application/vnd.amazon.eventstream"
PREFIXES = frozenset({"global", "us", "eu", "apac", "jp", "au", "us-gov", "ca", "sa", "me", "af"})
# "20 MB", and of mantle "25,000,000 bytes".
_RUNTIME_BYTES_MAX = 20_000_000
_MANTLE_BYTES_MAX = 25_000_000
_MESSAGES_PATH = "/anthropic/v1/messages"


class BedrockDialect(CloudDialect):
    """Type `bedrock` with a Messages API: mantle, or messages."""

    limits_per_model: ClassVar[bool] = True
    surface: Surface = "mantle"

    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self.sigv4_region = provider.region or ""
        self._workspace = self._checked(provider.workspace or "")
        if provider.api == "messages":
            self.surface = "bedrock-messages"
            self.sigv4_service = "bedrock"
            self.payload_bytes_max = _RUNTIME_BYTES_MAX
            self.sends_query = False
            self.counts_tokens = "estimate"  # UnknownOperationException, with status 200
        else:
            self.sigv4_service = "bedrock-mantle"
            self.payload_bytes_max = _MANTLE_BYTES_MAX

    def path_of(self, request: Outgoing) -> str:
        """The path of the Messages API; a base URL may end in its first segment."""
        path = super().path_of(request)
        is_there = self.surface == "mantle" or self.prefix().endswith(b"/anthropic")
        return path if is_there else "/anthropic" + path

    def more_lines(self, request: Outgoing) -> Lines:
        """The workspace, if the configuration names one."""
        return [(b"anthropic-workspace-id", self._workspace)] if self._workspace else []


class BedrockInvokeDialect(CloudDialect):
    """Type `bedrock` with InvokeModel."""

    sends_query = False
    limits_per_model: ClassVar[bool] = True
    surface: Surface = "bedrock-invoke"
    sigv4_service = "bedrock"
    payload_bytes_max = _RUNTIME_BYTES_MAX

    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self.sigv4_region = provider.region or ""

    def path_of(self, request: Outgoing) -> str:
        """`/model/{id}/` and the verb."""
        model = plain_model(request.model)
        if request.kind == RequestClass.COUNT_TOKENS:
            return f"/model/{quoted_model(base_model(model), ':')}/count-tokens"
        verb = "invoke-with-response-stream" if request.stream else "invoke"
        return f"/model/{quoted_model(model, ':')}/{verb}"

    def body_of(self, request: Outgoing, applied: Applied) -> bytes:
        """CountTokens takes the body of an InvokeModel, in base64."""
        if request.kind != RequestClass.COUNT_TOKENS:
            return applied.body
        return b'{"input":{"invokeModel":{"body":"%b"}}}' % b64encode(applied.body)

    def stream_decoder(self, get: Get) -> ContentDecoder | None:
        """Frames become server-sent events."""
        media_type = (get(b"content-type") or b"").partition(b";")[0].strip().lower()
        return EventStreamDecoder() if media_type == EVENT_STREAM else None

    def translate_answer(self, kind: RequestClass, body: bytes) -> bytes | None:
        """CountTokens answers `inputTokens`.

        Raises:
            ValueError: there is no count.
        """
        if kind != RequestClass.COUNT_TOKENS:
            return None
        try:
            count = _COUNT.decode(body).input_tokens
        except UNREADABLE as error:
            raise ValueError("no count of tokens") from error
        if not 0 <= count < 1 << 53:
            raise ValueError("no count of tokens")
        return b'{"input_tokens":%d}' % count


class _Count(msgspec.Struct, gc=False, rename="camel"):
    input_tokens: int


_COUNT = msgspec.json.Decoder(_Count)


def base_model(model: str) -> str:
    """The id of the foundation model that a profile's id or ARN names: CountTokens wants it.

    Raises:
        CannotServe: the ARN does not tell it, as those of application profiles do not.
    """
    if model.startswith("arn:"):
        kind, _, name = model.split(":", 5)[-1].partition("/")
        if kind not in ("inference-profile", "foundation-model"):
            raise CannotServe(f"Bedrock cannot count tokens for a model that is of {kind[:40]!r}.")
        model = name
    prefix, dot, rest = model.partition(".")
    return rest if dot and prefix in PREFIXES and "." in rest else model


def bedrock_dialect(provider: Provider) -> CloudDialect:
    """The dialect of a provider of type `bedrock`, by its `api`."""
    if provider.api == "invoke":
        return BedrockInvokeDialect(provider)
    return BedrockDialect(provider)
