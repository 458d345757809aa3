"""The demo provider on a socket: performs the plans, keeps a record of what came in.

    server = await start_demo(script=Script.parse("529,ok"))
    ...  # http://127.0.0.1:{server.port}
    await server.close()

Works on the standard event loop and on uvloop. One task per connection; nothing here decides what
to answer.
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

from ccrelay.demo.conduct import Conducted
from ccrelay.demo.limits import Limiter, Quotas
from ccrelay.demo.plan import Cut, Plan, ReadBody, Scene, Wait, document_head, error_document
from ccrelay.demo.prompt_cache import PromptCache
from ccrelay.demo.script import Script, ScriptRun, parse_call
from ccrelay.demo.wire import CONTINUE, RequestHead, RequestReader, WireError

REQUESTS_KEPT = 1000  # of `DemoServer.requests`
READ_AHEAD_BYTES = (
    1 << 20
)  # taken from a client that pipelines while we answer; then reading pauses
GAP_MS = 8.0  # before each delta: looks alive, delays nobody
LINGER_S = 1.0  # for the client to see our FIN before its late bytes meet a reset
FLUSH_S = 30.0  # for a client to take what was sent before we close or reset
TURN_WRITES = 64  # writes without a wait, before others get their turn
# Of the kernel, while reading slowly on purpose. With smaller ones loopback, whose segments are
# 64 KB, waits for the sender's persist timer.
SLOW_BUFFER_BYTES = 1 << 18

T = TypeVar("T")


class Recorded(msgspec.Struct, kw_only=True):
    """A request that came in, and what became of it."""

    number: int  # 1, 2, 3 ... per server
    connection: int  # likewise: equal numbers shared a connection
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""  # kept only when the server was started with record=True
    body_bytes: int = 0
    fault: str = "ok"
    outcome: str = ""  # "" while under way, then "answered", "cut" (by us), "left" (by the client)


class DemoServer:
    """A running demo provider. Made by `start_demo`."""

    def __init__(
        self,
        script: Script,
        *,
        gap_ms: float,
        record: bool,
        on_settled: Callable[[Recorded], None] | None,
        quotas: Quotas,
    ) -> None:
        self.requests: deque[Recorded] = deque(maxlen=REQUESTS_KEPT)
        self.connections = 0  # accepted so far
        self.host = ""
        self.port = 0
        # By the wall clock: a fixed window is a minute of it, and resets are told in it.
        self.limiter = Limiter(quotas, time.time)
        self._cache = PromptCache(time.monotonic)
        self._run = ScriptRun(script)
        self._gap_s = gap_ms / 1000
        self._record = record
        self._on_settled = on_settled
        self._number = 0
        self._salt = secrets.token_hex(4)  # two demos must not give out the same message ids
        self._open: set[_Connection] = set()
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The base URL of the server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    def set_fault(self, fault: str, *, key: str | None = None) -> None:
        """Let a fault hit every later request, or those whose credential ends with `key`.

        Raises:
            BadRequest: there is no such fault. `ok` ends it.
        """
        self._run.use(parse_call(fault), key=key)

    async def listen(self, host: str, port: int) -> None:
        """Bind and accept. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: _Connection(self), host, port)
        self.host, self.port = self._listener.sockets[0].getsockname()[:2]

    async def close(self) -> None:
        """Stop listening and reset what is open."""
        if self._listener is not None:
            self._listener.close()
        tasks = [connection.abort() for connection in tuple(self._open)]
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            await self._listener.wait_closed()

    def opened(self, connection: "_Connection") -> int:
        """Note a connection and return its number."""
        self._open.add(connection)
        self.connections += 1
        return self.connections

    def closed(self, connection: "_Connection") -> None:
        """Forget a connection."""
        self._open.discard(connection)

    def begin(self, head: RequestHead, connection: int) -> tuple[Scene, Conducted, Recorded]:
        """Note a request and return what is needed to answer it."""
        self._number += 1
        scene = Scene(
            head,
            serial=f"{self._salt}{self._number:06d}",
            now=datetime.datetime.now(datetime.UTC),
            gap_s=self._gap_s,
            cache=self._cache,
        )
        recorded = Recorded(
            number=self._number,
            connection=connection,
            method=head.method,
            target=head.target,
            headers=head.headers,
        )
        self.requests.append(recorded)
        return scene, Conducted(scene, self._run, self.limiter), recorded

    def note_body(self, recorded: Recorded, body: bytes) -> None:
        """Note the body of a request, or only its length."""
        recorded.body_bytes = len(body)
        if self._record:
            recorded.body = body

    def settled(self, recorded: Recorded, outcome: str) -> None:
        """Note how a request ended; the first word counts."""
        if recorded.outcome:
            return
        recorded.outcome = outcome
        if self._on_settled is not None:
            self._on_settled(recorded)


