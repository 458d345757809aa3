"""One `ccrelay serve` before a mock provider, with or without the management plane."""

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bench.loopback import machine, processes

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0
ADDRESS = re.compile(rb"http://127\.0\.0\.1:(\d+)")
BODY = json.dumps(
    {
        "model": "claude-test-1",
        "max_tokens": 16,
        "messages": [{"role": "user", "content": "Hello"}],
    }
)
HEADERS = {"content-type": "application/json", "x-api-key": "test-key-1"}


class Program:
    """A `ccrelay` command whose output goes to a file."""

    def __init__(self, folder: Path, name: str, *arguments: str) -> None:
        self.output = folder / f"{name}.out"
        env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        env |= {"CCRELAY_DUMPABLE": "1", "XDG_STATE_HOME": str(folder / "state")}
        env["XDG_RUNTIME_DIR"] = str(folder)
        self.began_at = time.monotonic()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ccrelay", *arguments],
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def port(self) -> int:
        """Where it listens, once it says so."""
        found = until(lambda: ADDRESS.search(self.output.read_bytes()))
        return int(found[1])

    def end(self) -> None:
        """End it and all its descendants."""
        processes.end(self.process)


class Relay(Program):
    """One relay with one worker on a port of its own."""

    def __init__(self, folder: Path, upstream: int, *, is_managed: bool) -> None:
        self.listens_at = machine.free_port(set())
        self.log = folder / "log"
        self.log.unlink(missing_ok=True)
        sections: dict[str, Any] = {
            "server": {"listen": f"127.0.0.1:{self.listens_at}"},
            "providers": [
                {
                    "name": "mock",
                    "type": "anthropic",
                    "base_url": f"http://127.0.0.1:{upstream}",
                    "keys": [{"key": "test-key-1"}],
                    "models": ["*"],
                }
            ],
            "management": {"enabled": is_managed, "listen": "127.0.0.1:0"},
            "logging": {"level": "debug", "format": "json", "file": str(self.log)},
        }
        config = folder / "ccrelay.yaml"
        config.touch(mode=0o600)
        config.write_text(json.dumps(sections))
        super().__init__(folder, "serve", "serve", "--config", str(config))

    def first_answer_ms(self) -> float:
        """From its start to the first whole answer, ms."""
        ends_at = self.began_at + PATIENCE_S
        while True:
            try:
                ask(self.listens_at)
            except OSError:
                if time.monotonic() > ends_at:
                    raise
                time.sleep(0.001)
            else:
                return (time.monotonic() - self.began_at) * 1000.0

    def events(self, name: str) -> list[dict[str, Any]]:
        """Lines of its log with this name."""
        lines = self.log.read_bytes().split(b"\n")[:-1] if self.log.exists() else []
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def manager(self, count: int = 1) -> int:
        """The process id of the manager that was ready as the `count`-th."""
        started = until(lambda: self.events("manager_started")[count - 1 :])
        pid: int = started[0]["pid"]
        return pid


class Load:
    """Clients that send one request after the other, on connections that they keep."""

    def __init__(self, port: int, clients: int = 4) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._over = threading.Event()
        self._port = port
        self._threads = [threading.Thread(target=self._send) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        while not self._over.is_set():
            try:
                exchange(connection)
                self.answers += 1
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
        connection.close()

    def stop(self) -> None:
        """End it."""
        self._over.set()
        for thread in self._threads:
            thread.join()


def ask(port: int) -> None:
    """One request on a connection of its own. Raises OSError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        exchange(connection)
    finally:
        connection.close()


def exchange(connection: http.client.HTTPConnection) -> None:
    """One request; raises OSError unless the answer is whole."""
    connection.request("POST", "/v1/messages", BODY, HEADERS)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200 or b'"type":"message"' not in body:
        raise OSError(f"{answer.status} {body[:200]!r}")


def until(condition: Any, patience_s: float = PATIENCE_S) -> Any:
    """Poll until it is true, and return its value. Raises TimeoutError."""
    ends_at = time.monotonic() + patience_s
    while not (value := condition()):
        if time.monotonic() > ends_at:
            raise TimeoutError("it did not happen")
        time.sleep(0.005)
    return value


def short_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder whose path leaves room for the address of a socket."""
    return tempfile.TemporaryDirectory(prefix="cc-")
