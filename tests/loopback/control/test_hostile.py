"""What clients should not send, and how they should not behave."""

import contextlib
import random
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from ccrelay.control import http as control_http, server as control_server, streams
from ccrelay.control.connections import CONNECTIONS_MAX
from ccrelay.control.h2_authority import PREFACE
from ccrelay.v1 import relay_pb2
from tests.loopback.control.callers import RIGHT, Native, Web, result_of
from tests.loopback.control.harness import TOKEN, Raw, Served, serve

GET = "/ccrelay.v1.Relay/GetStatus"
WATCH = "/ccrelay.v1.Relay/WatchStatus"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
DOORS = pytest.mark.parametrize("unix", [True, False], ids=["unix", "tcp"])
EMPTY = b"\0\0\0\0\0"


async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
    for number in range(100_000):
        status = relay_pb2.Status(rules=number, version="x" * 10_000)
        yield relay_pb2.WatchStatusResponse(status=status)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serve(tmp_path, {"Relay/WatchStatus": watch}) as served:
        yield served
        assert_alive(served)
        assert served.failures() == []


def assert_alive(served: Served) -> None:
    for protocol in (Native, Web):
        for unix in (True, False):
            with protocol(served, unix=unix) as caller:
                assert caller.call(GET, b"", RIGHT).code == "OK"


def no_connections(served: Served, limit_s: float = 5) -> None:
    ends_at = time.monotonic() + limit_s
    while served.connections():
        assert time.monotonic() < ends_at, served.connections()
        time.sleep(0.02)


def post(path: str, body: bytes, *lines: str, length: int | None = None) -> bytes:
    head = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/grpc-web+proto",
        f"Content-Length: {len(body) if length is None else length}",
        f"Authorization: Bearer {TOKEN}",
        *lines,
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:80]
    return int(answer[9:12])


def web_result(answer: bytes) -> Any:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.lower()
    data = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        data, body = data + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return result_of(data)


# ---- heads


@DOORS
@pytest.mark.parametrize("head", [b"", b"G", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
def test_half_a_head_and_an_end(served: Served, unix: bool, head: bytes) -> None:
    with Raw(served, unix=unix) as raw:
        raw.send(head)
        raw.sock.shutdown(socket.SHUT_WR)
        answer = raw.all()
        assert answer == b"" or status_of(answer) == 400
    no_connections(served)


@DOORS
@pytest.mark.parametrize("head", [b"", b"G", b"PRI", b"GET /healthz HTTP/1.1\r\nHost: x\r\nA:"])
def test_half_a_head_and_no_end(
    served: Served, unix: bool, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_http, "HEAD_S", 0.3)
    monkeypatch.setattr(control_server, "FIRST_BYTE_S", 0.3)
    with Raw(served, unix=unix) as raw:
        raw.send(head)
        answer = raw.all()
        assert answer == b"" or status_of(answer) == 408
    no_connections(served)


def test_slowloris(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_http, "HEAD_S", 0.5)
    with Raw(served) as raw:
        raw.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
        began = time.monotonic()
        with contextlib.suppress(OSError):  # reset, or a broken pipe
            for number in range(200):
                raw.send(f"x-{number}: 1\r\n".encode())
                time.sleep(0.05)
        assert time.monotonic() - began < 5
    no_connections(served)


def test_a_keep_alive_that_is_idle_is_closed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_http, "IDLE_S", 0.3)
    with Raw(served) as raw:
        raw.send(HEALTH)
        answer = raw.all()
        assert status_of(answer) == 200
        assert answer.count(b"HTTP/1.1") == 1


@DOORS
@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000,
        b"GET /" + b"a" * 100_000,
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 20_000,
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 17_000 + b"\r\n\r\n",
    ],
    ids=["line", "target", "lines", "whole"],
)
def test_a_huge_head(served: Served, unix: bool, head: bytes) -> None:
    with Raw(served, unix=unix) as raw:
        try:
            raw.send(head)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = raw.all()
    assert status_of(answer) in (400, 431)
    no_connections(served)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1, 2\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET /heal\0thz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
    ],
)
def test_what_is_no_request_is_refused(served: Served, request_bytes: bytes) -> None:
    with Raw(served) as raw:
        raw.send(request_bytes)
        answer = raw.all()
    assert status_of(answer) in (400, 403, 431, 501, 505)
    assert b"Traceback" not in answer
    no_connections(served)