async def start_demo(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    script: Script | None = None,
    gap_ms: float = GAP_MS,
    record: bool = False,
    on_settled: Callable[[Recorded], None] | None = None,
    quotas: Quotas | None = None,
) -> DemoServer:
    """Start a demo provider.

    Args:
        host: where to listen; loopback unless you know why not, it asks nobody for a credential.
        port: 0 takes a free one, see `DemoServer.port`.
        script: faults by order of requests; none by default.
        gap_ms: milliseconds before each delta of a stream; `demo:gap_ms=` in a prompt wins.
        record: keep request bodies in `DemoServer.requests`.
        on_settled: called with each request once it is answered, cut or left.
        quotas: what each credential may do; see `DemoServer.limiter` for what it did.

    Raises:
        OSError: the address cannot be bound.
    """
    server = DemoServer(
        script or Script(),
        gap_ms=gap_ms,
        record=record,
        on_settled=on_settled,
        quotas=quotas or Quotas(),
    )
    await server.listen(host, port)
    return server


class _Connection(asyncio.Protocol):
    def __init__(self, server: DemoServer) -> None:
        self._server = server
        self._reader = RequestReader()
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None]
        self._number = 0
        self._news = asyncio.Event()  # bytes came
        self._writable = asyncio.Event()
        self._writable.set()
        self._reads = False  # the task waits for bytes, however many
        self._discards = False  # nothing that comes matters any more
        self._writes = 0

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do everything an asyncio.Transport does without being one.
        self._transport = cast(asyncio.Transport, transport)
        self._number = self._server.opened(self)
        # Referenced here, and we by the server, until the connection is lost.
        self._task = asyncio.get_running_loop().create_task(self._serve())
        self._task.add_done_callback(self._report)

    def data_received(self, data: bytes) -> None:
        if self._discards:
            return
        self._reader.feed(data)
        self._news.set()
        if not self._reads and len(self._reader) > READ_AHEAD_BYTES:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.closed(self)
        self._task.cancel()

    # The conversation

    def abort(self) -> "asyncio.Task[None]":
        """Drop the connection; the task returned ends soon."""
        self._transport.abort()
        self._task.cancel()
        return self._task

    def _report(self, task: "asyncio.Task[None]") -> None:
        self._transport.abort()
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "The demo provider failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    async def _serve(self) -> None:
        try:
            while await self._exchange():
                pass
        except WireError as error:
            await self._refuse(error)
        await self._finish()

    async def _exchange(self) -> bool:
        """Answer one request; True when another may follow on this connection."""
        head = await self._next(self._reader.next_head)
        scene, conducted, recorded = self._server.begin(head, self._number)
        outcome = "left"
        try:
            cut = await self._perform(conducted.steps(), scene, recorded)
            outcome = "answered" if cut is None else "cut"
        except WireError:
            outcome = "answered"  # by the refusal that follows
            raise
        finally:
            recorded.fault = conducted.fault
            self._server.settled(recorded, outcome)
        if cut is Cut.RST:
            await self._reset()
        return cut is None and head.keep_alive

    async def _perform(self, plan: Plan, scene: Scene, recorded: Recorded) -> Cut | None:
        with contextlib.closing(plan):
            for step in plan:
                match step:
                    case bytes():
                        await self._write(step)
                    case Wait():
                        await asyncio.sleep(step.seconds)
                    case ReadBody():
                        scene.body = await self._read_body(scene.head, step.bytes_per_s)
                        self._server.note_body(recorded, scene.body)
                    case Cut():
                        return step
        return None

    async def _next(self, take: Callable[[], T | None]) -> T:
        while (taken := take()) is None:
            await self._more()
        return taken

    async def _more(self) -> None:
        self._news.clear()
        self._reads = True
        self._transport.resume_reading()
        try:
            await self._news.wait()
        finally:
            self._reads = False

    async def _read_body(self, head: RequestHead, bytes_per_s: float | None) -> bytes:
        body = self._reader.next_body()
        if body is None and head.expects_continue:
            await self._write(CONTINUE)
        if bytes_per_s is not None:
            self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER_BYTES)
        while body is None:
            before = self._reader.taken
            await self._more()
            if bytes_per_s is not None:
                self._transport.pause_reading()
                await asyncio.sleep((self._reader.taken - before) / bytes_per_s)
            body = self._reader.next_body()
        return body

    async def _write(self, data: bytes) -> None:
        self._transport.write(data)
        self._writes += 1
        if self._writes % TURN_WRITES == 0:
            await asyncio.sleep(0)
        await self._writable.wait()

    async def _refuse(self, error: WireError) -> None:
        head = RequestHead("GET", "/", 1, [("connection", "close")])
        now = datetime.datetime.now(datetime.UTC)
        scene = Scene(head, serial="0", now=now, gap_s=0.0)
        reply = error_document(scene, error.status, error.message)
        await self._write(document_head(scene, reply) + reply.body)

    async def _reset(self) -> None:
        """Reset the connection, after what was sent has left."""
        await self._flush()
        # l_onoff=1, l_linger=0: close(2) sends RST instead of FIN (socket(7)).
        self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    async def _finish(self) -> None:
        """Close, but not before the client had time to read: RFC 9112 section 9.6."""
        if self._transport.is_closing():
            return
        self._discards = True
        self._transport.resume_reading()
        await self._flush()
        self._transport.write_eof()
        await asyncio.sleep(LINGER_S)  # cut short when the client closes too

    async def _flush(self) -> None:
        # uvloop writes at the end of a turn, and both loops drop on abort what they still hold.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await asyncio.sleep(0)
                self._transport.set_write_buffer_limits(high=0)
                await self._writable.wait()

    def _socket(self) -> socket.socket:
        found: socket.socket = self._transport.get_extra_info("socket")
        return found
