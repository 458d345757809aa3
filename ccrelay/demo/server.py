"""The mock provider on a socket: executes plans, records requests.

    server = await start_demo(script=Script.parse("529,ok"))
    ...  # http://127.0.0.1:{server.port}
    await server.close()

Works on the standard event loop and on uvloop. One task per connection; the plans decide what to
send.
"""

import asyncio
import contextlib
import datetime
import secrets
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar, cast

import msgspec

from ccrelay.demo.cloud import Cloud
from ccrelay.demo.cloud_context import CloudContext
from ccrelay.demo.handler import RequestHandler
from ccrelay.demo.http1 import CONTINUE, ProtocolError, RequestHead, RequestParser
from ccrelay.demo.limits import Limiter, Quotas
from ccrelay.demo.plan import (
    Close,
    Plan,
    ReadBody,
    RequestContext,
    Wait,
    document_head,
    error_document,
)
from ccrelay.demo.prompt_cache import PromptCache
from ccrelay.demo.script import Script, ScriptRun, parse_call

REQUESTS_KEPT = 1000  # of `DemoServer.requests`
# Received from a pipelining client during a response; above it, reading pauses.
READ_AHEAD_BYTES = 1 << 20
GAP_MS = 8.0  # before each delta
LINGER_S = 1.0  # from our FIN to the close, which would reset a client that still sends
FLUSH_TIMEOUT_S = 30.0  # for the client to receive everything before a close or reset
WRITES_PER_TURN = 64  # writes before the task yields to the event loop
# SO_RCVBUF while reading slowly. With a smaller one loopback, whose segments are 64 KB, waits for
# the persist timer of the sender.
SLOW_BUFFER_BYTES = 1 << 18

T = TypeVar("T")


class Recorded(msgspec.Struct, kw_only=True):
    """A received request and its outcome."""

    number: int  # 1, 2, 3 ... per server
    connection: int  # number of its connection
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""  # kept only when the server was started with record=True
    body_bytes: int = 0
    fault: str = "ok"
    outcome: str = ""  # "" while it runs, then "answered", "cut" (by us), "left" (by the client)