@DOORS
def test_random_bytes(served: Served, unix: bool) -> None:
    chance = random.Random(12)
    for number in range(60):
        data = chance.randbytes(chance.randrange(1, 3000))
        if number % 3 == 0:
            data = PREFACE + data
        elif number % 3 == 1:
            data = PREFACE[: chance.randrange(len(PREFACE))] + data
        with Raw(served, unix=unix) as raw:
            try:
                raw.send(data)
                raw.sock.shutdown(socket.SHUT_WR)
                raw.all()
            except OSError:
                pass
    no_connections(served)


# ---- bodies


def test_a_body_over_the_cap_is_not_read(served: Served) -> None:
    with Raw(served) as raw:
        raw.send(post(GET, b"", length=1 << 40))
        result = web_result(raw.all())
        assert result.code == "RESOURCE_EXHAUSTED"
    with Raw(served) as raw:
        raw.send(HEALTH.replace(b"\r\n\r\n", b"\r\nContent-Length: 9999999999\r\n\r\n"))
        assert status_of(raw.all()) == 413
    no_connections(served)


def test_a_chunked_body_over_the_cap_is_cut(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LINGER_S", 0.2)
    head = post(GET, b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with Raw(served) as raw:
        raw.send(head)
        sent = 0
        try:
            for _ in range(1000):
                raw.send(chunk)
                sent += 1
        except OSError:
            pass
        assert sent < 1000
    no_connections(served)


@pytest.mark.parametrize("kind", ["application/grpc-web+proto", "text/plain"])
def test_a_caller_who_has_shown_nothing_may_send_little(served: Served, kind: str) -> None:
    size = control_http.OPEN_BODY_MAX + 1
    for path in ("/grpc.health.v1.Health/Check", "/healthz", "/session", "/"):
        for head in (
            post(path, b"", length=size),
            post(path, b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"),
        ):
            lines = [b"X-Ccrelay-Page: 1", b"Content-Type: " + kind.encode()]
            head = head.replace(b"Content-Type: application/grpc-web+proto", b"\r\n".join(lines))
            with Raw(served) as raw:
                raw.send(head + (b"%x\r\n" % size + b"x" * size if b"chunked" in head else b""))
                answer = raw.all()
                if status_of(answer) != 413:
                    is_method = path.startswith("/grpc")
                    expected = "RESOURCE_EXHAUSTED" if is_method else "UNIMPLEMENTED"
                    assert web_result(answer).code == expected
    no_connections(served)


def test_a_body_that_stalls_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_http, "BODY_S", 0.3)
    monkeypatch.setattr(streams, "LINGER_S", 0.1)
    with Raw(served) as raw:
        raw.send(post(GET, b"\0", length=50))
        assert web_result(raw.all()).code == "INVALID_ARGUMENT"
    no_connections(served)


def test_a_refused_caller_need_not_send_its_body(served: Served) -> None:
    data = post(GET, b"", length=1_000_000).replace(TOKEN.encode(), b"")
    with Raw(served) as raw:
        raw.send(data)
        answer = raw.all()
        assert web_result(answer).code == "UNAUTHENTICATED"
        assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "INVALID_ARGUMENT"),
        (b"\0\0\0", "INVALID_ARGUMENT"),
        (b"\0\0\0\0\5abc", "INVALID_ARGUMENT"),
        (b"\0\xff\xff\xff\xff", "INVALID_ARGUMENT"),
        (b"\1\0\0\0\0", "UNIMPLEMENTED"),
        (b"\x80\0\0\0\0", "INVALID_ARGUMENT"),
        (b"\2\0\0\0\0", "INVALID_ARGUMENT"),
        (EMPTY + EMPTY, "UNIMPLEMENTED"),
        (EMPTY + b"\x80\0\0\0\0", "OK"),
        (b"<html>", "INVALID_ARGUMENT"),
    ],
)
def test_frames_of_requests(served: Served, body: bytes, code: str) -> None:
    with Raw(served) as raw:
        raw.send(post(GET, body, "Connection: close"))
        assert web_result(raw.all()).code == code


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("grpc-timeout: 1x", "INVALID_ARGUMENT"),
        ("grpc-timeout: 123456789m", "INVALID_ARGUMENT"),
        ("grpc-timeout: -1S", "INVALID_ARGUMENT"),
        ("grpc-timeout: 0n", "DEADLINE_EXCEEDED"),
        ("grpc-timeout: 99999999H", "OK"),
        ("grpc-encoding: gzip", "UNIMPLEMENTED"),
        ("grpc-encoding: identity", "OK"),
        ("x-bin: %%%", "INVALID_ARGUMENT"),
        ("Expect: 100-continue", "OK"),
    ],
)
def test_headers_of_requests(served: Served, line: str, code: str) -> None:
    with Raw(served) as raw:
        raw.send(post(GET, EMPTY, line, "Connection: close"))
        answer = raw.all().removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert web_result(answer).code == code


