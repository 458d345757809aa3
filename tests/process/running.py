"""A supervisor process over fake workers, and its log."""

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec

import ccrelay
from ccrelay.config.model import (
    Config,
    Key,
    Logging,
    Management,
    Provider,
    Server,
    ServerTimeouts,
)
from ccrelay.config.trust import confirm

RUN = str(Path(__file__).with_name("run_supervisor.py"))
ROOT = str(Path(ccrelay.__file__).parents[1])  # of the package under test
NO_FOLDERS = {"CCRELAY_CONFIG": "", "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": ""}
NO_MANAGER = Management(enabled=False)  # most tests have no use for one
PATIENCE_S = 20.0  # upper bound for a slow machine; waits end as soon as the condition holds


def provider(name: str = "zai", *keys: str, **members: object) -> Provider:
    """A provider that passes the checks."""
    made = [Key(key=key) for key in keys or ("test-key-1",)]
    return Provider(name=name, type="zai", keys=made, **members)


class Running:
    """One supervisor process, its workers and its log."""

    def __init__(self, folder: Path, *, workers: int = 1, drain_s: float = 10.0, **how: object):
        self.log = folder / "log"
        self.file = folder / "ccrelay.yaml"
        self.config = Config(
            server=Server(
                listen="127.0.0.1:0",
                workers=workers,
                watch=how.get("watch", True),
                timeouts=ServerTimeouts(drain_s=drain_s),
            ),
            providers=how.get("providers", [provider()]),
            logging=Logging(level="debug", format="json", file=str(self.log)),
            management=how.get("management", NO_MANAGER),
        )
        self.write(self.config)
        path, cwd, env = str(how.get("path", self.file)), None, how.get("env", {})
        if how.get("is_found"):  # in the working directory, and confirmed
            path, cwd, env = "-", folder, {**NO_FOLDERS, "HOME": str(folder), **env}
            confirm(self.file, hashlib.sha256(self.file.read_bytes()).hexdigest(), env)
        self.process = subprocess.Popen(
            [sys.executable, RUN, path, *how.get("arguments", ())],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": ROOT, **env},
        )
        self.output = self.process.stdout.readline().split()

    def write(self, config: Config) -> None:
        """Write it to the file, in place."""
        self.file.write_bytes(msgspec.json.encode(config))

    def change(self, **members: object) -> Config:
        """Write the configuration with some members replaced, and keep it in `config`."""
        self.config = msgspec.structs.replace(self.config, **members)
        self.write(self.config)
        return self.config

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.output[0].rpartition(":")
        return host, int(port)

    def connect(self, words: str) -> socket.socket:
        connection = socket.create_connection(self.address, timeout=PATIENCE_S)
        connection.sendall(words.encode())
        return connection

    def ask(self, words: str) -> str:
        with self.connect(words) as connection:
            return connection.recv(10_000).decode()

    def pids(self, count: int) -> set[int]:
        """Send requests until `count` different workers have answered."""
        seen: set[int] = set()
        deadline = time.monotonic() + PATIENCE_S
        while len(seen) < count and time.monotonic() < deadline:
            seen.add(int(self.ask("pid")))
        return seen

    def lines(self) -> list[dict[str, object]]:
        """The complete lines of the log."""
        lines = self.log.read_text().split("\n")[:-1] if self.log.exists() else []
        return [json.loads(line) for line in lines]

    def events(self, name: str) -> list[dict[str, object]]:
        """The log events with this name."""
        return [event for event in self.lines() if event["event"] == name]

    def await_event(self, name: str, count: int = 1) -> dict[str, object]:
        eventually(lambda: len(self.events(name)) >= count, f"no event {name}")
        return self.events(name)[count - 1]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(PATIENCE_S)


def eventually(condition, what="it did not happen"):
    """Poll until the condition is true, and return its value."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return value


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(OSError):
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"  # not yet reaped by init
    return True


def is_refused(address) -> bool:
    try:
        with socket.create_connection(address, timeout=PATIENCE_S):
            return False
    except ConnectionError:
        return True
