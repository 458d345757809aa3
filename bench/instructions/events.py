"""`python -m bench.instructions.events`: what an event costs on its way through, and a signature.

An event is written to one end of the real connections of `_fast`, and read at the other, by another
process. Told is the CPU time of the relay's side, the loop's and the kernel's part included, and
the instructions of the upstream's connection alone, from read to write. Signatures are timed.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import uvloop

from bench.instructions.callgrind import counted
from ccrelay._fast.body import BodyLimits
from ccrelay._fast.conn import Reactor
from ccrelay._fast.downstream import ConnectionHandler, Downstream
from ccrelay._fast.eventstream import EventStreamDecoder, EventStreamEncoder
from ccrelay._fast.handlers import ConnectionPool, DownstreamLimits, UpstreamLimits
from ccrelay._fast.head_writer import Framing, RequestPlan
from ccrelay._fast.listener import Listener
from ccrelay._fast.taps import Expected
from ccrelay._fast.upstream import ExchangeHandler, Mode, Upstream
from ccrelay.wire.cloud_credential import AwsKeys
from ccrelay.wire.sigv4 import sign

BODY = b'{"model":"m","stream":true}'
REQUEST = b"POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n"
START = b'{"type":"message_start","message":{"usage":{"input_tokens":1}}}'
DELTA = (
    b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello world, "}}'
)
KINDS = {
    "sse": "events as they are",
    "frames": "AWS's frames to events",
    "encoded": "events to AWS's frames",
}
MEDIA_TYPES = (b"text/event-stream", b"application/vnd.amazon.eventstream")
COUNTS = (100, 500)  # events; the difference is without what a response costs once
VALGRIND = ("valgrind", "-q", "--tool=callgrind", "--toggle-collect=*4Conn_*_readable")
SIZES = (100_000, 1_000_000)
ROUNDS = 200
TIMED_COUNTS, TIMED_RUNS = (500, 5500), 7
RATIO_MAX = 1.5  # of CPU time
TIMEOUT_S = 120.0  # of one run, under valgrind


def sse(data: bytes) -> bytes:
    """An event as Anthropic writes it."""
    return b"event: %b\ndata: %b\n\n" % (json.loads(data)["type"].encode(), data)


def frame(data: bytes) -> bytes:
    """The same as Bedrock writes it, with its padding."""
    padding = "abcdefghijklmnopqrstuvwxyzABCDEF"
    payload = b'{"bytes":"%b","p":"%b"}' % (b64encode(data), padding.encode())
    fields = [
        (b":event-type", b"chunk"),
        (b":content-type", b"application/json"),
        (b":message-type", b"event"),
    ]
    headers = b"".join(
        bytes([len(name)]) + name + b"\x07\x00" + bytes([len(value)]) + value
        for name, value in fields
    )
    made = (16 + len(headers) + len(payload)).to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    made += zlib.crc32(made).to_bytes(4, "big") + headers + payload
    return made + zlib.crc32(made).to_bytes(4, "big")


def chunk(data: bytes) -> bytes:
    """A chunk of HTTP/1.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Passing(ExchangeHandler):
    """An exchange that lets one response through."""

    def __init__(self, kind: str, lost: asyncio.Future[None]) -> None:
        self._kind = kind
        self.lost = lost

    def on_head(self, upstream: Upstream) -> None:
        """See `ExchangeHandler`."""
        upstream.expect(int(Expected.A_MESSAGE))
        framing = Framing.KEEP if self._kind == "sse" else Framing.CHUNKED
        if self._kind == "frames":
            upstream.decode(EventStreamDecoder(), True)
        elif self._kind == "encoded":
            upstream.encode(EventStreamEncoder())
        upstream.forward(int(Mode.HOLD), int(framing), True)

    def on_lost(self, upstream: Upstream, reason: int) -> None:
        """See `ExchangeHandler`: the provider has closed."""
        self.lost.set_result(None)


class Accepting(ConnectionHandler):
    """Notes the one request that comes."""

    def __init__(self, ready: asyncio.Future[Downstream]) -> None:
        self.connections: set[Downstream] = set()
        self._ready = ready

    def on_request(self, down: Downstream) -> None:
        """See `ConnectionHandler`."""
        self._ready.set_result(down)

    def on_gone(self, down: Downstream) -> None:
        """See `ConnectionHandler`."""


def _limits() -> tuple[DownstreamLimits, UpstreamLimits]:
    body = BodyLimits(body_bytes_max=1 << 20, replay_bytes_max=1 << 24)
    times = dict.fromkeys(("head_s", "body_idle_s", "keepalive_s", "write_stall_s", "wait_s"), 60.0)
    down = DownstreamLimits(head_bytes_max=65_536, fields_max=100, body=body, **times)
    times = dict.fromkeys(("first_byte_s", "idle_s", "total_s", "pool_idle_s"), 600.0)
    return down, UpstreamLimits(event_bytes_max=65_536, **times)


