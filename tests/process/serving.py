"""The real `ccrelay serve` as a process, and clients that speak to it over plain sockets."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import h11

import ccrelay
from ccrelay.demo.server import DemoServer, start_demo

ROOT = Path(ccrelay.__file__).parents[1]  # of the package under test: tree or installed
NO_MANAGER = {"enabled": False}  # most tests have no use for one
PATIENCE_S = 20.0  # upper bound for a slow machine; waits end as soon as the condition holds

Whole = tuple[int, bytes, bool]
"""Status, body, and whether it came to its end."""

PROVIDER_KEY = "test-canary-provider-1"
RELAY_TOKEN = "test-canary-relay-1"
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "PYTHONPATH": str(ROOT),
    "CANARY_PROVIDER": PROVIDER_KEY,
    "CANARY_RELAY": RELAY_TOKEN,
    "CCRELAY_DUMPABLE": os.environ.get("CCRELAY_DUMPABLE", ""),
    "XDG_STATE_HOME": os.environ["XDG_STATE_HOME"],
}


async def eventually(condition: Callable[[], Any], what: str = "it did not happen") -> Any:
    """Poll until the condition is true, and return its value."""
    ends_at = time.monotonic() + PATIENCE_S
    while not (answer := condition()):
        assert time.monotonic() < ends_at, what
        await asyncio.sleep(0.01)
    return answer


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"  # an orphan that init has not reaped yet
    return True


class Serve:
    """One `ccrelay serve`. `sections` are those of the configuration; the log goes to a file."""

    def __init__(self, folder: Path, *arguments: str, **sections: Any) -> None:
        self.log = folder / "log"
        self.folder = folder
        given = sections.pop("logging", {})
        sections["logging"] = {"level": "debug", "format": "json", "file": str(self.log), **given}
        sections = {"management": NO_MANAGER, **sections}
        self.config = folder / "ccrelay.yaml"
        self.config.write_text(json.dumps(sections))
        self.config.chmod(0o600)
        self.arguments = ("--config", str(self.config), *arguments)
        self.address = ("", 0)
        self.output = ""
        self.clients: list[Client] = []
        self.program = ("-m", "ccrelay", "serve")

    async def start(self, **environment: str) -> None:
        """Start it, and wait for the banner."""
        self._spawn(environment)
        assert self.process.stdout is not None
        while "http://" not in self.output:  # the banner begins with the version
            line = await asyncio.to_thread(self.process.stdout.readline)
            assert line, f"it did not start: {self.stderr}"
            self.output += line
        host, _, port = self.output.split("http://")[1].split()[0].rpartition(":")
        self.address = (host, int(port))

    def _spawn(self, environment: dict[str, str]) -> None:
        with (self.folder / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, *self.arguments],
                env={**ENVIRONMENT, **environment},
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )

    async def client(self) -> "Client":
        """Connect; `clear` closes the connection."""
        made = Client(*await asyncio.open_connection(*self.address))
        self.clients.append(made)
        return made

    async def ask(self, request: bytes) -> "Whole":
        """One request on a connection of its own."""
        client = await self.client()
        await client.send(request)
        answer = await client.answer()
        client.close()
        return answer

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log events with this name, of complete lines."""
        lines = self.log.read_bytes().split(b"\n")[:-1] if self.log.exists() else []
        return [event for event in map(json.loads, lines) if event["event"] == name]

    async def event(self, name: str, count: int = 1) -> dict[str, Any]:
        """Wait for `count` events of this name, and return the last."""
        await eventually(lambda: len(self.events(name)) >= count, f"no event {name}")
        found: dict[str, Any] = self.events(name)[count - 1]
        return found

    def workers(self) -> dict[int, int]:
        """The pid of each slot's newest worker."""
        return {event["worker"]: event["pid"] for event in self.events("worker_ready")}

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def wait(self) -> int:
        """Wait for the exit, and return the exit code."""
        code = await asyncio.to_thread(self.process.wait, PATIENCE_S)
        assert self.process.stdout is not None
        self.output += self.process.stdout.read()
        return code

    async def clear(self) -> None:
        """Kill it if it still runs, and assert that no worker outlives it."""
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.process.kill()
        await self.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        pids = [event["pid"] for event in self.events("worker_ready")]
        await eventually(lambda: not any(map(is_alive, pids)), "a worker outlived its supervisor")

    def owners(self) -> dict[int, int]:
        """Which worker (pid) has a connection, by the client's port. Linux."""
        inodes = {}
        for pid in self.workers().values():
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes[os.readlink(entry)] = pid
        found = {}
        for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = row.split()
            local, remote = (int(end.rpartition(":")[2], 16) for end in fields[1:3])
            owner = inodes.get(f"socket:[{fields[9]}]")
            if owner is not None and local == self.address[1]:
                found[remote] = owner
        return found


