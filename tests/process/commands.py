"""The real `ccrelay` command as a process, and a management API with the design's data."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ccrelay.v1 import config_pb2, exchanges_pb2, providers_pb2, relay_pb2, usage_pb2
from tests.loopback.control.harness import Behaviour, Served, serve
from tests.process.serving import ENVIRONMENT, PATIENCE_S
from tests.unit.cli import examples
from tests.unit.cli.served import ZONE, status

PROGRAM = [sys.executable, "-m", "ccrelay"]


def answering(message: Any) -> Behaviour:
    """A method with one answer."""

    async def answer(request: Any, context: Any) -> Any:
        return message

    return answer


def streaming(messages: list[Any], then_s: float = 0.0) -> Behaviour:
    """A method with several answers, which then waits before it ends."""

    async def answers(request: Any, context: Any) -> Any:
        for message in messages:
            yield message
        await asyncio.sleep(then_s)

    return answers


def behaviours() -> dict[str, Behaviour]:
    """What the relay of the design answers."""
    said = status()
    newest_last = examples.exchanges()[::-1]
    return {
        "Relay/GetStatus": answering(relay_pb2.GetStatusResponse(status=said)),
        "Relay/Reload": answering(relay_pb2.ReloadResponse(changed=True, revision=12)),
        "Providers/List": answering(
            providers_pb2.ProvidersListResponse(providers=said.providers)
        ),
        "Exchanges/List": answering(
            exchanges_pb2.ExchangesListResponse(exchanges=examples.exchanges())
        ),
        "Exchanges/Get": answering(examples.detail()),
        "Exchanges/Tail": streaming([exchanges_pb2.TailResponse(exchanges=newest_last)], 60.0),
        "Exchanges/WatchRunning": streaming([examples.running()], 60.0),
        "Usage/Query": answering(examples.usage()),
        "Usage/ListSessions": answering(examples.sessions()),
        "Routing/ListRules": answering(examples.rules()),
        "Usage/Export": streaming([usage_pb2.ExportResponse(data=b"id\r\n" * 40_000)] * 20),
        "Usage/Prices": answering(examples.prices()),
        "Routing/Explain": answering(examples.explanation()),
        "Config/ListRevisions": answering(examples.revisions()),
        "Config/Get": answering(config_pb2.ConfigGetResponse(revision=14)),
    }  # fmt: skip


@contextlib.contextmanager
def relay(folder: Path, others: dict[str, Behaviour] | None = None, **how: Any) -> Iterator[Served]:
    """A management API on a Unix socket; `others` replace behaviours of the design's relay."""
    with serve(folder, behaviours() | (others or {}), **how) as served:
        yield served


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Variables of a command: those of no developer, but what was compiled is kept."""
    return {
        **ENVIRONMENT,
        "HOME": str(folder),
        "TZ": ZONE,
        "LC_ALL": "C.UTF-8",
        "PYTHONPYCACHEPREFIX": f"{os.environ['XDG_STATE_HOME']}/pycache",
        **more,
    }


def run(
    folder: Path, *arguments: str, env: dict[str, str] | None = None, **how: Any
) -> "subprocess.CompletedProcess[str]":
    """Run `ccrelay ...` to its end; text of both outputs."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=environment(folder, **(env or {})),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE_S * 3,
        **{"capture_output": True, "text": True, **how},
    )


def cpu_ms(
    folder: Path, *arguments: str, env: dict[str, str], program: list[str] = PROGRAM
) -> float:
    """CPU of one `ccrelay ...` from its start to its end, user and system, in milliseconds."""
    program = [*program, *arguments]
    nowhere = os.open(os.devnull, os.O_RDWR)
    try:
        pid = os.posix_spawn(
            program[0],
            program,
            environment(folder, **env),
            file_actions=[(os.POSIX_SPAWN_DUP2, nowhere, fd) for fd in (0, 1, 2)],
        )
    finally:
        os.close(nowhere)
    _, code, used = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(code) == 0
    return (used.ru_utime + used.ru_stime) * 1e3


def until(condition: Any, what: str) -> Any:
    """Poll until a condition is true, and return its value."""
    ends_at = time.monotonic() + PATIENCE_S
    while not (answer := condition()):
        assert time.monotonic() < ends_at, what
        time.sleep(0.02)
    return answer