class Sockets:
    """Both ends of a client's and of a provider's connection."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.client = socket.create_connection(self.server.getsockname())
        self.near, self.provider = socket.socketpair()

    def drive(self, kind: str, count: int) -> None:
        """Send a request, and answer it with `count` events, one at a time. Blocks."""
        self.near.close()
        self.client.sendall(REQUEST)
        self.provider.recv(1 << 16)
        make = frame if kind == "frames" else sse
        self.provider.sendall(HEAD % MEDIA_TYPES[kind == "frames"] + chunk(make(START)))
        event = chunk(make(DELTA))
        for _ in range(count):
            self.provider.sendall(event)
            self.client.recv(1 << 16)
        self.provider.close()


async def _relay(sockets: Sockets, kind: str) -> None:
    """The relay's part, until the provider closes."""
    loop = asyncio.get_running_loop()
    failures: list[BaseException] = []
    reactor = Reactor(loop, lambda error, _: failures.append(error))
    down_limits, up_limits = _limits()
    ready: asyncio.Future[Downstream] = loop.create_future()
    handler: Any = Accepting(ready)  # a `ConnectionHandler` with `connections`
    for one in (sockets.server, sockets.near):
        one.setblocking(False)
    listener = Listener(reactor, sockets.server.fileno(), handler, down_limits)
    listener.connections_max = 2
    listener.start()
    down: Any = await ready
    exchange = Passing(kind, loop.create_future())
    down.exchange = exchange
    upstream = Upstream(reactor, sockets.near.detach(), ConnectionPool(), up_limits)
    upstream.send_request(exchange, down, RequestPlan(prefix=b"", host=b"a", lines=[]))
    await exchange.lost
    listener.stop()
    reactor.stop()
    if failures:
        raise failures[0]


def run_beside_a_thread(kind: str, count: int) -> None:
    """Let a response through; callgrind counts the relay's part by its functions."""
    sockets = Sockets()
    near = sockets.near
    sockets.near = socket.socket(fileno=os.dup(near.fileno()))
    driver = threading.Thread(target=Sockets.drive, args=(sockets, kind, count), daemon=True)
    driver.start()
    relay = Sockets.__new__(Sockets)
    relay.server, relay.near = sockets.server, near
    uvloop.run(asyncio.wait_for(_relay(relay, kind), TIMEOUT_S))


def run_beside_a_process(kind: str, count: int) -> float:
    """The same; CPU seconds of the relay's part, the kernel's included."""
    sockets = Sockets()
    driver = os.fork()
    if driver == 0:
        sockets.drive(kind, count)
        os._exit(0)
    sockets.provider.close()
    sockets.client.close()
    begun = time.process_time()
    uvloop.run(asyncio.wait_for(_relay(sockets, kind), TIMEOUT_S))
    used = time.process_time() - begun
    os.waitpid(driver, 0)
    return used


def us_per_event(kind: str) -> float:
    """CPU time of the relay's part, microseconds; the best of some runs."""
    times = [
        [run_beside_a_process(kind, count) for count in TIMED_COUNTS] for _ in range(TIMED_RUNS)
    ]
    less, more = (min(one[at] for one in times) for at in (0, 1))
    per_event: float = (more - less) / (TIMED_COUNTS[1] - TIMED_COUNTS[0]) * 1e6
    return per_event


def instructions_per_event(kind: str) -> float:
    """Of the upstream's connection, counted by callgrind."""
    totals = []
    for count in COUNTS:
        with tempfile.TemporaryDirectory(prefix="ccrelay-bench-") as folder:
            file = Path(folder) / "out"
            command = [*VALGRIND, f"--callgrind-out-file={file}", sys.executable, "-m"]
            command += ["bench.instructions.events", "--pass", kind, str(count)]
            environment = {**os.environ, "PYTHONHASHSEED": "0"}
            subprocess.run(command, check=True, env=environment, timeout=2 * TIMEOUT_S)
            totals.append(counted(file))
    return (totals[1] - totals[0]) / (COUNTS[1] - COUNTS[0])


def signing_us(size: int) -> tuple[float, float]:
    """Best time of hashing a body of `size` bytes, and of signing with the hash, microseconds."""
    body, keys = b"x" * size, AwsKeys("AKIDEXAMPLE", "test-secret-1", "test-session-1")
    hashing = signing = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        body_hash = sha256(body).hexdigest()
        hashed = time.perf_counter()
        sign(
            keys,
            service="bedrock",
            region="us-east-1",
            method=b"POST",
            host=b"bedrock-runtime.us-east-1.amazonaws.com",
            path=b"/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke",
            lines=[(b"content-type", b"application/json"), (b"accept", b"application/json")],
            body_hash=body_hash,
            now_wall=1_800_000_000.0,
        )
        signed = time.perf_counter()
        hashing, signing = min(hashing, hashed - begun), min(signing, signed - hashed)
    return hashing * 1e6, signing * 1e6


def main() -> int:
    """Measure and print.

    Returns:
        0; 1 where an event of frames costs over `RATIO_MAX` of a plain one.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench.instructions.events", description=__doc__
    )
    parser.add_argument("--pass", dest="passed", nargs=2, metavar=("KIND", "COUNT"), help="one run")
    options = parser.parse_args()
    if options.passed:
        kind, count = options.passed
        run_beside_a_thread(kind, int(count))
        return 0
    for size in SIZES:
        hashing, signing = signing_us(size)
        print(
            f"a body of {size // 1000} KB: hashed in {hashing:.0f} us, signed in {signing:.0f} us"
        )
    times = {kind: us_per_event(kind) for kind in KINDS}
    counts = dict.fromkeys(KINDS, 0.0)
    if shutil.which("valgrind") is not None:
        counts = {kind: instructions_per_event(kind) for kind in KINDS}
    for kind, what in KINDS.items():
        print(
            f"{what}: {times[kind]:.2f} us of CPU time per event, {times[kind] / times['sse']:.2f} "
            f"of plain; {counts[kind]:,.0f} instructions of its connection"
        )
    return 0 if times["frames"] <= RATIO_MAX * times["sse"] else 1


if __name__ == "__main__":
    sys.exit(main())
