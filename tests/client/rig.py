"""End-to-end setup: client -> tap -> `ccrelay serve` -> tap -> mock provider.

    with Rig(folder, passthrough()) as rig:
        ...            # a client talks to rig.url
        rig.front.seen(), rig.back.seen(), rig.demo.requests

The relay is a real process; taps and demos run on an event loop in a thread of this one. There may
be several providers, each with a tap of its own: `Rig(folder, chain, scripts=["529,ok", "ok"])`.
"""

import asyncio
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import ccrelay
from ccrelay.demo.cloud import Cloud
from ccrelay.demo.limits import Quotas
from ccrelay.demo.script import Script
from ccrelay.demo.server import DemoServer, start_demo
from tests.client.recorder import Tap

READY_S = 30.0
ENDED_S = 20.0

RELAY_TOKEN = "test-relay-token"
UPSTREAM_KEY = "test-upstream-key"
OTHER_KEY = "test-other-key"
THIRD_KEY = "test-third-key"
SENT_MODEL = "demo-model-1"

Providers = Callable[..., dict[str, Any]]  # given the URLs of the upstreams
T = TypeVar("T")


def passthrough(upstream: str) -> dict[str, Any]:
    """Pass-through of the client's credential and model."""
    mock = {"name": "mock", "type": "anthropic", "base_url": upstream}
    return {"providers": [{**mock, "passthrough": ["batches", "files"]}]}


def mapped(upstream: str) -> dict[str, Any]:
    """Clients use a relay token; the relay uses its own key and maps every model."""
    provider = {
        "name": "mock",
        "type": "anthropic",
        "base_url": upstream,
        "keys": [{"key": "${UPSTREAM_KEY}"}],
        "model_mapping": {"claude-*": SENT_MODEL},
    }
    return {"server": {"auth": {"tokens": ["${RELAY_TOKEN}"]}}, "providers": [provider]}


def chain(*upstreams: str) -> dict[str, Any]:
    """Failover over the providers `first`, `second` ..., each with one key."""
    names = ("first", "second", "third")
    keys = ("${UPSTREAM_KEY}", "${OTHER_KEY}", "${THIRD_KEY}")
    return {
        "routing": {"strategy": "failover", "timeouts": {"first_byte_s": 1, "idle_s": 1}},
        "providers": [
            {"name": name, "type": "anthropic", "base_url": url, "keys": [{"key": key}]}
            for name, url, key in zip(names, upstreams, keys, strict=False)
        ],
    }


def pooled(upstream: str) -> dict[str, Any]:
    """One provider with three keys."""
    keys = [{"key": key} for key in ("${UPSTREAM_KEY}", "${OTHER_KEY}", "${THIRD_KEY}")]
    return {
        "providers": [{"name": "mock", "type": "anthropic", "base_url": upstream, "keys": keys}]
    }


class Rig:
    """Relay, taps and mock providers, on loopback.

    Args:
        folder: for configuration and logs.
        providers: the configuration, given the upstreams' URLs; the listen address is added.
        scripts: for each upstream faults by order of requests, as `ccrelay mock --script` takes
            them; "" for one that takes no connections.
        limit_headers: whether the upstreams send rate limit headers (`--limit-headers`).
        quotas: of the upstreams, instead.
        cloud: what the upstreams play; None: Anthropic.
        environment: more variables of the relay, given the address of the first mock.
    """

    def __init__(
        self,
        folder: Path,
        providers: Providers,
        *,
        scripts: Sequence[str] = ("ok",),
        limit_headers: bool = True,
        quotas: Quotas | None = None,
        cloud: Cloud | None = None,
        environment: Callable[[str], dict[str, str]] | None = None,
    ) -> None:
        self._folder = folder
        self._providers = providers
        self._scripts = scripts
        self._cloud = cloud
        self._environment = environment
        self._quotas = quotas or Quotas(send_headers=limit_headers)
        self._closed: list[socket.socket] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rig", daemon=True)
        self._relay: subprocess.Popen[str] | None = None
        self.demos: list[DemoServer] = []
        self.backs: list[Tap] = []
        self.front: Tap

    @property
    def url(self) -> str:
        """The base URL for the client."""
        return self.front.url

    @property
    def demo(self) -> DemoServer:
        """The first upstream."""
        return self.demos[0]

    @property
    def back(self) -> Tap:
        """The tap before the first upstream."""
        return self.backs[0]

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            urls = [self._start_upstream(script) for script in self._scripts]
            self.front = Tap(self._start_relay(urls))
            self._run(self.front.open())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        exit_code = self._stop_relay()
        if hasattr(self, "front"):
            self._run(self.front.close())
        for part in (*self.backs, *self.demos):
            self._run(part.close())
        for closed in self._closed:
            closed.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=ENDED_S)
        self._loop.close()
        log = self.log()
        sys.stdout.write(log)  # pytest shows it when the test failed
        assert exit_code == 0, f"ccrelay exited with {exit_code}"
        assert '"internal_error"' not in log

    def log(self) -> str:
        """The standard error of the relay."""
        file = self._folder / "relay.log"
        return file.read_text() if file.exists() else ""

    def exchanges(self, count: int) -> list[dict[str, Any]]:
        """Wait for `count` exchange lines of the log. AssertionError on timeout."""
        ends_at = time.monotonic() + ENDED_S
        while len(found := self.events("exchange")) < count:
            assert time.monotonic() < ends_at, self.log()
            time.sleep(0.01)
        return found

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log events with this name, so far."""
        whole = self.log().rpartition("\n")[0]
        return [line for line in map(json.loads, whole.splitlines()) if line["event"] == name]

    def _start_upstream(self, script: str) -> str:
        calls = Script.parse(script or "ok")
        demo = self._run(
            start_demo(script=calls, gap_ms=0, record=True, quotas=self._quotas, cloud=self._cloud)
        )
        self.demos.append(demo)
        self.backs.append(Tap(demo.port))
        self._run(self.backs[-1].open())
        if script:
            return self.backs[-1].url
        # Bound but not listening: the port stays reserved and refuses connections.
        self._closed.append(socket.socket())
        self._closed[-1].bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{self._closed[-1].getsockname()[1]}"

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=ENDED_S)

    def _start_relay(self, urls: list[str]) -> int:
        config = self._providers(*urls)
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
                    "OTHER_KEY": OTHER_KEY,
                    "THIRD_KEY": THIRD_KEY,
                    **self._more_environment(),
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return int(self._relay_line().split("http://127.0.0.1:")[1].split()[0])

    def _more_environment(self) -> dict[str, str]:
        if self._environment is None:
            return {}
        return self._environment(f"127.0.0.1:{self.demo.port}")

    def _relay_line(self) -> str:
        assert self._relay is not None
        output = self._relay.stdout
        assert output is not None
        said: queue.Queue[str] = queue.Queue()

        def read() -> None:
            for line in output:  # until the end, so that the pipe never fills
                said.put(line)
            said.put("")

        threading.Thread(target=read, daemon=True).start()
        line = " "
        while "http://" not in line:  # the banner begins with the version
            line = said.get(timeout=READY_S)
            assert line, self.log()
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
