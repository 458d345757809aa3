"""The whole way in one piece: client -> tap -> `ccrelay serve` -> tap -> demo provider.

    with Rig(folder, passthrough()) as rig:
        ...            # a client talks to rig.url
        rig.front.seen(), rig.back.seen(), rig.demo.requests

The relay is a real process; taps and demo run on an event loop in a thread of this one.
"""

import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

import ccrelay
from ccrelay.demo.script import Script
from ccrelay.demo.server import DemoServer, start_demo
from tests.client.recorder import Tap

READY_S = 30.0
ENDED_S = 20.0

RELAY_TOKEN = "test-relay-token"
UPSTREAM_KEY = "test-upstream-key"
SENT_MODEL = "demo-model-1"

Providers = Callable[[str], dict[str, Any]]
T = TypeVar("T")


def passthrough(upstream: str) -> dict[str, Any]:
    """The client's own credential and model go to the provider as they are."""
    return {"providers": [{"name": "mock", "type": "anthropic", "base_url": upstream}]}


def mapped(upstream: str) -> dict[str, Any]:
    """A relay token comes in, the relay's own key goes out, and every model has another name."""
    provider = {
        "name": "mock",
        "type": "anthropic",
        "base_url": upstream,
        "keys": [{"key": "${UPSTREAM_KEY}"}],
        "model_mapping": {"claude-*": SENT_MODEL},
    }
    return {"server": {"auth": {"tokens": ["${RELAY_TOKEN}"]}}, "providers": [provider]}


class Rig:
    """Everything between a client and the end of the world, on loopback.

    Args:
        folder: for configuration and logs.
        providers: the configuration, given the upstream's URL; the listen address is added.
        script: faults by order of requests, as `ccrelay mock --script` takes them.
    """

    def __init__(self, folder: Path, providers: Providers, *, script: str = "ok") -> None:
        self._folder = folder
        self._providers = providers
        self._script = Script.parse(script)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rig", daemon=True)
        self._relay: subprocess.Popen[str] | None = None
        self.demo: DemoServer
        self.front: Tap
        self.back: Tap

    @property
    def url(self) -> str:
        """What the client takes for its base URL."""
        return self.front.url

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.demo = self._run(start_demo(script=self._script, gap_ms=0, record=True))
            self.back = Tap(self.demo.port)
            self._run(self.back.open())
            self.front = Tap(self._start_relay())
            self._run(self.front.open())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        exit_code = self._stop_relay()
        for part in ("front", "back", "demo"):
            if hasattr(self, part):
                self._run(getattr(self, part).close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=ENDED_S)
        self._loop.close()
        log = self.log()
        sys.stdout.write(log)  # pytest shows it when the test failed
        assert exit_code == 0, f"ccrelay ended with {exit_code}"
        assert '"defect"' not in log

    def log(self) -> str:
        """What the relay wrote to standard error."""
        file = self._folder / "relay.log"
        return file.read_text() if file.exists() else ""

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=ENDED_S)

    def _start_relay(self) -> int:
        config = self._providers(self.back.url)
        config["server"] = {"listen": "127.0.0.1:0", **config.get("server", {})}
        config["logging"] = {"format": "json"}
        file = self._folder / "ccrelay.yaml"
        file.write_text(json.dumps(config))  # JSON is YAML
        with (self._folder / "relay.log").open("w") as log:
            self._relay = subprocess.Popen(
                [sys.executable, "-m", "ccrelay", "serve", "--config", str(file)],
                cwd=self._folder,
                env={
                    "PATH": os.defpath,
                    "PYTHONPATH": str(Path(ccrelay.__file__).parents[1]),
                    "RELAY_TOKEN": RELAY_TOKEN,
                    "UPSTREAM_KEY": UPSTREAM_KEY,
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return int(self._first_line().split("http://127.0.0.1:")[1].split()[0])

    def _first_line(self) -> str:
        assert self._relay is not None
        output = self._relay.stdout
        assert output is not None
        said: queue.Queue[str] = queue.Queue()

        def read() -> None:
            for line in output:  # to its end, so that the relay never waits for a reader
                said.put(line)
            said.put("")

        threading.Thread(target=read, daemon=True).start()
        line = said.get(timeout=READY_S)
        assert "listens on" in line, self.log()
        return line

    def _stop_relay(self) -> int:
        if self._relay is None:
            return 0
        self._relay.send_signal(signal.SIGTERM)
        try:
            return self._relay.wait(timeout=ENDED_S)
        except subprocess.TimeoutExpired:
            self._relay.kill()
            self._relay.wait()
            raise
        finally:
            if self._relay.stdout is not None:
                self._relay.stdout.close()
