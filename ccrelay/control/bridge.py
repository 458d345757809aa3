"""gRPC-web over HTTP/1.1, for the servicers that grpc.aio serves, too. Unary and server streams."""

import asyncio
import contextlib
import time
from typing import Any

from grpc import StatusCode
from grpc.aio import UsageError

from ccrelay.control import frames
from ccrelay.control.authorise import Door
from ccrelay.control.calls import Calls
from ccrelay.control.connections import Connection
from ccrelay.control.errors import AbortError, Refused
from ccrelay.control.frames import Pairs
from ccrelay.control.http import BadRequest, Exchange, HttpRequest
from ccrelay.control.methods import Method
from ccrelay.control.sessions import Session
from ccrelay.control.web_context import WebContext

LAST_WORDS_S = 0.5
_TOO_LONG = 413
_LATE = "The deadline of the call has passed."
_STOPS = "The management plane stops: try again."
_SIGNED_OUT = "You have signed out: run `ccrelay open` to sign in."


def is_call(request: HttpRequest) -> bool:
    """Whether a request is a call of gRPC-web."""
    kind = request.header("content-type").partition(";")[0].strip().lower()
    return request.method == "POST" and kind in frames.CONTENT_TYPES


class WebCall:
    """One call.

    Args:
        exchange: with the head read.
        connection: that it came by.
        calls: what can be called.
    """

    def __init__(self, exchange: Exchange, connection: Connection, calls: Calls) -> None:
        self._exchange = exchange
        self._connection = connection
        self._calls = calls
        self._path = exchange.request.path
        self._method = calls.methods.get(self._path)
        self._code, self._message = StatusCode.OK, ""
        self._trailing: Pairs = ()
        self._last = b""  # the answer of a unary call, sent with the trailers
        self._session: Session | None = None  # of the page that calls

    async def serve(self) -> None:
        """Answer. Raises OSError where the connection breaks, CancelledError where the client goes.

        When it is cancelled for another reason, the client is told that the relay stops.
        """
        task = asyncio.current_task()
        assert task is not None
        self._exchange.stream.on_gone(task.cancel)
        try:
            await self._run()
        except asyncio.CancelledError:
            if self._exchange.stream.is_gone:
                raise
            self._fail(StatusCode.UNAVAILABLE, _STOPS)
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    await self._end()
            raise
        await self._end()
        self._exchange.stream.on_gone(None)

    async def _run(self) -> None:
        try:
            limit_s = self._limit_s()
            if limit_s is not None and limit_s <= 0:
                raise TimeoutError
            async with asyncio.timeout(limit_s):
                await self._answer(None if limit_s is None else time.monotonic() + limit_s)
        except AbortError:
            pass
        except TimeoutError:
            self._fail(StatusCode.DEADLINE_EXCEEDED, _LATE)
        except Refused as refused:
            self._fail(refused.code, refused.message)
        except BadRequest as error:
            is_long = error.status == _TOO_LONG
            code = StatusCode.RESOURCE_EXHAUSTED if is_long else StatusCode.INVALID_ARGUMENT
            self._fail(code, str(error))

    def _limit_s(self) -> float | None:
        text = self._exchange.request.header("grpc-timeout")
        return frames.timeout_s(text) if text else None

    async def _answer(self, deadline: float | None) -> None:
        request = self._exchange.request
        context = WebContext(
            frames.metadata_of(request.headers),
            _peer(self._connection.door),
            deadline,
            self._send_initial,
            self._write,
        )
        is_cancelled = True
        ended = None
        try:
            door = self._connection.door
            decision = await self._calls.check(door, self._path, request.headers, context)
            self._session = decision.session
            ended = self._connection.begin(self._path)
            await self._call(context)
            is_cancelled = False
        except (AbortError, Refused, BadRequest):
            is_cancelled = False
            raise
        finally:
            if ended is not None:
                ended(None)
            self._code, self._message = context._code, context.details()
            self._trailing = context.trailing_metadata()
            context.finish(is_cancelled=is_cancelled)

    async def _call(self, context: WebContext) -> None:
        method = self._method
        if method is None or method.takes_stream:
            message = "This method is served by gRPC over HTTP/2 only."
            raise Refused(StatusCode.UNIMPLEMENTED, message)
        if self._exchange.request.header("grpc-encoding") not in ("", "identity"):
            message = "Compressed messages are not supported: send grpc-encoding identity."
            raise Refused(StatusCode.UNIMPLEMENTED, message)
        data = frames.one_message(await self._exchange.body())
        if not method.gives_stream:
            answer = await self._calls.unary(method, data, context)
            self._last = frames.frame(answer)
            return
        await self._stream(method, data, context)

    async def _stream(self, method: Method, data: bytes, context: WebContext) -> None:
        answers = self._calls.stream(method, data, context)
        async with contextlib.aclosing(answers):
            async for answer in answers:
                await self._send(answer)

    # ---- what is sent

    async def _write(self, message: Any) -> None:
        assert self._method is not None
        await self._send(self._method.serialize(message))

    async def _send(self, data: bytes) -> None:
        self._check_session()
        self._begin([])
        await self._exchange.send(frames.frame(data))

    def _check_session(self) -> None:
        """A stream ends with its session, at the next answer."""
        sessions = self._connection.door.sessions
        if self._session is None or sessions is None or sessions.is_valid(self._session):
            return
        raise Refused(StatusCode.UNAUTHENTICATED, _SIGNED_OUT)

    async def _send_initial(self, metadata: list[tuple[str, str]]) -> None:
        if self._exchange.is_begun:
            raise UsageError("Initial metadata has been sent.")
        self._begin(metadata)
        await self._exchange.flush()

    def _begin(self, metadata: list[tuple[str, str]]) -> None:
        if not self._exchange.is_begun:
            self._exchange.begin(200, [("content-type", frames.CONTENT_TYPE), *metadata])

    async def _end(self) -> None:
        self._begin([])
        number = self._code.value[0]
        trailers = frames.trailers(number, self._message, self._trailing)
        await self._exchange.end(self._last + trailers)

    def _fail(self, code: StatusCode, message: str) -> None:
        self._code, self._message, self._last = code, message, b""


def _peer(door: Door) -> str:
    if door.is_unix:
        return "unix:"
    return f"ipv6:[{door.peer}]" if ":" in door.peer else f"ipv4:{door.peer}"