@pytest.mark.parametrize(
    "kind", ["application/grpc", "application/grpc-web-text", "application/json", "text/plain"]
)
def test_other_content_types_are_no_calls(served: Served, kind: str) -> None:
    data = post(GET, EMPTY).replace(b"application/grpc-web+proto", kind.encode())
    with Raw(served) as raw:
        raw.send(data.replace(b"Host", b"Connection: close\r\nHost"))
        assert status_of(raw.all()) == 415


# ---- pace


def test_the_preface_in_pieces(served: Served) -> None:
    """Byte by byte, and then a whole HTTP/2 conversation: SETTINGS come back."""
    for unix in (True, False):
        with Raw(served, unix=unix) as raw:
            for octet in PREFACE:
                raw.send(bytes([octet]))
                time.sleep(0.002)
            raw.send(b"\0\0\0\4\0\0\0\0\0")
            head = raw.sock.recv(9)
            assert head[3] == 4, "SETTINGS"
    no_connections(served)


def test_a_preface_that_is_none(served: Served) -> None:
    with Raw(served) as raw:
        raw.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
        assert status_of(raw.all()) in (400, 505)


def test_requests_in_a_pipeline(served: Served) -> None:
    with Raw(served) as raw:
        raw.send(HEALTH + post(GET, EMPTY) + HEALTH + post(GET, EMPTY) + post("/x/Y", EMPTY))
        answer = raw.all()
    assert answer.count(b"HTTP/1.1 200") == 5
    assert answer.count(b"ok\n") == 2
    assert answer.count(b"grpc-status: 0") == 2
    assert answer.count(b"grpc-status: 12") == 1


def test_a_pipeline_that_never_ends_behind_a_stream(served: Served) -> None:
    """What is sent ahead is not read without end, and the end of the client is still seen."""
    with Raw(served, timeout_s=2) as raw:
        raw.send(post(WATCH, EMPTY))
        sent = 0
        with contextlib.suppress(OSError):  # nobody reads: the buffers are full
            while sent < 2000:
                raw.send(HEALTH * 500)
                sent += 1
        assert sent < 2000
    no_connections(served)


@DOORS
def test_abort_in_the_middle_of_a_stream(served: Served, unix: bool) -> None:
    for _ in range(20):
        with Raw(served, unix=unix) as raw:
            raw.send(post(WATCH, EMPTY))
            raw.until(b"\r\n\r\n")
            if not unix:  # a reset
                raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    no_connections(served)


def test_an_answer_that_nobody_reads_is_given_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "STALL_S", 0.3)
    with Raw(served) as raw:
        raw.send(post(WATCH, EMPTY))
        no_connections(served)


def h2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream)
    return head + payload