class DemoServer:
    """A running mock provider; created by `start_demo`."""

    def __init__(
        self,
        script: Script,
        *,
        gap_ms: float,
        record: bool,
        on_finished: Callable[[Recorded], None] | None,
        quotas: Quotas,
        cloud: Cloud | None = None,
    ) -> None:
        self.requests: deque[Recorded] = deque(maxlen=REQUESTS_KEPT)
        self.connections = 0  # accepted so far
        self.host = ""
        self.port = 0
        self.cloud = cloud  # may be replaced: new credentials, a clock that is set
        # The wall clock: fixed windows are minutes of it, and the reset headers show it.
        self.limiter = Limiter(quotas, time.time)
        self._cache = PromptCache(time.monotonic)
        self._run = ScriptRun(script)
        self._gap_s = gap_ms / 1000
        self._record = record
        self._on_finished = on_finished
        self._number = 0
        self._salt = secrets.token_hex(4)  # ids must differ between two servers
        self._open: set[_Connection] = set()
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The base URL of the server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def open_connections(self) -> int:
        """The number of open connections."""
        return len(self._open)

    def set_fault(self, fault: str, *, key: str | None = None) -> None:
        """Set the fault of all later requests, or of those whose credential ends with `key`.

        `ok` removes it.

        Raises:
            BadRequest: unknown fault or option.
        """
        self._run.set_fault(parse_call(fault), key=key)

    async def listen(self, host: str, port: int) -> None:
        """Bind and accept. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: _Connection(self), host, port)
        self.host, self.port = self._listener.sockets[0].getsockname()[:2]

    async def close(self) -> None:
        """Stop listening and abort open connections."""
        if self._listener is not None:
            self._listener.close()
        tasks = [connection.abort() for connection in tuple(self._open)]
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            await self._listener.wait_closed()

    def add_connection(self, connection: "_Connection") -> int:
        """Register a connection and return its number."""
        self._open.add(connection)
        self.connections += 1
        return self.connections

    def remove_connection(self, connection: "_Connection") -> None:
        """Unregister a connection."""
        self._open.discard(connection)

    def start_request(
        self, head: RequestHead, connection: int
    ) -> tuple[RequestContext, RequestHandler, Recorded]:
        """Record a request, and create its context and handler."""
        self._number += 1
        serial, now = f"{self._salt}{self._number:06d}", datetime.datetime.now(datetime.UTC)
        context: RequestContext
        if self.cloud is None:
            context = RequestContext(
                head, serial=serial, now=now, gap_s=self._gap_s, cache=self._cache
            )
        else:
            context = CloudContext(
                head,
                serial=serial,
                now=now,
                gap_s=self._gap_s,
                cache=self._cache,
                cloud=self.cloud,
            )
        recorded = Recorded(
            number=self._number,
            connection=connection,
            method=head.method,
            target=head.target,
            headers=head.headers,
        )
        self.requests.append(recorded)
        return context, RequestHandler(context, self._run, self.limiter), recorded

    def record_body(self, recorded: Recorded, body: bytes) -> None:
        """Record the body of a request, or only its length."""
        recorded.body_bytes = len(body)
        if self._record:
            recorded.body = body

    def finish_request(self, recorded: Recorded, outcome: str) -> None:
        """Record the outcome of a request; only the first call counts."""
        if recorded.outcome:
            return
        recorded.outcome = outcome
        if self._on_finished is not None:
            self._on_finished(recorded)


async def start_demo(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    script: Script | None = None,
    gap_ms: float = GAP_MS,
    record: bool = False,
    on_finished: Callable[[Recorded], None] | None = None,
    quotas: Quotas | None = None,
    cloud: Cloud | None = None,
) -> DemoServer:
    """Start a mock provider.

    Args:
        host: address to listen on; it does not authenticate clients, so keep it on loopback.
        port: 0 binds a free one, see `DemoServer.port`.
        script: which requests get which fault; none by default.
        gap_ms: milliseconds before each delta of a stream; `demo:gap_ms=` in a prompt wins.
        record: keep request bodies in `DemoServer.requests`.
        on_finished: called with each request when its outcome is known.
        quotas: rate limits of each credential; `DemoServer.limiter` has the ledger.
        cloud: the cloud to play, with its credentials; None: Anthropic, any credential.

    Raises:
        OSError: the address cannot be bound.
    """
    server = DemoServer(
        script or Script(),
        gap_ms=gap_ms,
        record=record,
        on_finished=on_finished,
        quotas=quotas or Quotas(),
        cloud=cloud,
    )
    await server.listen(host, port)
    return server


class _Connection(asyncio.Protocol):
    def __init__(self, server: DemoServer) -> None:
        self._server = server
        self._reader = RequestParser()
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None]
        self._number = 0
        self._data_arrived = asyncio.Event()  # bytes were received
        self._writable = asyncio.Event()
        self._writable.set()
        self._is_reading = False  # the task waits for bytes: do not pause reading
        self._discard = False  # ignore received bytes
        self._writes = 0

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport, but do not inherit from it.
        self._transport = cast(asyncio.Transport, transport)
        self._number = self._server.add_connection(self)
        # The server references the connection, which references the task, until it is lost.
        self._task = asyncio.get_running_loop().create_task(self._serve())
        self._task.add_done_callback(self._report)

    def data_received(self, data: bytes) -> None:
        if self._discard:
            return
        self._reader.feed(data)
        self._data_arrived.set()
        if not self._is_reading and len(self._reader) > READ_AHEAD_BYTES:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.remove_connection(self)
        self._task.cancel()

    # The task

    def abort(self) -> "asyncio.Task[None]":
        """Abort the connection; returns the task, which ends soon."""
        self._transport.abort()
        self._task.cancel()
        return self._task

    def _report(self, task: "asyncio.Task[None]") -> None:
        self._transport.abort()
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "The mock provider failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    async def _serve(self) -> None:
        try:
            while await self._handle_request():
                pass
        except ProtocolError as error:
            await self._send_error(error)
        await self._linger()

    async def _handle_request(self) -> bool:
        """Handle one request; True when the connection stays open for the next."""
        head = await self._next(self._reader.next_head)
        context, handler, recorded = self._server.start_request(head, self._number)
        outcome = "left"
        try:
            close = await self._execute(handler.steps(), context, recorded)
            outcome = "answered" if close is None else "cut"
        except ProtocolError:
            outcome = "answered"  # by the error response that follows
            raise
        finally:
            recorded.fault = handler.fault
            self._server.finish_request(recorded, outcome)
        if close is Close.RST:
            await self._reset()
        return close is None and head.keep_alive

    async def _execute(
        self, plan: Plan, context: RequestContext, recorded: Recorded
    ) -> Close | None:
        with contextlib.closing(plan):
            for step in plan:
                match step:
                    case bytes():
                        await self._write(step)
                    case Wait():
                        await asyncio.sleep(step.seconds)
                    case ReadBody():
                        context.body = await self._read_body(context.head, step.bytes_per_s)
                        self._server.record_body(recorded, context.body)
                    case Close():
                        return step
        return None

    async def _next(self, next_item: Callable[[], T | None]) -> T:
        while (received := next_item()) is None:
            await self._wait_for_data()
        return received

    async def _wait_for_data(self) -> None:
        self._data_arrived.clear()
        self._is_reading = True
        self._transport.resume_reading()
        try:
            await self._data_arrived.wait()
        finally:
            self._is_reading = False

    async def _read_body(self, head: RequestHead, bytes_per_s: float | None) -> bytes:
        body = self._reader.next_body()
        if body is None and head.expects_continue:
            await self._write(CONTINUE)
        if bytes_per_s is not None:
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
        while body is None:
            before = self._reader.received
            await self._wait_for_data()
            if bytes_per_s is not None:
                self._transport.pause_reading()
                await asyncio.sleep((self._reader.received - before) / bytes_per_s)
            body = self._reader.next_body()
        return body

    async def _write(self, data: bytes) -> None:
        self._transport.write(data)
        self._writes += 1
        if self._writes % WRITES_PER_TURN == 0:
            await asyncio.sleep(0)
        await self._writable.wait()

    async def _send_error(self, error: ProtocolError) -> None:
        head = RequestHead("GET", "/", 1, [("connection", "close")])
        now = datetime.datetime.now(datetime.UTC)
        context = RequestContext(head, serial="0", now=now, gap_s=0.0)
        reply = error_document(context, error.status, error.message)
        await self._write(document_head(context, reply) + reply.body)

    async def _reset(self) -> None:
        """Flush, then reset the connection."""
        await self._flush()
        # l_onoff=1, l_linger=0: close(2) sends RST instead of FIN (socket(7)).
        self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    async def _linger(self) -> None:
        """Close with a lingering close: RFC 9112 section 9.6."""
        if self._transport.is_closing():
            return
        self._discard = True
        self._transport.resume_reading()
        await self._flush()
        self._transport.write_eof()
        await asyncio.sleep(LINGER_S)  # cancelled when the client closes

    async def _flush(self) -> None:
        # uvloop writes at the end of a loop iteration, and abort drops the write buffer.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                await asyncio.sleep(0)
                self._transport.set_write_buffer_limits(high=0)
                await self._writable.wait()

    def _socket(self) -> socket.socket:
        found: socket.socket = self._transport.get_extra_info("socket")
        return found
