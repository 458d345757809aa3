"""The workers of one supervisor, from their start until they have been reaped.

started --Ready--> serving --Leaving, or told to--> leaving --gone--> reaped
   |                  |
   +------ dies ------+--> reaped, and its slot is filled again by the supervisor
"""

import asyncio
import errno
import socket
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from ccrelay.config.model import Config
from ccrelay.fleet.layout import Layout
from ccrelay.runtime.channel import Channel
from ccrelay.runtime.control import (
    ControlError,
    Decoder,
    Drain,
    Drained,
    Failed,
    FromWorker,
    Leaving,
    Ready,
    Reload,
    Reloaded,
    ReloadFailed,
    Start,
    Stats,
    StatsReply,
    Stop,
    encode,
    send_start,
)
from ccrelay.runtime.memory import Memory
from ccrelay.runtime.processes import WorkerProcess, describe_exit
from ccrelay.types import LogSink

CLOSE_GRACE_S = 3.0  # from closing its channel to exiting: a worker flushes its log meanwhile
RELOAD_S = 30.0  # a worker that has not answered by then counts as having failed

Value = TypeVar("Value")


class Snapshot(NamedTuple):
    """What workers go by: a checked configuration, and its slots."""

    config: Config
    layout: Layout


class Member:
    """One worker, as the supervisor sees it.

    Args:
        slot: which listening sockets it has; its number in logs.
        column: in the shared memory; None when it has another memory than the crew.
        is_old: started by an earlier image of this supervisor.
    """

    def __init__(
        self, slot: int, process: WorkerProcess, column: int | None, *, is_old: bool = False
    ) -> None:
        self.slot = slot
        self.process = process
        self.column = column
        self.is_old = is_old
        self.born_at = time.monotonic()
        self.channel: Channel[FromWorker] | None = None
        self.is_ready = False
        self.is_leaving = False
        self.error: str | None = None
        self.cut = 0
        self.vacated = asyncio.Event()  # its slot needs somebody else
        self.exited = asyncio.Event()
        self.parted = asyncio.Event()  # nothing is left of it
        # Asked and not yet answered, in order; a reload is answered with an error or None.
        self.asked: list[asyncio.Future[dict[str, int]]] = []
        self.reloading: list[asyncio.Future[str | None]] = []

    @property
    def stays(self) -> bool:
        """Whether it serves, or will, until further notice."""
        return not (self.is_leaving or self.is_old)

    @property
    def is_ending(self) -> bool:
        """Whether it cannot be told anything any more, and has not been reaped yet."""
        return self.channel is None or self.process.control.fileno() < 0

    def send(self, message: Drain | Stop | Stats) -> None:
        """Tell it; one that is gone is noticed elsewhere."""
        if self.channel is not None:
            self.channel.send(message)

    def ending(self) -> tuple[str, bool, float]:
        """After its end: the error for people, whether it had started, how long it lived."""
        how = describe_exit(self.process.exit_code or 0)
        error = self.error or f"a worker could not start: {how}"
        return error, self.is_ready, time.monotonic() - self.born_at

    def __repr__(self) -> str:
        return f"<Member slot={self.slot} ready={self.is_ready} {self.process!r}>"


