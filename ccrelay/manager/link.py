"""The manager's end of the channel to its supervisor: heartbeats, commands and their replies."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from ccrelay.runtime.channel import Channel
from ccrelay.runtime.control import ControlError
from ccrelay.runtime.manager_link import Command, Heartbeat, ManagerReady, Reply, ToManager

HEARTBEAT_S: Final = 0.2
REPLY_LIMIT_S: Final = 60.0  # longer than a reload, which gives workers 30 s
GONE = "the supervisor is gone: this relay has ended"

AnyCommand = TypeVar("AnyCommand", bound=Command)


class SupervisorLink:
    """Talks to the supervisor. Create it inside a running loop.

    Args:
        channel: to the supervisor.
    """

    def __init__(self, channel: Channel[ToManager]) -> None:
        self._channel = channel
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Reply]] = {}
        self._is_gone = False

    async def call(self, command: Command, *, limit_s: float = REPLY_LIMIT_S) -> Reply:
        """Send a command and wait for its reply; the `id` that it has is replaced.

        Never raises for what the supervisor does: without a reply in time, or a supervisor, the
        reply has an `error`.
        """
        if self._is_gone:
            return Reply(0, error=GONE)
        number = next(self._ids)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        try:
            self._channel.send(msgspec.structs.replace(command, id=number))
            return await asyncio.wait_for(future, limit_s)
        except TimeoutError:
            return Reply(number, error=f"the supervisor did not reply within {limit_s:g} s")
        except ControlError as error:  # too large for a message
            return Reply(number, error=str(error), is_refused=True)
        finally:
            self._pending.pop(number, None)

    def send_ready(self) -> None:
        """Tell the supervisor that the doors are open; heartbeats count from now on."""
        self._channel.send(ManagerReady())

    async def beat(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self._channel.send(Heartbeat())

    async def receive(self, on_message: Callable[[ToManager], None]) -> None:
        """Give replies to their callers, and other messages to `on_message`.

        Returns when the supervisor has closed the channel, or sent what cannot be read.
        """
        with contextlib.suppress(ControlError):
            while (message := await self._channel.receive()) is not None:
                if isinstance(message, Reply):
                    self._resolve(message)
                else:
                    on_message(message)
        self._is_gone = True
        for number in list(self._pending):
            self._resolve(Reply(number, error=GONE))

    def _resolve(self, reply: Reply) -> None:
        future = self._pending.pop(reply.id, None)  # a late one has no future any more
        if future is not None and not future.done():
            future.set_result(reply)