class Client:
    """One connection to the relay."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.port: int = writer.get_extra_info("sockname")[1]
        self.raw = b""
        self.closed_cleanly = False

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def more(self) -> bool:
        """Read once; False at the end."""
        try:
            data = await asyncio.wait_for(self._reader.read(262_144), PATIENCE_S)
        except ConnectionError:
            return False
        self.closed_cleanly = not data
        self.raw += data
        return bool(data)

    async def until(self, marker: bytes) -> None:
        while marker not in self.raw:
            assert await self.more(), f"ended before {marker!r}: {self.raw[-300:]!r}"

    async def answer(self) -> "Whole":
        """Status, body, and whether it was whole; of the first answer on the connection."""
        while True:
            status, body, is_whole = parse(self.raw, wait=False)
            if is_whole:
                return status, body, True
            if not await self.more():
                return parse(self.raw, wait=self.closed_cleanly)

    def close(self) -> None:
        self._writer.close()


def parse(raw: bytes, *, wait: bool) -> Whole:
    """Status, body so far, and whether an answer is whole."""
    judge = h11.Connection(h11.CLIENT)
    judge.send(h11.Request(method="POST", target="/", headers=[("host", "h")]))
    judge.send(h11.EndOfMessage())
    if raw:
        judge.receive_data(raw)
    if wait:
        judge.receive_data(b"")
    status, body = 0, b""
    while True:
        try:
            event = judge.next_event()
        except h11.RemoteProtocolError:
            return status, body, False
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return status, body, True
        elif event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
            return status, body, False


def message(prompt: str = "Hello", *fields: bytes, stream: bool = True) -> bytes:
    """A request as curl would send it."""
    turns = [{"role": "user", "content": prompt}]
    plain = {"model": "claude-test-1", "max_tokens": 64, "stream": stream, "messages": turns}
    body = json.dumps(plain).encode()
    lines = [
        b"POST /v1/messages HTTP/1.1",
        b"Host: 127.0.0.1",
        b"User-Agent: curl/8.5.0",
        b"Accept: */*",
        b"content-type: application/json",
        b"x-api-key: " + RELAY_TOKEN.encode(),
        *fields,
        b"Content-Length: %d" % len(body),
    ]
    return b"\r\n".join([*lines, b"", body])


def is_complete(answer: Whole) -> bool:
    """Whether a stream came through to its last event and its last byte."""
    status, body, is_whole = answer
    return status == 200 and is_whole and b"event: message_stop" in body


@contextlib.asynccontextmanager
async def serving(
    folder: Path,
    *arguments: str,
    environment: dict[str, str] | None = None,
    program: tuple[str, ...] | None = None,
    **sections: Any,
) -> AsyncIterator[tuple[Serve, DemoServer]]:
    """A relay of two workers before a demo provider."""
    demo = await start_demo()
    server = {
        "listen": "127.0.0.1:0",
        "workers": 2,
        "auth": {"tokens": ["${CANARY_RELAY}"]},
        **sections.pop("server", {}),
    }
    provider = {
        "name": "mock",
        "type": "anthropic",
        "passthrough": ["files"],
        "base_url": demo.url,
        "keys": [{"key": "${CANARY_PROVIDER}"}],
        "models": ["*"],
    }
    relay = Serve(folder, *arguments, server=server, providers=[provider], **sections)
    relay.program = program or relay.program
    try:
        await relay.start(**(environment or {}))
        try:
            await relay.event("worker_ready", server["workers"])
            yield relay, demo
        finally:
            await relay.clear()
    finally:
        await demo.close()


def run(scenario: Awaitable[None]) -> None:
    """Run a test's coroutine, for a minute at most."""
    asyncio.run(asyncio.wait_for(scenario, 60))  # type: ignore[arg-type]
