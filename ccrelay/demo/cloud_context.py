"""A request to a mock cloud, and its response in the form of that cloud. Pure."""

import datetime
import hashlib
import uuid
from typing import Any

import msgspec

from ccrelay.demo import cloud_lists, content, event_stream
from ccrelay.demo.cloud import Cloud, Surface, credential_name
from ccrelay.demo.cloud_auth import authenticate
from ccrelay.demo.cloud_errors import CloudError, body_of, gateway_name, headers_of
from ccrelay.demo.cloud_metadata import is_metadata, metadata
from ccrelay.demo.cloud_requests import CloudRequest, read_count, read_messages, settle_surface
from ccrelay.demo.cloud_routes import Call, is_stream_verb, route
from ccrelay.demo.http1 import Headers, RequestHead
from ccrelay.demo.models import page
from ccrelay.demo.plan import Document, RequestContext, Stream
from ccrelay.demo.prompt_cache import PromptCache
from ccrelay.demo.request import MessagesRequest, parse_request
from ccrelay.errors import RelayError

REGION = "us-east-1"  # of lists, when neither mock nor signature names one
_ID_PREFIXES = {
    Surface.INVOKE: "msg_bdrk_",
    Surface.RUNTIME: "msg_bdrk_",
    Surface.MANTLE: "msg_bdrk_",
    Surface.VERTEX: "msg_vrtx_",
}
# Type of an error of Anthropic's -> the exception that Bedrock has for it in a stream.
_EXCEPTIONS = {
    "overloaded_error": "serviceUnavailableException",
    "rate_limit_error": "throttlingException",
    "invalid_request_error": "validationException",
    "timeout_error": "modelTimeoutException",
    "api_error": "internalServerException",
}
_UNSUPPORTED = (
    b'{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}'
)


