import asyncio
import time
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from ccrelay.control.web_context import WebContext


def context(deadline: float | None = None) -> tuple[WebContext, list[Any]]:
    sent: list[Any] = []

    async def send(what: Any) -> None:
        sent.append(what)

    return WebContext([("a", "1")], "unix:", deadline, send, send), sent


def test_it_has_all_that_grpc_aio_offers_to_unary_and_streaming_calls() -> None:
    names = {name for name in dir(grpc.aio.ServicerContext) if not name.startswith("_")}
    assert names - {"read"} <= set(dir(WebContext))


def test_what_it_says() -> None:
    subject, _ = context()
    assert subject.invocation_metadata() == (("a", "1"),)
    assert subject.peer() == "unix:"
    assert subject.time_remaining() is None
    assert (subject.code(), subject.details()) == (0, "")
    assert (subject.done(), subject.cancelled()) == (False, False)
    subject.set_code(StatusCode.NOT_FOUND)
    subject.set_details("x")
    assert (subject.code(), subject.details()) == (5, "x")
    subject, _ = context(time.monotonic() + 10)
    assert 9 < (subject.time_remaining() or 0) <= 10
    subject, _ = context(time.monotonic() - 10)
    assert subject.time_remaining() == 0


def test_abort_raises_and_keeps_the_status() -> None:
    subject, _ = context()
    with pytest.raises(grpc.aio.AbortError):
        asyncio.run(subject.abort(StatusCode.ABORTED, "why", (("x", "1"),)))
    assert (subject.code(), subject.details()) == (10, "why")
    assert subject.trailing_metadata() == (("x", "1"),)
    with pytest.raises(grpc.aio.AbortError):
        asyncio.run(subject.abort(StatusCode.OK))
    assert subject.code() == StatusCode.UNKNOWN.value[0]


def test_what_is_sent() -> None:
    subject, sent = context()
    asyncio.run(subject.send_initial_metadata([("x-bin", b"\xff")]))
    asyncio.run(subject.write("message"))
    assert sent == [[("x-bin", "/w")], "message"]
    with pytest.raises(ValueError, match="metadata"):
        subject.set_trailing_metadata([("x", "1\n")])


def test_the_end_is_told_once() -> None:
    subject, _ = context()
    told: list[tuple[bool, bool]] = []
    subject.add_done_callback(lambda c: told.append((c.done(), c.cancelled())))
    subject.finish(is_cancelled=True)
    subject.finish()
    assert told == [(True, True)]
    with pytest.raises(grpc.aio.UsageError):
        asyncio.run(subject.abort(StatusCode.ABORTED))
