"""Exchanges under way of a real relay, watched over its socket while slow streams run."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.control.client import Client
from ccrelay.v1 import exchanges_pb2 as v1
from tests.process.serving import Serve, eventually, is_complete, message, run, serving

pytestmark = [pytest.mark.process, pytest.mark.skipif(sys.platform != "linux", reason="/proc")]

STREAMING = v1.Running.PHASE_STREAMING


class Watcher:
    """Reads WatchRunning in a thread; `seen` are all messages."""

    def __init__(self, client: Client) -> None:
        request = v1.WatchRunningRequest(interval_ms=200)
        self._stream = client.stream("Exchanges/WatchRunning", request, v1.WatchRunningResponse)
        self.seen: list[Any] = []

    @property
    def last(self) -> Any:
        """The newest message."""
        return self.seen[-1] if self.seen else v1.WatchRunningResponse()

    def read(self) -> None:
        """Read until it is closed."""
        with contextlib.suppress(Exception):  # closed by the other thread
            for answer in self._stream:
                self.seen.append(answer)

    def close(self) -> None:
        """End the call."""
        self._stream.close()


@contextlib.asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[tuple[Serve, Client, Watcher]]:
    with tempfile.TemporaryDirectory(prefix="cc-") as runtime:
        async with serving(
            folder,
            environment={"XDG_RUNTIME_DIR": runtime},
            management={"listen": "127.0.0.1:0"},
            ledger={"path": str(folder / "ledger.db")},
        ) as (relay, _):
            await relay.event("manager_started")
            client = Client(Path(runtime, "ccrelay", f"{relay.address[1]}.sock"))
            watcher = Watcher(client)
            reading = asyncio.get_running_loop().run_in_executor(None, watcher.read)
            try:
                await eventually(lambda: watcher.seen, "nothing is told")
                yield relay, client, watcher
            finally:
                relay.send(signal.SIGINT)
                relay.send(signal.SIGINT)
                await reading


def test_a_stream_is_seen_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watched(tmp_path) as (relay, client, watcher):
            assert watcher.last.total == 0
            prompt = "demo:deltas=6 demo:gap_ms=500"
            fields = (b"x-claude-code-session-id: 3f8c41", b"x-ccrelay-project: payments-api")
            raw = message(prompt, *fields)
            asker = await relay.client()
            await asker.send(raw[:-5])
            await eventually(lambda: watcher.last.total == 1, "it does not begin")
            await asker.send(raw[-5:])
            assert is_complete(await asker.answer())
            await eventually(lambda: watcher.last.total == 0, "it does not end")
            told = [one for answer in watcher.seen for one in answer.running]
            phases = [one.phase for one in told]
            assert phases == sorted(phases), "it goes back"
            assert {v1.Running.PHASE_PREPARING, STREAMING} <= set(phases)
            sizes = [one.bytes_out for one in told if one.phase == STREAMING]
            assert len(set(sizes)) > 2
            assert sizes == sorted(sizes)
            (name,) = {one.id for one in told}
            last = told[-1]
            assert (last.session, last.project) == ("3f8c41", "payments-api")
            assert (last.provider, last.model, last.attempts) == ("mock", "claude-test-1", 1)

            def kept() -> Any:
                with contextlib.suppress(Exception):  # not written yet
                    return client.call(
                        "Exchanges/Get", v1.ExchangesGetRequest(id=name), v1.ExchangesGetResponse
                    )
                return None

            exchange = (await eventually(kept, "it is not in the ledger")).exchange
            assert exchange.id == name
            assert exchange.first_event_ms == pytest.approx(last.first_event_ms, abs=1.0)
            assert abs(exchange.started_at_ms - last.started_at_ms) < 50
            assert exchange.bytes_out >= last.bytes_out

    run(scenario())


def test_streams_of_a_killed_worker_are_gone_and_those_of_the_others_stay(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watched(tmp_path) as (relay, _, watcher):
            clients = [await relay.client() for _ in range(12)]
            for client in clients:
                await client.send(message("demo:deltas=600 demo:gap_ms=50"))
                await client.until(b"content_block_delta")
            owners = relay.owners()
            await eventually(lambda: watcher.last.total == len(clients), "not all are told")
            victim = owners[clients[0].port]
            left = sum(owners[client.port] != victim for client in clients)
            os.kill(victim, signal.SIGKILL)
            await eventually(lambda: watcher.last.total == left, "the killed are still told")
            starts = [one.started_at_ms for one in watcher.last.running]
            assert starts == sorted(starts)

    run(scenario())


def test_a_worker_that_hangs_keeps_the_others_from_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watched(tmp_path) as (relay, _, watcher):
            client = await relay.client()
            await client.send(message("demo:deltas=600 demo:gap_ms=50"))
            await client.until(b"content_block_delta")
            await eventually(lambda: watcher.last.total == 1, "it is not told")
            owner = relay.owners()[client.port]
            idle = next(pid for pid in relay.workers().values() if pid != owner)
            os.kill(idle, signal.SIGSTOP)
            try:
                seen = len(watcher.seen)
                await eventually(lambda: len(watcher.seen) >= seen + 6, "it stands still")
                assert all(answer.total == 1 for answer in watcher.seen[seen + 2 :])
            finally:
                os.kill(idle, signal.SIGCONT)

    run(scenario())