class Crew:
    """Everybody who works, and what they were told.

    Args:
        snapshot: what a worker starts with; `reload` replaces it.
        memory: what workers share.
        log: where starts, deaths and endings are told.
        on_change: called when one has become ready, and when one is gone.
    """

    def __init__(
        self, snapshot: Snapshot, memory: Memory, log: LogSink, on_change: Callable[[], None]
    ) -> None:
        self.snapshot = snapshot
        self.members: set[Member] = set()
        # None until everybody is to go.
        self.order: Drain | Stop | None = None
        self._memory = memory
        self._log = log
        self._on_change = on_change

    def hire(
        self,
        slot: int,
        recruit: Callable[[], WorkerProcess],
        listeners: list[socket.socket],
    ) -> Member:
        """Start one more; `attend` it. Raises OSError when it cannot be had."""
        column = self._memory.take_column()
        if column is None:
            raise OSError(errno.EAGAIN, "too many workers are still finishing")
        try:
            member = Member(slot, recruit(), column)
        except OSError:
            self._memory.return_column(column)
            raise
        self.members.add(member)
        self._start(
            member, Start(self.snapshot.config, slot, self.snapshot.layout, column), listeners
        )
        return member

    def _start(self, member: Member, start: Start, listeners: list[socket.socket]) -> None:
        control = member.process.control
        control.setblocking(False)
        try:
            rest = send_start(control, start, self._memory.fd, listeners)
        except ControlError as error:
            self._garbled(member, error)
        except OSError:
            pass  # it died already; its exit status tells how
        else:
            member.channel = Channel(control, Decoder[FromWorker](FromWorker), rest)

    async def attend(self, member: Member) -> None:
        """Listen to it until it has been reaped."""
        try:
            while member.channel and (message := await member.channel.receive()) is not None:
                self._on_message(member, message)
        except ControlError as error:
            self._garbled(member, error)
        if member.channel is not None:
            member.channel.abort()  # one that is still there takes this as its end
        member.process.control.close()
        self.reap()  # its signal may have come before our handler stood
        try:
            await asyncio.wait_for(member.exited.wait(), CLOSE_GRACE_S)
        except TimeoutError:
            member.process.kill()
            await member.exited.wait()
        self._part(member)

    async def reload(self, snapshot: Snapshot) -> dict[Member, str]:
        """Give it to all who stay and to those who come; returns who failed, and why.

        Raises ControlError, and nobody was told, when it cannot be sent.
        """
        frame = encode(Reload(snapshot.config, snapshot.layout))
        self.snapshot = snapshot
        answers: dict[asyncio.Future[str | None], Member] = {}
        for member in self.members:
            if member.stays and member.channel is not None:
                answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
                member.reloading.append(answer)
                answers[answer] = member
                member.channel.send_raw(frame)
        if not answers:
            return {}
        done, late = await asyncio.wait(answers, timeout=RELOAD_S)
        failed = {answers[answer]: f"no answer within {RELOAD_S:g} s" for answer in late}
        for answer in done:
            if (error := answer.result()) is not None:
                failed[answers[answer]] = error
        return failed

    def retire(self, members: Iterable[Member], limit_s: float) -> None:
        """Let these go gently: others have their slots, or will."""
        for member in members:
            member.send(Drain(limit_s, gentle=True))
            self._leave(member)

    def give(self, order: Drain | Stop) -> None:
        """Everybody is to go."""
        self.order = order
        for member in self.members:
            member.send(order)

    async def stats(self) -> list[dict[str, int]]:
        """Counters of every worker that is ready; one that dies meanwhile is left out."""
        asked: list[asyncio.Future[dict[str, int]]] = []
        for member in self.members:
            if member.is_ready and member.channel is not None:
                member.asked.append(asyncio.get_running_loop().create_future())
                asked.append(member.asked[-1])
                member.send(Stats())
        replies = await asyncio.gather(*asked, return_exceptions=True)
        return [reply for reply in replies if isinstance(reply, dict)]

    async def settled(self) -> None:
        """Wait until nobody is ending. Each takes CLOSE_GRACE_S at most, but others may follow."""
        while ending := [member for member in self.members if member.is_ending]:
            await ending[0].parted.wait()

    @property
    def is_half_upgraded(self) -> bool:
        """Whether workers of an earlier image serve on because the new ones have not begun."""
        return any(member.is_old and not member.is_leaving for member in self.members)

    def slots_ready(self) -> int:
        """How many slots are served by this image's workers."""
        return len({m.slot for m in self.members if m.is_ready and m.stays})

    def reap(self) -> None:
        """Collect who has ended (SIGCHLD)."""
        for member in self.members:
            if member.process.reap():
                member.exited.set()

    def kill(self) -> None:
        """Everybody who is still there had time enough."""
        for member in self.members:
            self._log.event("warning", "worker_killed", worker=member.slot, pid=member.process.pid)
            member.process.kill()

    def abandon(self) -> None:
        """Leave no process behind, whatever happened."""
        for member in self.members:
            member.process.end()
        self.members.clear()

    def _on_message(self, member: Member, message: FromWorker) -> None:
        match message:
            case Ready():
                member.is_ready = True
                self._log.event("debug", "worker_ready", worker=member.slot, pid=member.process.pid)
                self._on_change()
            case Failed(error, detail):
                member.error = error
                self._log.event("debug", "worker_failed", worker=member.slot, detail=detail)
            case Reloaded():
                _answer(member.reloading, None)
            case ReloadFailed(error):
                _answer(member.reloading, error)
            case Leaving():
                self._leave(member)
            case Drained(cut):
                member.cut = cut
            case StatsReply(values):
                _answer(member.asked, values)

    def _leave(self, member: Member) -> None:
        member.is_leaving = True
        member.vacated.set()
        self._log.event("info", "worker_leaving", worker=member.slot, pid=member.process.pid)

    def _garbled(self, member: Member, error: ControlError) -> None:
        member.error = member.error or str(error)
        self._log.event("error", "worker_garbled", worker=member.slot, error=str(error))
        member.process.kill()

    def _part(self, member: Member) -> None:
        self.members.discard(member)
        member.process.end()
        for future in member.asked:
            future.cancel()
        for answer in member.reloading:
            if not answer.done():
                answer.set_result(None)  # its successor starts with the new configuration
        returned = 0 if member.column is None else self._memory.return_column(member.column)
        member.vacated.set()
        member.parted.set()
        exit_code = member.process.exit_code or 0
        fields: dict[str, object] = {
            "worker": member.slot,
            "pid": member.process.pid,
            "how": describe_exit(exit_code),
            "cut": member.cut,
            "returned": returned,
            "error": member.error,
        }
        if exit_code == 0 and (member.is_leaving or self.order is not None):
            self._log.event("info", "worker_gone", **fields)
        else:
            self._log.event("error", "worker_died", **fields)
        self._on_change()


def _answer(asked: list[asyncio.Future[Value]], value: Value) -> None:
    if asked:
        future = asked.pop(0)
        if not future.done():
            future.set_result(value)
