"""A real relay with `ccrelay mock` behind it, for pages: it can be killed and started again."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.process.serving import ENVIRONMENT

PATIENCE_S = 240.0
"""How long tests wait for what must come: spent by failures only, so ample for a busy machine."""


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until a condition is true, and return its value."""
    ends_at = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < ends_at, what
        time.sleep(0.02)
    return value


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class RealRelay:
    """`ccrelay serve` over `ccrelay mock`, each a process of its own.

    Providers are `main` with the keys `team-a` and `team-b`, and `spare` with the key `plan`.
    """

    def __init__(self, folder: Path, **sections: Any) -> None:
        self.folder = folder
        self.port, self.management_port = free_port(), free_port()
        self.mock_port = free_port()
        self.token_file = folder / "state" / "ccrelay" / "management-token"
        self.config = folder / "ccrelay.yaml"
        self._processes: list[subprocess.Popen[bytes]] = []
        base = f"http://127.0.0.1:{self.mock_port}"
        keys = [{"name": "team-a", "key": "test-key-a"}, {"name": "team-b", "key": "test-key-b"}]
        written = {
            "server": {"listen": f"127.0.0.1:{self.port}", "workers": 1},
            "providers": [
                {"name": "main", "type": "anthropic", "base_url": base, "keys": keys},
                {
                    "name": "spare",
                    "type": "anthropic",
                    "base_url": base.replace("127.0.0.1", "localhost"),
                    "keys": [{"name": "plan", "key": "test-key-p"}],
                    "priority": 9,
                },
            ],
            "management": {"listen": f"127.0.0.1:{self.management_port}"},
            "logging": {"level": "info", "format": "json", "file": str(folder / "log")},
            **sections,
        }
        self.config.write_text(json.dumps(written))
        self.config.chmod(0o600)

    def start_mock(self, *arguments: str) -> None:
        """Start the provider."""
        self._spawn("mock", "--listen", f"127.0.0.1:{self.mock_port}", *arguments)
        until(lambda: _answers(self.mock_port), "the mock does not listen")

    def start(self) -> None:
        """Start the relay, and wait for its management port."""
        self.process = self._spawn("serve", "--config", str(self.config))
        until(
            lambda: _answers(self.port) and _answers(self.management_port) and self.token,
            f"the relay does not listen: {(self.folder / 'stderr').read_text()}",
        )

    @property
    def url(self) -> str:
        """Address of its page."""
        return f"http://{self.management}/"

    @property
    def link(self) -> str:
        """A link that signs in, as the command makes it."""
        control = self.folder / "ccrelay" / f"{self.port}.sock"
        command = [sys.executable, "-m", "ccrelay", "open", "--print", "--socket", str(control)]
        done = subprocess.run(
            command, env=self._environment(), cwd=self.folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[0]

    def _environment(self) -> dict[str, str]:
        return {
            **ENVIRONMENT,
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_RUNTIME_DIR": str(self.folder),
        }

    def _spawn(self, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self.folder / "stderr").open("ab") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "ccrelay", *arguments],
                env=self._environment(),
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def kill(self) -> None:
        """SIGKILL for the supervisor, its workers and its manager."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)
        until(lambda: not _answers(self.management_port), "it listens still")

    def close(self) -> None:
        """End all processes."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE_S)

    @property
    def token(self) -> str:
        """That of the management port; empty: not made yet."""
        return self.token_file.read_text().strip() if self.token_file.exists() else ""

    @property
    def management(self) -> str:
        return f"127.0.0.1:{self.management_port}"

    def ask(
        self,
        prompt: str = "hello",
        *,
        model: str = "claude-sonnet-4-5",
        session: str = "5e55-0001",
        project: str = "payments-api",
        agent: str = "",
        fault: str = "",
        stream: bool = True,
        timeout_s: float = PATIENCE_S,
    ) -> int:
        """Send one request through the relay, read the whole answer, and return its status."""
        headers = {
            "content-type": "application/json",
            "anthropic-version": "2023-06-01",
            "x-api-key": "of-the-client",
            "x-claude-code-session-id": session,
            "x-ccrelay-project": project,
        }
        if agent:
            headers["x-claude-code-agent-id"] = agent
        if fault:
            headers["x-demo-fault"] = fault
        body = {
            "model": model,
            "max_tokens": 100,
            "stream": stream,
            "messages": [{"role": "user", "content": prompt}],
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/messages",
            json.dumps(body).encode(),
            headers,
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.read()
            return error.code

    def call(self, method: str, request: Any, response: Any) -> Any:
        """One call of the management API, the oracle of what pages show: gRPC with the token."""
        import grpc

        with grpc.insecure_channel(self.management) as channel:
            ask = channel.unary_unary(
                f"/ccrelay.v1.{method}",
                request_serializer=type(request).SerializeToString,
                response_deserializer=response.FromString,
            )
            return ask(
                request,
                timeout=PATIENCE_S,
                metadata=(("authorization", f"Bearer {self.token}"),),
            )


@contextlib.contextmanager
def real_relay(folder: Path, *mock_arguments: str, **sections: Any) -> Iterator[RealRelay]:
    """A relay that runs, with its provider."""
    relay = RealRelay(folder, **sections)
    try:
        relay.start_mock(*mock_arguments)
        relay.start()
        yield relay
    finally:
        relay.close()
