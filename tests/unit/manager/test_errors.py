"""Refusals become the status of a call; work that must not stop half-way is finished."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import pytest

from ccrelay.manager.errors import (
    Refused,
    ask,
    invalid,
    known,
    not_found,
    order,
    streaming,
    to_the_end,
    unary,
)
from ccrelay.runtime.manager_link import Command, DrainCommand, Reply
from ccrelay.upstream.tasks import TaskSet


class Aborted(Exception):
    pass


class Context:
    def __init__(self) -> None:
        self.status: tuple[grpc.StatusCode, str] | None = None

    async def abort(self, code: grpc.StatusCode, message: str) -> None:
        self.status = (code, message)
        raise Aborted


class Service:
    def __init__(self) -> None:
        self.closed = False

    @unary
    async def one(self, request: str) -> str:
        if request == "bad":
            raise invalid("Not so.")
        return request * 2

    @streaming
    async def many(self, request: int) -> AsyncGenerator[int, None]:
        try:
            for number in range(request):
                yield number
            raise not_found("No more.")
        finally:
            self.closed = True


def test_calls_that_take_one_answer() -> None:
    async def main() -> None:
        context = Context()
        assert await Service().one("a", context) == "aa"
        with pytest.raises(Aborted):
            await Service().one("bad", context)
        assert context.status == (grpc.StatusCode.INVALID_ARGUMENT, "Not so.")

    asyncio.run(main())


def test_streams() -> None:
    async def main() -> None:
        service, context = Service(), Context()
        answers = service.many(2, context)
        seen = [await anext(answers), await anext(answers)]
        with pytest.raises(Aborted):
            await anext(answers)
        assert seen == [0, 1]
        assert context.status == (grpc.StatusCode.NOT_FOUND, "No more.")
        service = Service()
        answers = service.many(5, context)
        await anext(answers)
        await answers.aclose()
        assert service.closed

    asyncio.run(main())


class Link:
    def __init__(self, reply: Reply | Exception) -> None:
        self.reply = reply

    async def call(self, command: Command) -> Reply:
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(1, error="No.", is_refused=True), grpc.StatusCode.FAILED_PRECONDITION),
        (Reply(1, error="Gone."), grpc.StatusCode.UNAVAILABLE),
        (BrokenPipeError(), grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_orders_that_fail(reply: Any, code: grpc.StatusCode) -> None:
    with pytest.raises(Refused) as caught:
        asyncio.run(order(Link(reply), DrainCommand(0)))
    assert caught.value.code is code


def test_who_asks_reads_the_error() -> None:
    reply = Reply(1, error="No.")
    assert asyncio.run(ask(Link(reply), DrainCommand(0))) is reply


def test_work_goes_on_when_its_caller_leaves() -> None:
    async def main() -> None:
        reported: list[BaseException] = []
        tasks = TaskSet(asyncio.get_running_loop(), lambda _, error: reported.append(error))
        done = []

        async def work() -> None:
            await asyncio.sleep(0.1)
            done.append(1)

        async def refuse() -> None:
            raise invalid("Not so.")

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await to_the_end(tasks, work(), "work")
        assert done == []
        await asyncio.sleep(0.2)
        assert done == [1]
        with pytest.raises(Refused, match="Not so"):
            await to_the_end(tasks, refuse(), "refuse")
        await asyncio.sleep(0)
        assert reported == []

    asyncio.run(main())


def test_known_names() -> None:
    assert known([]) == "there are none"
    assert known(["a\x1b", "b"]) == 'known: "a?", "b"'
    assert known([str(number) for number in range(10)]).endswith("and 2 more")
