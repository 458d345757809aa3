"""Errors of calls: a gRPC status code, and one sentence that says what to do."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import grpc

from ccrelay.config.problems import quoted
from ccrelay.runtime.control import ControlError
from ccrelay.runtime.manager_link import Command, Reply
from ccrelay.upstream.tasks import TaskSet

Answer = TypeVar("Answer")
NAMED_MAX = 8  # names in one sentence


class Refused(Exception):
    """A call is answered with an error.

    Args:
        code: of gRPC.
        message: one sentence, without secrets.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> Refused:
    """INVALID_ARGUMENT."""
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> Refused:
    """NOT_FOUND."""
    return Refused(grpc.StatusCode.NOT_FOUND, message)


def precondition(message: str) -> Refused:
    """FAILED_PRECONDITION."""
    return Refused(grpc.StatusCode.FAILED_PRECONDITION, message)


def known(names: list[str]) -> str:
    """The names there are, for a message about one that is not among them."""
    if not names:
        return "there are none"
    more = len(names) - NAMED_MAX
    shown = ", ".join(quoted(name) for name in names[:NAMED_MAX])
    return f"known: {shown}" + (f" and {more} more" if more > 0 else "")


def unary(
    method: Callable[[Any, Any], Awaitable[Answer]],
) -> Callable[[Any, Any, Any], Awaitable[Answer]]:
    """Make a method of a servicer of one that takes the request only, and raises Refused."""

    @functools.wraps(method)
    async def call(self: Any, request: Any, context: Any) -> Answer:
        try:
            return await method(self, request)
        except Refused as refused:
            await context.abort(refused.code, refused.message)
            raise

    return call


def streaming(
    method: Callable[[Any, Any], AsyncGenerator[Answer, None]],
) -> Callable[[Any, Any, Any], AsyncGenerator[Answer, None]]:
    """As `unary`, for a stream of answers."""

    @functools.wraps(method)
    async def call(self: Any, request: Any, context: Any) -> AsyncGenerator[Answer, None]:
        answers = method(self, request)
        try:
            async for answer in answers:
                yield answer
        except Refused as refused:
            await context.abort(refused.code, refused.message)
            raise
        finally:
            # A client that leaves closes this one only.
            await answers.aclose()

    return call


async def to_the_end(tasks: TaskSet, work: Coroutine[Any, Any, Answer], name: str) -> Answer:
    """Do work that must not stop half-way, also when the caller leaves or its time is over."""

    async def done() -> Answer | Refused:
        try:
            return await work
        except Refused as refused:  # no defect: the set of tasks is not to report it
            return refused

    result = await asyncio.shield(tasks.spawn(done(), name))
    if isinstance(result, Refused):
        raise result
    return result


class Link(Protocol):
    """The supervisor, as services see it."""

    async def call(self, command: Command) -> Reply:
        """Send a command, and wait for the reply. The link numbers it."""


async def ask(link: Link, command: Command) -> Reply:
    """Send a command; the reply tells of its error.

    Raises:
        Refused: UNAVAILABLE, the supervisor does not answer.
    """
    try:
        return await link.call(command)
    except (ControlError, OSError, EOFError):
        raise Refused(
            grpc.StatusCode.UNAVAILABLE,
            "The supervisor does not answer: look at its log, and try again.",
        ) from None


async def order(link: Link, command: Command) -> Reply:
    """Send a command that has to succeed.

    Raises:
        Refused: FAILED_PRECONDITION, the supervisor refuses it; UNAVAILABLE, it does not answer, or
            could not do it.
    """
    reply = await ask(link, command)
    if reply.error:
        code = grpc.StatusCode.UNAVAILABLE
        if reply.is_refused:
            code = grpc.StatusCode.FAILED_PRECONDITION
        raise Refused(code, reply.error)
    return reply
