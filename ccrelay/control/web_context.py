"""What a servicer sees of a gRPC-web call: what it may use of `grpc.aio.ServicerContext`."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
from grpc import StatusCode

from ccrelay.control.errors import AbortError
from ccrelay.control.frames import Pairs, header_lines


class WebContext:
    """The context of one call. Methods are those of grpc.aio, and do the same.

    Args:
        metadata: of the request, without credentials.
        peer: as grpc writes addresses: `ipv4:127.0.0.1:5000`, `unix:`.
        deadline: of `time.monotonic`; None: there is none.
        send_headers: sends the head of the response with these lines.
        send_message: sends an answer of the servicer.
    """

    def __init__(
        self,
        metadata: Pairs,
        peer: str,
        deadline: float | None,
        send_headers: Callable[[list[tuple[str, str]]], Awaitable[None]],
        send_message: Callable[[Any], Awaitable[None]],
    ) -> None:
        self._metadata = tuple(metadata)
        self._peer = peer
        self._deadline = deadline
        self._send_headers = send_headers
        self._send_message = send_message
        self._code = StatusCode.OK
        self._details = ""
        self._trailing: Pairs = ()
        self._callbacks: list[Callable[[Any], None]] = []
        self._is_done = self._is_cancelled = False

    # ---- for servicers

    def invocation_metadata(self) -> Pairs:
        """Return the metadata of the request."""
        return self._metadata

    def peer(self) -> str:
        """Return the address of the client."""
        return self._peer

    def time_remaining(self) -> float | None:
        """Return the seconds to the deadline; None: there is none."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    async def send_initial_metadata(self, metadata: Pairs) -> None:
        """Send the head of the response. Raises where it has been sent."""
        await self._send_headers(header_lines(metadata))

    def set_trailing_metadata(self, metadata: Pairs) -> None:
        """Set what the response ends with."""
        header_lines(metadata)  # refuses what cannot be sent, now
        self._trailing = tuple(metadata)

    def trailing_metadata(self) -> Pairs:
        """Return what the response ends with."""
        return self._trailing

    def set_code(self, code: StatusCode) -> None:
        """Set the status of the call."""
        self._code = code

    def set_details(self, details: str) -> None:
        """Set the message of the status."""
        self._details = details

    def code(self) -> Any:
        """Return the number of the status, as grpc.aio does."""
        return self._code.value[0]

    def details(self) -> str:
        """Return the message of the status."""
        return self._details

    async def abort(
        self, code: StatusCode, details: str = "", trailing_metadata: Pairs = ()
    ) -> NoReturn:
        """End the call with an error; raises, always."""
        if self._is_done:
            raise grpc.aio.UsageError("The call is over.")
        self._code = StatusCode.UNKNOWN if code is StatusCode.OK else code
        self._details = details
        if trailing_metadata:
            self.set_trailing_metadata(trailing_metadata)
        raise AbortError

    async def abort_with_status(self, status: Any) -> NoReturn:
        """End the call with a `grpc.Status`; raises, always."""
        await self.abort(status.code, status.details or "", status.trailing_metadata or ())

    async def write(self, message: Any) -> None:
        """Send an answer of a stream, once the client has read enough of those before."""
        await self._send_message(message)

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call this with the context when the call is over, however it ends."""
        self._callbacks.append(callback)

    def cancelled(self) -> bool:
        """Whether the client went, or the deadline passed, before the end."""
        return self._is_cancelled

    def done(self) -> bool:
        """Whether the call is over."""
        return self._is_done

    def auth_context(self) -> dict[str, Any]:
        """Return nothing: who calls is settled before a servicer is asked."""
        return {}

    def peer_identities(self) -> None:
        """Return None, as for every connection without a client certificate."""

    def peer_identity_key(self) -> None:
        """Return None, as for every connection without a client certificate."""

    def set_compression(self, compression: object) -> None:
        """Do nothing: answers are not compressed."""

    def disable_next_message_compression(self) -> None:
        """Do nothing: answers are not compressed."""

    # ---- for the bridge

    def finish(self, *, is_cancelled: bool = False) -> None:
        """End the call, and tell those who want to know. May be called again."""
        if self._is_done:
            return
        self._is_done, self._is_cancelled = True, is_cancelled
        for callback in self._callbacks:
            callback(self)
