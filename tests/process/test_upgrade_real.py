"""`ccrelay serve` with its real data plane under load: it reloads, and it is replaced."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from tests.process.serving import (
    Client,
    Serve,
    eventually,
    is_alive,
    is_complete,
    message,
    run,
    serving,
)

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

QUICK = "demo:deltas=2 demo:gap_ms=0"


class Load:
    """Clients that use their connections for as long as the relay lets them. None may fail."""

    def __init__(self, relay: Serve, lanes: int) -> None:
        self.answered = 0
        self.connections = 0
        self._relay = relay
        self._is_over = False
        self._lanes = [asyncio.ensure_future(self._lane(number)) for number in range(lanes)]

    async def end(self) -> None:
        self._is_over = True
        await asyncio.gather(*self._lanes)

    async def more(self, count: int) -> None:
        """Wait for so many more answers; a lane that failed fails the test here."""
        goal = self.answered + count

        def is_there() -> bool:
            for lane in self._lanes:
                if lane.done():
                    lane.result()
            return self.answered >= goal

        await eventually(is_there, "no more answers under load")

    async def _lane(self, number: int) -> None:
        while not self._is_over:
            client = await self._relay.client()
            self.connections += 1
            while not self._is_over and await self._ask(client, number):  # noqa: ASYNC110
                await asyncio.sleep(0.01 * (number % 3))
            client.close()

    async def _ask(self, client: Client, number: int) -> bool:
        """One request; False when the response says connection: close."""
        client.raw = b""
        is_stream = (self.answered + number) % 2 == 0
        await client.send(message(QUICK, stream=is_stream))
        status, body, is_whole = await client.answer()
        assert (status, is_whole) == (200, True), (status, client.raw[-300:])
        assert (b"message_stop" if is_stream else b'"role":"assistant"') in body.replace(
            b": ", b":"
        )
        self.answered += 1
        return b"connection: close" not in client.raw.partition(b"\r\n\r\n")[0].lower()


async def streams(relay: Serve, count: int) -> list[Client]:
    clients = [await relay.client() for _ in range(count)]
    for client in clients:
        await client.send(message("demo:deltas=30 demo:gap_ms=100"))
    for client in clients:
        await client.until(b"content_block_delta")
    return clients


def test_upgrades_under_load_fail_no_request_and_cut_no_stream(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (relay, _):
            load = Load(relay, 8)
            await load.more(20)
            long = await streams(relay, 20)
            unused = [await relay.client() for _ in range(5)]
            before = set(relay.workers().values())
            for count in (1, 2):
                relay.send(signal.SIGUSR2)
                await relay.event("upgraded", count)
                await load.more(20)
            assert not before & set(relay.workers().values())
            for client in long:
                assert is_complete(await client.answer())
                client.close()  # its head was sent before the drain, without connection: close
            for client in unused:  # connected before, used only now
                await client.send(message(QUICK))
                assert is_complete(await client.answer())
                assert b"connection: close" in client.raw.lower()
            await load.more(20)
            await load.end()
            await eventually(lambda: not any(map(is_alive, before)), "old workers stay")
            gone = relay.events("worker_exited")
            assert [event["cut"] for event in gone] == [0] * len(gone)
            assert (relay.events("worker_died"), relay.events("internal_error")) == ([], [])
            lines = relay.events("exchange")
            assert {line["ending"] for line in lines} == {"complete"}
            assert relay.process.poll() is None

    run(scenario())


@pytest.mark.slow
def test_fifty_reloads_under_load_fail_no_request_and_cut_no_stream(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (relay, _):
            config = json.loads(relay.config.read_text())
            load = Load(relay, 4)
            long = await streams(relay, 10)
            (own,) = config["providers"]
            for count in range(1, 51):
                weighted = {**own, "weight": 1 + count % 2}
                extra = {**own, "name": f"other-{count % 2}", "weight": 0}
                extra["keys"] = [{"key": "test-key-2"}]
                config["providers"] = [weighted, extra]
                fresh = relay.config.with_suffix(".tmp")
                fresh.write_text(json.dumps(config))
                fresh.chmod(0o600)
                fresh.replace(relay.config)
                relay.send(signal.SIGHUP)
                await relay.event("reloaded", count)
            await load.more(20)
            await load.end()
            for client in long:
                assert is_complete(await client.answer())
            assert relay.events("reload_failed") == relay.events("internal_error") == []
            assert {line["ending"] for line in relay.events("exchange")} == {"complete"}

    run(scenario())
