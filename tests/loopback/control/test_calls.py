"""Servicers behave the same through both protocols, at both doors."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from ccrelay.control.errors import INTERNAL, Refused
from ccrelay.v1 import relay_pb2
from tests.loopback.control.callers import RIGHT, Native, Web
from tests.loopback.control.harness import Behaviour, Served, serve

GET = "/ccrelay.v1.Relay/GetStatus"
WATCH = "/ccrelay.v1.Relay/WatchStatus"
Serve = Callable[..., Served]

CALLERS = pytest.mark.parametrize(
    ("protocol", "unix"),
    [(Native, True), (Native, False), (Web, True), (Web, False)],
    ids=["native-unix", "native-tcp", "web-unix", "web-tcp"],
)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serve]:
    running = []

    def start(**behaviours: Behaviour) -> Served:
        named = {f"Relay/{name}": behaviour for name, behaviour in behaviours.items()}
        context = serve(tmp_path, named)
        running.append(context)
        return context.__enter__()

    yield start
    for context in running:
        context.__exit__(None, None, None)


def answer(version: str) -> Any:
    return relay_pb2.GetStatusResponse(status=relay_pb2.Status(version=version))


def part(number: int, size: int = 0) -> Any:
    status = relay_pb2.Status(rules=number, version="x" * size)
    return relay_pb2.WatchStatusResponse(status=status)


@CALLERS
def test_an_answer_comes_as_it_was_given(serving: Serve, protocol: Any, unix: bool) -> None:
    async def echo(request: Any, context: Any) -> Any:
        return relay_pb2.SetLogLevelResponse(previous=request.level)

    served = serving(SetLogLevel=echo)
    texts = ["", "info", "\u00fc\u4e16\U0001f600" * 50, "x" * 300_000]
    with protocol(served, unix=unix) as caller:
        for text in texts:
            request = relay_pb2.SetLogLevelRequest(level=text).SerializeToString()
            result = caller.call("/ccrelay.v1.Relay/SetLogLevel", request, RIGHT)
            assert result.code == "OK", result.message
            (data,) = result.answers
            assert relay_pb2.SetLogLevelResponse.FromString(data).previous == text


@CALLERS
def test_a_stream_comes_in_order(serving: Serve, protocol: Any, unix: bool) -> None:
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        for number in range(200):
            yield part(number, size=number * 10)

    served = serving(WatchStatus=watch)
    with protocol(served, unix=unix) as caller:
        result = caller.call(WATCH, b"", RIGHT)
    answers = [relay_pb2.WatchStatusResponse.FromString(data) for data in result.answers]
    assert [each.status.rules for each in answers] == list(range(200))
    assert result.code == "OK"


@CALLERS
def test_a_servicer_may_write_its_answers(serving: Serve, protocol: Any, unix: bool) -> None:
    async def watch(request: Any, context: Any) -> None:
        for number in range(3):
            await context.write(part(number))

    with protocol(serving(WatchStatus=watch), unix=unix) as caller:
        result = caller.call(WATCH, b"", RIGHT)
    answers = [relay_pb2.WatchStatusResponse.FromString(data) for data in result.answers]
    assert [each.status.rules for each in answers] == [0, 1, 2]
    assert result.code == "OK"


MESSAGE = 'No provider "\u00fc\u4e16%\U0001f600"; write 100 % \\ of\tit:\nnow'


def refused(request: Any, context: Any) -> Any:
    raise Refused("FAILED_PRECONDITION", MESSAGE)


async def aborted(request: Any, context: Any) -> Any:
    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, MESSAGE)


async def set_code(request: Any, context: Any) -> Any:
    context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
    context.set_details(MESSAGE)
    return answer("")


async def late_refused(request: Any, context: Any) -> Any:
    await asyncio.sleep(0)
    refused(request, context)


@CALLERS
@pytest.mark.parametrize("behaviour", [refused, aborted, set_code, late_refused])
def test_a_refusal_says_what_to_do(
    serving: Serve, protocol: Any, unix: bool, behaviour: Behaviour
) -> None:
    with protocol(serving(GetStatus=behaviour), unix=unix) as caller:
        result = caller.call(GET, b"", RIGHT)
    assert (result.code, result.message) == ("FAILED_PRECONDITION", MESSAGE)


@CALLERS
def test_a_stream_may_be_refused_after_answers(serving: Serve, protocol: Any, unix: bool) -> None:
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        yield part(1)
        raise Refused("NOT_FOUND", "It went.")

    served = serving(WatchStatus=watch)
    with protocol(served, unix=unix) as caller:
        result = caller.call(WATCH, b"", RIGHT)
        assert (result.code, result.message, len(result.answers)) == ("NOT_FOUND", "It went.", 1)
        assert caller.call(GET, b"", RIGHT).code == "OK"


@CALLERS
def test_an_exception_is_logged_and_not_told(serving: Serve, protocol: Any, unix: bool) -> None:
    async def broken(request: Any, context: Any) -> Any:
        raise KeyError("/secret/path")

    async def broken_stream(request: Any, context: Any) -> AsyncIterator[Any]:
        yield part(1)
        raise KeyError("/secret/path")

    async def none(request: Any, context: Any) -> Any:
        return None

    served = serving(GetStatus=broken, WatchStatus=broken_stream, GetVersion=none)
    with protocol(served, unix=unix) as caller:
        for path in (GET, WATCH, "/ccrelay.v1.Relay/GetVersion"):
            result = caller.call(path, b"", RIGHT)
            assert (result.code, result.message) == ("INTERNAL", INTERNAL), path
    errors = [fields for level, name, fields in served.log.events if name == "internal_error"]
    assert [fields["method"] for fields in errors] == [GET, WATCH, "/ccrelay.v1.Relay/GetVersion"]
    assert "/secret/path" in str(errors[0]["error"])
    assert "broken" in str(errors[0]["where"])


@CALLERS
def test_a_method_without_code_is_unimplemented(serving: Serve, protocol: Any, unix: bool) -> None:
    def generated(request: Any, context: Any) -> Any:  # as in the generated base class
        context.set_code(grpc.StatusCode.UNIMPLEMENTED)
        context.set_details("Method not implemented!")
        raise NotImplementedError("Method not implemented!")

    served = serving(GetStatus=generated, WatchStatus=generated)
    with protocol(served, unix=unix) as caller:
        assert caller.call(GET, b"", RIGHT).code == "UNIMPLEMENTED"
        assert caller.call(WATCH, b"", RIGHT).code == "UNIMPLEMENTED"


@CALLERS
def test_garbage_is_an_invalid_argument(serving: Serve, protocol: Any, unix: bool) -> None:
    served = serving()
    with protocol(served, unix=unix) as caller:
        for path in ("/ccrelay.v1.Relay/SetLogLevel", WATCH):
            result = caller.call(path, b"\xff\xff\xff\xff", RIGHT)
            assert (result.code, result.answers) == ("INVALID_ARGUMENT", []), path
    assert served.failures() == []


@CALLERS
def test_metadata_goes_both_ways(serving: Serve, protocol: Any, unix: bool) -> None:
    seen: list[Any] = []

    async def get(request: Any, context: Any) -> Any:
        seen.extend(context.invocation_metadata())
        assert context.peer().startswith(("unix:", "ipv4:127.0.0.1"))
        await context.send_initial_metadata((("x-early", "1"),))
        context.set_trailing_metadata((("x-late", "2"), ("x-late-bin", b"\x00\xff\xfe")))
        return answer("1")

    metadata = (*RIGHT, ("x-text", "a b"), ("x-data-bin", b"\x00\xff"))
    if protocol is Web:
        metadata = (*RIGHT, ("x-text", "a b"), ("x-data-bin", "AP8"))
    with protocol(serving(GetStatus=get), unix=unix) as caller:
        result = caller.call(GET, b"", metadata)
    assert result.code == "OK", result.message
    assert ("x-text", "a b") in seen
    assert ("x-data-bin", b"\x00\xff") in seen
    late = b"\x00\xff\xfe" if protocol is Native else "AP/+"
    assert (result.trailing["x-late"], result.trailing["x-late-bin"]) == ("2", late)


@CALLERS
def test_the_deadline_ends_a_call_and_the_servicer(
    serving: Serve, protocol: Any, unix: bool
) -> None:
    ended = threading.Event()
    left: list[float] = []

    async def get(request: Any, context: Any) -> Any:
        left.append(context.time_remaining())
        try:
            await asyncio.sleep(20)
        finally:
            ended.set()

    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            yield part(1)
            await asyncio.sleep(20)
        finally:
            ended.set()

    with protocol(serving(GetStatus=get, WatchStatus=watch), unix=unix) as caller:
        for path, count in ((GET, 0), (WATCH, 1)):
            ended.clear()
            began = time.monotonic()
            result = caller.call(path, b"", RIGHT, timeout_s=0.4)
            assert result.code == "DEADLINE_EXCEEDED"
            assert len(result.answers) == count
            assert time.monotonic() - began < 5
            assert ended.wait(5)
    assert 0 < left[0] <= 0.4


@CALLERS
def test_without_a_deadline_there_is_none(serving: Serve, protocol: Any, unix: bool) -> None:
    left: list[Any] = []

    async def get(request: Any, context: Any) -> Any:
        left.append(context.time_remaining())
        return answer("1")

    served = serving(GetStatus=get)
    if protocol is Native:
        with Native(served, unix=unix) as caller:
            caller.channel.unary_unary(GET)(b"", metadata=RIGHT)
    else:
        with Web(served, unix=unix) as caller:
            headers = {"content-type": "application/grpc-web", **dict(RIGHT)}
            caller.http.request("POST", GET, b"\0\0\0\0\0", headers)
            assert caller.http.getresponse().read()
    assert left == [None]


@CALLERS
@pytest.mark.parametrize("path", [GET, WATCH])
def test_a_client_that_goes_cancels_the_servicer(
    serving: Serve, protocol: Any, unix: bool, path: str
) -> None:
    started, ended, told = threading.Event(), threading.Event(), threading.Event()
    was_cancelled: list[bool] = []

    def done(context: Any) -> None:
        was_cancelled.append(context.cancelled())
        told.set()

    async def get(request: Any, context: Any) -> Any:
        context.add_done_callback(done)
        started.set()
        try:
            await asyncio.sleep(20)
        finally:
            ended.set()

    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        yield part(1)
        await get(request, context)

    served = serving(GetStatus=get, WatchStatus=watch)
    if protocol is Native:
        with Native(served, unix=unix) as caller:
            call = caller.channel.unary_stream(path)(b"", metadata=RIGHT)
            assert started.wait(5)
            call.cancel()
            assert ended.wait(5)
    else:
        with Web(served, unix=unix) as caller:
            headers = {"content-type": "application/grpc-web", **dict(RIGHT)}
            caller.http.request("POST", path, b"\0\0\0\0\0", headers)
            assert started.wait(5)
        assert ended.wait(5)
    assert told.wait(5)
    if protocol is Web:  # grpc.aio tells only whether the servicer cancelled
        assert was_cancelled == [True]


@CALLERS
def test_a_reader_that_is_slow_stops_the_generator(
    serving: Serve, protocol: Any, unix: bool
) -> None:
    """What is buffered on the way, the kernel's buffers included, is bounded."""
    size = 64 * 1024
    given: list[int] = []

    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        for number in range(2000):
            given.append(number)
            yield part(number, size)

    served = serving(WatchStatus=watch)
    if protocol is Native:
        with Native(served, unix=unix) as caller:
            call = caller.channel.unary_stream(WATCH)(b"", metadata=RIGHT)
            next(call)
            assert settled(given) * size < 24 * 1024 * 1024
            assert sum(1 for _ in call) == 1999
    else:
        with Web(served, unix=unix) as caller:
            headers = {"content-type": "application/grpc-web", **dict(RIGHT)}
            caller.http.request("POST", WATCH, b"\0\0\0\0\0", headers)
            response = caller.http.getresponse()
            assert settled(given) * size < 24 * 1024 * 1024
            while response.read(1 << 20):
                pass
    assert len(given) == 2000


def settled(given: list[int]) -> int:
    """How many were given, once no more are."""
    before = -1
    for _ in range(100):
        if given and len(given) == before:
            return before
        before = len(given)
        time.sleep(0.15)
    raise AssertionError("it never stopped")


@CALLERS
def test_a_request_over_the_cap_is_refused(serving: Serve, protocol: Any, unix: bool) -> None:
    served = serving()
    data = relay_pb2.SetLogLevelRequest(level="x" * (4 * 1024 * 1024)).SerializeToString()
    with protocol(served, unix=unix) as caller:
        result = caller.call("/ccrelay.v1.Relay/SetLogLevel", data, RIGHT)
    assert result.code == "RESOURCE_EXHAUSTED"


@CALLERS
def test_calls_go_on_beside_a_stream(serving: Serve, protocol: Any, unix: bool) -> None:
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        yield part(1)
        await asyncio.sleep(20)

    served = serving(WatchStatus=watch)
    with Native(served, unix=unix) as other:
        call = other.channel.unary_stream(WATCH)(b"", metadata=RIGHT)
        next(call)
        with protocol(served, unix=unix) as caller:
            for _ in range(5):
                assert caller.call(GET, b"", RIGHT).code == "OK"
        call.cancel()
