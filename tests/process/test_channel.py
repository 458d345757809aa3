"""The control channel over real socketpairs."""

import asyncio
import socket

import pytest

from ccrelay.config.model import Config, Key, Provider
from ccrelay.fleet.layout import Layout
from ccrelay.runtime.channel import Channel
from ccrelay.runtime.control import (
    ControlError,
    Decoder,
    Drain,
    FromWorker,
    Ready,
    Reload,
    Stats,
    StatsReply,
    ToWorker,
    encode,
    receive_start,
)

pytestmark = pytest.mark.process

# Far larger than a socket buffer.
LARGE = Config(providers=[Provider(name="a", keys=[Key(key="test-key-" + "x" * 4_000_000)])])


def pair():
    ours, theirs = socket.socketpair()
    return (
        Channel(ours, Decoder[FromWorker](FromWorker)),
        Channel(theirs, Decoder[ToWorker](ToWorker)),
    )


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario, 20))


def test_messages_arrive_in_order_when_sent_in_pieces():
    async def scenario():
        supervisor, worker = pair()
        commands = [Stats(), Reload(LARGE, Layout.of(LARGE)), Drain(1.0, gentle=True)]
        for command in commands:
            supervisor.send(command)
        assert supervisor.pending()[1], "the message fits into the socket buffer: enlarge it"
        assert [await worker.receive() for _ in commands] == commands
        assert supervisor.pending() == (b"", b"")
        worker.send(Ready())
        assert await supervisor.receive() == Ready()
        supervisor.abort()
        worker.abort()

    run(scenario())


def test_receive_returns_none_after_peer_close_and_send_does_not_raise():
    async def scenario():
        supervisor, worker = pair()
        worker.send(Ready())
        await worker.close()
        assert await supervisor.receive() == Ready()
        assert await supervisor.receive() is None
        supervisor.send(Stats())
        supervisor.abort()
        supervisor.send(Stats())

    run(scenario())


def test_close_sends_pending_bytes_first():
    async def scenario():
        supervisor, worker = pair()
        reply = StatsReply({f"counter {number}": number for number in range(200_000)})
        worker.send(reply)
        closing = asyncio.ensure_future(worker.close())
        assert await supervisor.receive() == reply
        await closing
        assert await supervisor.receive() is None
        supervisor.abort()

    run(scenario())


def test_partial_messages_survive_a_handover():
    async def scenario():
        ours, theirs = socket.socketpair()
        first = Channel(ours.dup(), Decoder[FromWorker](FromWorker))
        worker = Channel(theirs, Decoder[ToWorker](ToWorker))
        command = Reload(LARGE, Layout.of(LARGE))
        first.send(command)
        frame = encode(StatsReply({"open": 1}))
        worker.send_raw(frame[:7])
        waiting = asyncio.ensure_future(first.receive())
        for _ in range(1000):
            if not first.pending()[0]:
                await asyncio.sleep(0)
        received, unsent = first.pending()
        waiting.cancel()
        first.abort()
        decoder = Decoder[FromWorker](FromWorker)
        decoder.receive(received)
        second = Channel(ours, decoder, unsent)
        assert await worker.receive() == command
        worker.send_raw(frame[7:])
        assert await second.receive() == StatsReply({"open": 1})
        second.abort()
        worker.abort()

    run(scenario())


def test_receive_start_rejects_a_message_without_descriptors():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(encode(Stats()))
        with pytest.raises(ControlError, match="expected Start"):
            receive_start(theirs, Decoder[ToWorker](ToWorker))
