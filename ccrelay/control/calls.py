"""Runs methods of servicers, for both protocols: authorisation, errors, requests and answers.

Both kinds of contexts go in here, that of grpc.aio and `ccrelay.control.web_context`.
"""

import asyncio
import inspect
import time
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from grpc import StatusCode

from ccrelay.control.authorise import Decision, Door, Metadata, Why, authorise
from ccrelay.control.denials import Denials
from ccrelay.control.errors import AbortError, Refused, code_of, failure_of
from ccrelay.control.methods import Method
from ccrelay.control.throttle import WrongTokens
from ccrelay.types import LogSink

# Answers to wrong tokens that wait at the same time. Beyond it they are sent at once.
WAITING_MAX = 64
# Told to debug only: a client that has not been set up, a page that was left open.
_HARMLESS = (Why.NO_TOKEN, Why.UNKNOWN, Why.SIGNED_OUT, Why.READ_ONLY)


class Calls:
    """The methods that can be called.

    Args:
        methods: by path.
        log: gets exceptions of servicers and what is denied.
    """

    def __init__(self, methods: Mapping[str, Method], log: LogSink) -> None:
        self.methods = methods
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._log = log
        self.denials = Denials(log, time.monotonic)
        self._wrong = WrongTokens()
        self._waiting = 0

    async def admit(self, door: Door, path: str, metadata: Metadata) -> Decision:
        """Decide whether a call may go on; the answer to a wrong token comes late."""
        decision = authorise(door, path, metadata)
        if decision.why is not None:
            is_suspicious = decision.why not in _HARMLESS
            self.denials.note(
                decision.why.value, is_suspicious=is_suspicious, method=path, peer=door.peer
            )
        if decision.why is Why.WRONG_TOKEN:
            await self.delay(door)
        return decision

    async def delay(self, door: Door) -> None:
        """Wait as a wrong token makes its sender wait."""
        if self._waiting >= WAITING_MAX:
            return
        self._waiting += 1
        try:
            await asyncio.sleep(self._wrong.add(door.peer, time.monotonic()))
        finally:
            self._waiting -= 1

    async def check(self, door: Door, path: str, metadata: Metadata, context: Any) -> Decision:
        """As `admit`; a call that may not go on is aborted."""
        decision = await self.admit(door, path, metadata)
        if not decision.is_allowed:
            await context.abort(code_of(decision, path in self.methods), decision.message)
        return decision

    async def idle(self) -> None:
        """Wait until no call is under way."""
        await self._idle.wait()

    def _begin(self) -> None:
        self._under_way += 1
        self._idle.clear()

    def _end(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()

    async def unary(self, method: Method, data: Any, context: Any) -> bytes:
        """Run a method that has one answer; return its bytes. Failures abort the call."""
        self._begin()
        try:
            answer = method.behaviour(_request(method, data), context)
            if inspect.isawaitable(answer):
                answer = await answer
            return method.serialize(answer)
        except AbortError:
            raise
        except Exception as error:  # outermost shell of a servicer
            await self._fail(method, error, context)
            raise  # unreachable: `abort` raises
        finally:
            self._end()

    async def stream(self, method: Method, data: Any, context: Any) -> AsyncGenerator[bytes, None]:
        """Run a method that has many answers; yield the bytes of each. Failures abort the call.

        A servicer that writes its answers to the context itself yields none.
        """
        self._begin()
        answers: Any = None
        try:
            answers = method.behaviour(_request(method, data), context)
            if inspect.isawaitable(answers):
                await answers
                return
            async for answer in answers:
                yield method.serialize(answer)
        except AbortError:
            raise
        except Exception as error:  # outermost shell of a servicer
            await self._fail(method, error, context)
        finally:
            self._end()
            if hasattr(answers, "aclose"):
                await answers.aclose()

    async def _fail(self, method: Method, error: Exception, context: Any) -> None:
        failure = failure_of(error)
        if failure.is_ours:
            where = "".join(traceback.format_tb(error.__traceback__)[-3:])
            self._log.event(
                "error", "internal_error", method=method.path, error=repr(error), where=where
            )
        await context.abort(failure.code, failure.message)


def _request(method: Method, data: Any) -> Any:
    if method.takes_stream:
        return _requests(method, data)
    return _parsed(method, data)


async def _requests(method: Method, data: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for each in data:
        yield _parsed(method, each)


def _parsed(method: Method, data: bytes) -> Any:
    try:
        return method.parse(data)
    except Exception:  # outermost shell of the parser: a DecodeError, whose class is protobuf's
        message = f"The request is no message of {method.path}."
        raise Refused(StatusCode.INVALID_ARGUMENT, message) from None
