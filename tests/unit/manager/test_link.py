import asyncio
import contextlib
import socket

import pytest

from ccrelay.manager import link as module
from ccrelay.manager.link import GONE, SupervisorLink
from ccrelay.runtime.channel import Channel
from ccrelay.runtime.control import Decoder
from ccrelay.runtime.manager_link import (
    FromManager,
    Heartbeat,
    ManagerReady,
    ReloadCommand,
    ReloadProblem,
    Reply,
    StatsCommand,
    ToManager,
    WorkersChanged,
)


def run(scenario) -> None:
    """Runs `scenario(link, supervisor, messages)`; the link receives meanwhile."""

    async def whole() -> None:
        ours, theirs = socket.socketpair()
        link = SupervisorLink(Channel(ours, Decoder(ToManager)))
        supervisor: Channel = Channel(theirs, Decoder(FromManager))
        messages: list[object] = []
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            receiving = tasks.create_task(link.receive(messages.append))
            await scenario(link, supervisor, messages)
            supervisor.abort()
            await receiving
        ours.close()

    asyncio.run(whole())


def test_replies_go_to_who_asked_in_whatever_order():
    async def scenario(link, supervisor, messages):
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(link.call(ReloadCommand(0, "apply")))
            second = tasks.create_task(link.call(StatsCommand(0)))
            one, other = await supervisor.receive(), await supervisor.receive()
            assert one.id != other.id
            supervisor.send(Reply(other.id, stats=[{"a": 1}]))
            supervisor.send(Reply(one.id, changed=True))
        assert first.result().changed
        assert second.result().stats == [{"a": 1}]

    run(scenario)


def test_other_messages_are_passed_on_and_strange_replies_are_not():
    async def scenario(link, supervisor, messages):
        supervisor.send(Reply(77))
        supervisor.send(ReloadProblem("a"))
        supervisor.send(WorkersChanged([]))
        while len(messages) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert messages == [ReloadProblem("a"), WorkersChanged([])]

    run(scenario)


def test_a_supervisor_that_is_gone_is_an_error_for_all():
    async def scenario(link, supervisor, messages):
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(link.call(StatsCommand(0)))
            await supervisor.receive()
            supervisor.abort()
        assert waiting.result().error == GONE
        assert (await link.call(StatsCommand(0))).error == GONE

    run(scenario)


def test_a_supervisor_that_does_not_answer_is_an_error_in_time_and_its_late_reply_is_lost():
    async def scenario(link, supervisor, messages):
        reply = await link.call(StatsCommand(0), limit_s=0.01)
        assert "did not reply" in reply.error
        command = await supervisor.receive()
        supervisor.send(Reply(command.id))
        assert messages == []

    run(scenario)


def test_what_cannot_be_read_ends_the_link():
    async def scenario(link, supervisor, messages):
        supervisor.send_raw(b"\0\0\0\1\xff")
        supervisor.send(ReloadProblem("unread"))
        assert (await link.call(StatsCommand(0))).error == GONE

    run(scenario)


def test_ready_then_heartbeats(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.001)

    async def scenario(link, supervisor, messages):
        link.send_ready()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(link.beat(), 0.05)
        assert await supervisor.receive() == ManagerReady()
        assert await supervisor.receive() == Heartbeat()
        assert await supervisor.receive() == Heartbeat()

    run(scenario)