class CloudContext(RequestContext):
    """A request to a mock cloud. Arguments as of `RequestContext`, and the cloud."""

    def __init__(
        self,
        head: RequestHead,
        *,
        serial: str,
        now: datetime.datetime,
        gap_s: float,
        cache: PromptCache | None = None,
        cloud: Cloud,
    ) -> None:
        super().__init__(head, serial=serial, now=now, gap_s=gap_s, cache=cache)
        self.skew_s = cloud.clock_skew_s
        self._cloud = cloud
        self._accepted: CloudRequest | None = None
        self._call: Call | CloudError
        try:
            self._call = route(cloud, head)
        except CloudError as error:
            self._call = error

    @property
    def surface(self) -> Surface:
        """The surface that answers."""
        call = self._call
        return self._cloud.surfaces[0] if isinstance(call, CloudError) else call.surface

    @property
    def credential(self) -> str:
        """What limits and key faults know the credential by."""
        return credential_name(self.head)

    @property
    def script_path(self) -> str:
        """The path for a script: that of the same request at Anthropic."""
        call = self._call
        operation = "" if isinstance(call, CloudError) else call.operation
        paths = {"messages": "/v1/messages", "count": "/v1/messages/count_tokens"}
        return paths.get(operation, self.head.path)

    @property
    def is_messages(self) -> bool:
        """Whether an answer of a model is asked for."""
        return self.script_path == "/v1/messages"

    @property
    def sends_retry_after(self) -> bool:
        """Whether a 429 says when to come back: neither AWS nor Google does."""
        return self.surface in (Surface.AZURE, Surface.CLAUDE_AWS)

    @property
    def is_framed(self) -> bool:
        """Whether streams are AWS event streams."""
        return self.surface is Surface.INVOKE

    @property
    def media(self) -> str:
        """The media type of a stream."""
        return event_stream.MEDIA_TYPE if self.is_framed else super().media

    @property
    def request_id(self) -> str:
        """The id of the request."""
        if self.surface is Surface.VERTEX:
            return f"req_vrtx_{self.serial}"
        return super().request_id

    @property
    def now(self) -> datetime.datetime:
        """The clock of the cloud."""
        return super().now + datetime.timedelta(seconds=self.skew_s)

    def render(self, event: content.Event) -> bytes:
        """Return an event as it is sent; b"": it is not sent here."""
        if not self.is_framed:
            return super().render(event)
        if event.name == "ping":
            return b""
        if event.name != "message_stop":
            return event_stream.chunk(event.data)
        plain = msgspec.json.decode(event.data, type=dict[str, Any])
        plain["amazon-bedrock-invocationMetrics"] = self._metrics()
        return event_stream.chunk(msgspec.json.encode(plain))

    def render_error(self, type: str, message: str) -> bytes:
        """Return an error in a stream."""
        if not self.is_framed:
            return super().render_error(type, message)
        name = _EXCEPTIONS.get(type, "modelStreamErrorException")
        return event_stream.exception(name, message)

    def reply_with(self, message: content.Message) -> Document | Stream:
        """Return a message as requested, with the ids of the cloud."""
        prefix = _ID_PREFIXES.get(self.surface)
        if prefix is not None:
            message = msgspec.structs.replace(message, id=prefix + self.serial)
        return super().reply_with(message)

    def error(self, status: int, message: str, headers: Headers) -> Document:
        """Return an error: of the gateway, where it has a name for the status."""
        name = gateway_name(self.surface, status)
        error = CloudError(message, name=name, status=status, headers=tuple(headers))
        return self.refuse(error)

    def refuse(self, error: RelayError) -> Document:
        """Return the response to a request that cannot be served."""
        if not isinstance(error, CloudError):
            name = gateway_name(self.surface, error.status)
            error = CloudError(error.message, name=name, status=error.status)
        headers = headers_of(self.surface, error)
        body = body_of(self.surface, error, streamed=is_stream_verb(self.head))
        if body is None:
            return super().error(error.status, error.message, list(headers))
        return Document(error.status, body, headers=headers)

    def _parse(self) -> MessagesRequest:
        if self._accepted is None:
            call = settle_surface(self._cloud, self._checked_call(), self.head, self.body)
            self._call = call
            self._accepted = read_messages(
                self._cloud, call, self.head, self.body, self.text(), self.now
            )
        return parse_request(self._accepted.body)

    def _checked_call(self) -> Call:
        if isinstance(self._call, CloudError):
            raise self._call
        return self._call

    def _other_reply(self) -> Document:
        if self.surface.is_google and is_metadata(self.head):
            return metadata(self.head, self._cloud.accepted)
        call = settle_surface(self._cloud, self._checked_call(), self.head, self.body)
        self._call = call
        if call.operation == "count" and call.surface is not Surface.RUNTIME:
            return self._count(call)
        region = authenticate(self._cloud, call, self.head, self.body, self.now) or REGION
        match call.operation:
            case "profiles":
                return Document(200, cloud_lists.profiles(region, self.head.target))
            case "profile":
                return Document(200, cloud_lists.profile(region, call.target))
            case "foundation_models":
                return Document(200, cloud_lists.foundation_models(region))
            case "models":
                return Document(200, msgspec.json.encode(page({})))
            case "count":  # bedrock-runtime has none, and says so with a success
                return Document(200, _UNSUPPORTED)
            case _:
                problem = "This action doesn't support the model that you provided."
                raise CloudError(problem, name="ValidationException")

    def _count(self, call: Call) -> Document:
        read = read_count(self._cloud, call, self.head, self.body, self.text(), self.now)
        usage = parse_request(read.body, counting=True).usage
        total = usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
        name = "inputTokens" if call.surface is Surface.INVOKE else "input_tokens"
        return Document(200, msgspec.json.encode({name: total}))

    def _identity(self, status: int) -> Headers:
        number = uuid.UUID(bytes=hashlib.sha256(self.serial.encode()).digest()[:16])
        aws = ("x-amzn-requestid", str(number))
        match self.surface:
            case Surface.INVOKE:
                return [aws, ("x-amzn-bedrock-content-type", "application/json")]
            case Surface.RUNTIME:
                return [aws]
            case Surface.MANTLE:
                return [aws, ("request-id", self.request_id)]
            case Surface.CLAUDE_AWS:
                return [aws, *super()._identity(status)]
            case Surface.AZURE:
                return [("request-id", self.request_id), ("apim-request-id", str(number))]
            case _:
                return [("request-id", self.request_id)]

    def _metrics(self) -> dict[str, int]:
        usage = self.request().usage
        metrics = {
            "inputTokenCount": usage.input,
            "outputTokenCount": self.output_tokens,
            "invocationLatency": 1234,
            "firstByteLatency": 321,
        }
        written = usage.cache_write_5m + usage.cache_write_1h
        if usage.cache_read or written:
            metrics |= {"cacheReadInputTokenCount": usage.cache_read}
            metrics |= {"cacheWriteInputTokenCount": written}
        return metrics
