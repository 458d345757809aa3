"""Streams and whole answers of the real relay while its manager is killed, stopped, starved."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from tests.process.serving import Serve, is_complete, message, run, serving

pytestmark = [pytest.mark.process, pytest.mark.skipif(sys.platform != "linux", reason="/proc")]

PROGRAM = (str(Path(__file__).with_name("run_managed.py")),)
MANAGEMENT = {"listen": "127.0.0.1:0"}
CLIENTS = 8


async def _requests(relay: Serve, over: asyncio.Event) -> int:
    """Streams, one after the other, each on a connection of its own; how many there were."""
    count = 0
    while not over.is_set():
        answer = await relay.ask(message(f"Hello {count}"))
        assert is_complete(answer), answer
        count += 1
    return count


async def _harm(how: str, pid: int, socket: Path) -> None:
    match how:
        case "kill":
            os.kill(pid, signal.SIGKILL)
        case "stop":
            os.kill(pid, signal.SIGSTOP)
        case "starve":
            _, writer = await asyncio.open_unix_connection(str(socket))
            writer.write(json.dumps(["eat"]).encode() + b"\n")
            await writer.drain()
            writer.close()


@pytest.mark.parametrize("how", ["kill", "stop", "starve"])
def test_no_request_fails_whatever_happens_to_the_manager(tmp_path, how):
    async def scenario() -> None:
        with tempfile.TemporaryDirectory(prefix="cc-") as folder:
            environment = {"XDG_RUNTIME_DIR": folder}
            async with serving(
                tmp_path, environment=environment, program=PROGRAM, management=MANAGEMENT
            ) as (relay, _):
                pid = (await relay.event("manager_started"))["pid"]
                over = asyncio.Event()
                async with asyncio.TaskGroup() as tasks:
                    clients = [tasks.create_task(_requests(relay, over)) for _ in range(CLIENTS)]
                    await asyncio.sleep(0.5)
                    socket = Path(folder, "ccrelay", f"{relay.address[1]}.sock")
                    await _harm(how, pid, socket)
                    died = await relay.event("manager_died")
                    again = await relay.event("manager_started", 2)
                    await asyncio.sleep(0.5)
                    over.set()
                assert sum(client.result() for client in clients) > 2 * CLIENTS
                assert died["pid"] == pid
                assert again["pid"] != pid
                assert relay.events("worker_died") == []
                outcomes = {line["status"] for line in relay.events("exchange")}
                assert outcomes == {200}

    run(scenario())
