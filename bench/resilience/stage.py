"""The processes on stage: mock providers and the real `ccrelay serve`, in a folder of their own."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

from bench.loopback import machine, processes
from bench.resilience.client import TOKEN, Ending, Request, ask

ROOT = Path(__file__).parents[2]  # where `-m ccrelay` is found in a checkout
READY_WAIT_S = 20.0
HTTP_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")

T = TypeVar("T")


class StageError(Exception):
    """A process did not do its part; the message has what it said."""


class Program:
    """A process of ours; what it says goes to a file."""

    def __init__(self, folder: Path, name: str, arguments: list[str]) -> None:
        self._output = folder / f"{name}.out"
        self._command = [sys.executable, "-m", "ccrelay", *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self.name = name
        self.port = 0

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it, and wait until it says where it listens. Raises StageError."""
        self._spawn()
        try:
            found = await until(self._address, f"{self.name} did not start")
        except StageError as error:
            raise StageError(f"{error}\n{self._output.read_text()[-3000:]}") from error
        self.port = int(found[1])

    def _spawn(self) -> None:
        env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        env["CCRELAY_DUMPABLE"] = "1"  # else its descriptors could only be counted as root
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _address(self) -> re.Match[str] | None:
        if self._process is None or self._process.poll() is not None:
            raise StageError(f"{self.name} ended")
        return HTTP_ADDRESS.search(self._output.read_text())

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it alone."""
        os.kill(self.pid, number)

    def kill(self) -> float:
        """End it without a word; the moment (monotonic s) at which that was done."""
        assert self._process is not None
        killed_at = time.monotonic()
        self._process.kill()
        self._process.wait()
        return killed_at

    def end(self) -> None:
        """End it and all its descendants, if it runs."""
        if self._process is not None:
            processes.end(self._process)
        self._process = None


class Mock(Program):
    """One `ccrelay mock`, on a port that stays its own."""

    def __init__(self, folder: Path, name: str, port: int, *options: str) -> None:
        self.record = folder / f"{name}.jsonl"
        super().__init__(
            folder,
            name,
            ["mock", "--listen", f"127.0.0.1:{port}", "--record", str(self.record), *options],
        )

    @property
    def url(self) -> str:
        """What a provider's `base_url` is."""
        return f"http://127.0.0.1:{self.port}"

    async def ledger(self) -> dict[str, dict[str, Any]]:
        """What it let through, by the fingerprint of the key."""
        ledger: dict[str, dict[str, Any]] = await self._steer("GET", "/demo/limits")
        return ledger

    async def requests(self) -> int:
        """How many requests it let through."""
        return sum(line["requests"] for line in (await self.ledger()).values())

    async def forget(self) -> None:
        """Begin a new ledger."""
        await self._steer("POST", "/demo/limits/reset")

    async def fault(self, name: str) -> None:
        """From now on this happens to every request; `none` ends it."""
        await self._steer("POST", f"/demo/fault?name={urllib.parse.quote(name)}")

    async def _steer(self, method: str, target: str) -> Any:
        answer = await ask(self.port, Request(method, target), patience_s=READY_WAIT_S)
        if answer.status != 200 or answer.ending is not Ending.WHOLE:
            raise StageError(f"{self.name}: {method} {target}: {answer}")
        return json.loads(answer.body)

    def recorded(self) -> list[dict[str, Any]]:
        """The requests it has settled."""
        lines = self.record.read_bytes().split(b"\n")[:-1]
        return [line for line in map(json.loads, lines) if line["target"] == "/v1/messages"]


class Relay(Program):
    """One `ccrelay serve`. `sections` are those of its configuration."""

    def __init__(self, folder: Path, name: str, **sections: Any) -> None:
        self.log = folder / f"{name}.log"
        self._config = folder / f"{name}.yaml"
        super().__init__(folder, name, ["serve", "--config", str(self._config)])
        server = {"listen": "127.0.0.1:0", "workers": 2, "auth": {"tokens": [TOKEN]}}
        self.sections = {
            **sections,
            "server": server | sections.get("server", {}),
            "logging": {"level": "debug", "format": "json", "file": str(self.log)},
        }
        self.write()

    def write(self) -> None:
        """Put the sections where it reads them, in one step."""
        fresh = self._config.with_suffix(".new")
        fresh.touch(mode=0o600)  # it holds keys, if only made-up ones
        fresh.write_text(json.dumps(self.sections))
        fresh.replace(self._config)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Lines of the log with this name."""
        lines = self.log.read_bytes().split(b"\n")[:-1] if self.log.exists() else []
        wanted = f'"{name}"'.encode()
        found = [json.loads(line) for line in lines if wanted in line]
        return [event for event in found if event["event"] == name]

    def workers(self) -> set[int]:
        """The processes below the supervisor."""
        return set(processes.tree(self.pid)[1:])

    def owners(self) -> dict[int, int]:
        """Which worker (pid) has a connection, by the client's port."""
        inodes = {}
        for pid in self.workers():
            with contextlib.suppress(OSError):
                for entry in Path(f"/proc/{pid}/fd").iterdir():
                    with contextlib.suppress(OSError):
                        inodes[os.readlink(entry)] = pid
        found = {}
        for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = row.split()
            local, remote = (int(end.rpartition(":")[2], 16) for end in fields[1:3])
            owner = inodes.get(f"socket:[{fields[9]}]")
            if owner is not None and local == self.port:
                found[remote] = owner
        return found


class Stage:
    """Makes the processes of a scenario, and ends them with it."""

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self.quick = quick
        self._folder = folder
        self._programs: list[Program] = []
        self._ports: set[int] = set()

    async def mock(self, name: str, *options: str) -> Mock:
        """Start a mock provider; options of `ccrelay mock`."""
        made = Mock(self._folder, name, machine.free_port(self._ports), *options)
        await self._start(made)
        return made

    async def relay(self, name: str, **sections: Any) -> Relay:
        """Start a relay; sections of its configuration."""
        made = Relay(self._folder, name, **sections)
        await self._start(made)
        return made

    async def _start(self, program: Program) -> None:
        self._programs.append(program)
        await program.start()

    def clear(self) -> None:
        """End everything that was started."""
        for program in reversed(self._programs):
            program.end()
        self._programs.clear()


@contextlib.asynccontextmanager
async def relaying(stage: Stage, name: str, **sections: Any) -> AsyncIterator[Relay]:
    """A relay for a part of a scenario only."""
    relay = await stage.relay(name, **sections)
    try:
        yield relay
    finally:
        await asyncio.to_thread(relay.end)


def provider(mock: Mock, keys: int = 1, **more: Any) -> dict[str, Any]:
    """A provider's section. `more` are its members, and with `key_` in front those of its keys."""
    of_keys = {name[4:]: value for name, value in more.items() if name.startswith("key_")}
    rest = {name: value for name, value in more.items() if not name.startswith("key_")}
    return {
        "name": mock.name,
        "type": "anthropic",
        "base_url": mock.url,
        "models": ["*"],
        "keys": [{"key": f"bench-key-{mock.name}-{n}", **of_keys} for n in range(1, keys + 1)],
        **rest,
    }


async def until(question: Callable[[], T | None], what: str, wait_s: float = READY_WAIT_S) -> T:
    """Ask until there is an answer. Raises StageError with `what`."""
    ends_at = time.monotonic() + wait_s
    while not (answer := question()):
        if time.monotonic() > ends_at:
            raise StageError(what)
        await asyncio.sleep(0.02)
    return answer