def h2_field(name: str, value: str) -> bytes:
    """A literal without indexing (RFC 7541, 6.2.2), of less than 127 bytes each."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def test_a_client_of_http2_that_grants_everything_and_reads_nothing(tmp_path: Path) -> None:
    """The windows of HTTP/2 are open: only the pace of the sockets is left."""
    size = 64 * 1024
    given: list[int] = []

    async def endless(request: Any, context: Any) -> AsyncIterator[Any]:
        for number in range(3000):
            given.append(number)
            status = relay_pb2.Status(version="x" * size)
            yield relay_pb2.WatchStatusResponse(status=status)

    fields = {":method": "POST", ":scheme": "http", ":path": WATCH, ":authority": "localhost"}
    fields |= {"te": "trailers", "content-type": "application/grpc", **dict(RIGHT)}
    headers = b"".join(h2_field(name, value) for name, value in fields.items())
    settings = struct.pack(">HI", 4, 0x7FFFFFFF)  # initial window
    hello = PREFACE + h2_frame(4, 0, 0, settings)
    hello += h2_frame(8, 0, 0, struct.pack(">I", 0x7FFFFFFF - 65535))
    hello += h2_frame(1, 4, 1, headers) + h2_frame(0, 1, 1, EMPTY)
    with serve(tmp_path, {"Relay/WatchStatus": endless}) as served:
        for unix in (True, False):
            given.clear()
            with Raw(served, unix=unix) as raw:
                raw.send(hello)
                raw.until(b"x" * 100)
                raw.send(h2_frame(4, 1, 0, b""))
                before = -1
                for _ in range(100):
                    if given and len(given) == before:
                        break
                    before = len(given)
                    time.sleep(0.15)
                assert len(given) * size < 24 * 1024 * 1024
            no_connections(served)


# ---- numbers


@DOORS
def test_idle_connections_do_not_keep_callers_out(served: Served, unix: bool) -> None:
    idle = [Raw(served, unix=unix) for _ in range(200)]
    try:
        assert_alive(served)
        assert served.connections() <= CONNECTIONS_MAX + 4
    finally:
        for raw in idle:
            raw.sock.close()
    no_connections(served)


def test_idle_http2_connections_do_not_keep_callers_out(served: Served) -> None:
    idle = [Raw(served) for _ in range(200)]
    try:
        for raw in idle:
            try:
                raw.send(PREFACE + b"\0\0\0\4\0\0\0\0\0")
            except OSError:  # closed already for others
                pass
        assert_alive(served)
    finally:
        for raw in idle:
            raw.sock.close()
    no_connections(served)


def test_calls_that_need_no_token_do_not_keep_callers_out(served: Served) -> None:
    path = "/grpc.health.v1.Health/Watch"
    watchers = [Raw(served) for _ in range(CONNECTIONS_MAX)]
    try:
        for raw in watchers:
            raw.send(post(path, EMPTY))
        for raw in watchers:
            raw.until(b"\r\n\r\n")
        assert_alive(served)
    finally:
        for raw in watchers:
            raw.sock.close()
    no_connections(served)


def test_callers_with_a_call_are_not_evicted(served: Served) -> None:
    with Raw(served) as first:
        first.send(post(WATCH, EMPTY))
        first.until(b"\r\n\r\n")
        idle = [Raw(served) for _ in range(200)]
        time.sleep(0.3)
        first.until(b"x" * 1000)
        for raw in idle:
            raw.sock.close()
    no_connections(served)


@DOORS
def test_a_caller_without_room_is_told_so(served: Served, unix: bool) -> None:
    watchers = [Raw(served, unix=unix) for _ in range(CONNECTIONS_MAX)]
    try:
        for raw in watchers:
            raw.send(post(WATCH, EMPTY))
        for raw in watchers:
            raw.until(b"\r\n\r\n")
        with Raw(served, unix=unix) as late:
            assert b"HTTP/1.1 503 " in late.until(b"try again.")
    finally:
        for raw in watchers:
            raw.sock.close()
    no_connections(served)


def test_a_native_stream_is_not_evicted(served: Served) -> None:
    with Native(served, unix=False) as caller:
        call = caller.channel.unary_stream(WATCH)(EMPTY[:0], metadata=RIGHT)
        next(call)
        idle = [Raw(served) for _ in range(200)]
        time.sleep(0.3)
        for _ in range(2000):  # more than is buffered anywhere
            next(call)
        call.cancel()
        for raw in idle:
            raw.sock.close()
    no_connections(served)


def test_calls_that_are_over_hold_nothing(served: Served) -> None:
    with Native(served, unix=False) as caller:
        for _ in range(5):
            assert caller.call(GET, b"", RIGHT).code == "OK"
            caller.call(GET, b"", RIGHT, timeout_s=0)
            call = caller.channel.unary_stream(WATCH)(b"", metadata=RIGHT)
            next(call)
            call.cancel()
        ends_at = time.monotonic() + 5
        while [each.calls for each in served.server._doors[1]] != [0]:
            assert time.monotonic() < ends_at
            time.sleep(0.02)


def test_a_call_without_a_request(served: Served) -> None:
    with Native(served, unix=False) as caller:
        for path in (GET, WATCH):
            call = caller.channel.stream_stream(path)(iter([]), metadata=RIGHT, timeout=5)
            with pytest.raises(grpc.RpcError) as caught:
                list(call)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_compressed_messages_of_grpc_are_read(served: Served) -> None:
    """grpc unpacks them itself, under the same cap."""
    with Native(served, unix=False) as caller:
        request = relay_pb2.SetLogLevelRequest(level="x" * 1_000_000).SerializeToString()
        call = caller.channel.unary_unary("/ccrelay.v1.Relay/SetLogLevel")
        call(request, 10, RIGHT, compression=grpc.Compression.Gzip)
        request = relay_pb2.SetLogLevelRequest(level="x" * 50_000_000).SerializeToString()
        with pytest.raises(grpc.RpcError) as caught:
            call(request, 10, RIGHT, compression=grpc.Compression.Gzip)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_metadata_over_the_cap_is_refused(served: Served) -> None:
    with Native(served, unix=False) as caller:
        code = caller.call(GET, b"", (*RIGHT, ("x-large", "x" * 200_000))).code
        assert code == "RESOURCE_EXHAUSTED"
