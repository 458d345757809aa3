"""`ccrelay serve` in a real terminal that is closed, and without standard descriptors."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.demo.server import start_demo
from ccrelay.runtime.terminal import STANDARD, Terminal, open_standard_descriptors
from tests.process.serving import (
    ENVIRONMENT,
    NO_MANAGER,
    PATIENCE_S,
    Client,
    eventually,
    is_complete,
    message,
)

pytestmark = pytest.mark.process

# A session of its own: the first terminal that its leader opens becomes its terminal. `ttys`: the
# standard descriptors that lead to it; the others lead to files.
LAUNCHER = """
import os, signal, sys
name, ttys, is_controlling, ignores_sighup, folder, *command = sys.argv[1:]
flags = os.O_RDWR | (0 if is_controlling == "True" else os.O_NOCTTY)
terminal = os.open(name, flags)
for fd in (0, 1, 2):
    other = os.open(f"{folder}/fd{fd}", os.O_RDWR | os.O_CREAT, 0o600)
    os.dup2(terminal if str(fd) in ttys else other, fd)
os.closerange(3, 64)
# Whatever the tests were started with: nohup(1) is inherited.
signal.signal(signal.SIGHUP, signal.SIG_IGN if ignores_sighup == "True" else signal.SIG_DFL)
os.execv(command[0], command)
"""


class InTerminal:
    """One `ccrelay serve` in a terminal; `shell` runs it as its foreground job."""

    def __init__(
        self,
        folder: Path,
        ttys: str = "012",
        *,
        is_controlling: bool = True,
        ignores_sighup: bool = False,
        shell: str | None = None,
        base_url: str = "http://127.0.0.1:9",
        wait_s: float | None = None,
    ) -> None:
        self.folder = folder
        self.log = folder / "log"
        config = folder / "ccrelay.yaml"
        sections = {
            "server": {"listen": "127.0.0.1:0"},
            "management": NO_MANAGER,
            "providers": [
                {"name": "p", "base_url": base_url, "auth": "none", "models": ["*"]},
            ],
            "logging": {"level": "debug", "format": "json", "file": str(self.log)},
        }
        config.write_text(json.dumps(sections))
        self.master, slave = os.openpty()
        serve = [sys.executable, "-m", "ccrelay", "serve", "--config", str(config)]
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", LAUNCHER, os.ttyname(slave), ttys),
                *(str(is_controlling), str(ignores_sighup), str(folder)),
                *(["/bin/sh", "-c", shell, *serve] if shell else serve),
            ],
            env=ENVIRONMENT,
            cwd=folder,  # the path of a `-m` begins with it
            start_new_session=True,
        )
        if wait_s is None:
            eventually_sync(lambda: bool(self.events("worker_ready")), self.process)
        else:
            time.sleep(wait_s)
        os.close(slave)

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = self.log.read_bytes().split(b"\n")[:-1] if self.log.exists() else []
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def hang_up(self) -> None:
        """Close the terminal."""
        os.close(self.master)
        self.master = -1

    def wait_for(self, name: str, count: int = 1) -> None:
        eventually_sync(lambda: len(self.events(name)) >= count, self.process)

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE_S)

    def clear(self) -> None:
        if self.master >= 0:
            os.close(self.master)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)


def eventually_sync(condition: Any, process: "subprocess.Popen[bytes]") -> None:
    asyncio.run(eventually(lambda: condition() or process.poll() is not None))
    assert condition()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    started: list[InTerminal] = []

    def start(ttys: str = "012", **how: Any) -> InTerminal:
        started.append(InTerminal(tmp_path, ttys, **how))
        return started[-1]

    yield start
    for one in started:
        one.clear()


@pytest.mark.parametrize("ttys", ["012", "0", "1", "2"])
def test_it_drains_and_exits_0_when_its_terminal_is_closed(start: Any, ttys: str) -> None:
    serve = start(ttys)
    serve.hang_up()
    assert serve.exit_code() == 0
    assert [len(serve.events(name)) for name in ("terminal_closed", "draining", "stopped")] == [
        *(1, 1, 1)
    ]
    assert not serve.events("forced_shutdown")


@pytest.mark.parametrize("wait_s", [0.05, 0.1, 0.2, 0.3, 0.4])
def test_it_ends_whenever_the_terminal_is_closed_during_the_start(
    start: Any, wait_s: float
) -> None:
    serve = start(wait_s=wait_s)
    serve.hang_up()
    # By the signal itself, before it is handled; 1: its launcher had lost the terminal already.
    assert serve.exit_code() in (0, 1, -signal.SIGHUP)


def test_the_job_of_a_shell_ends_with_the_terminal(start: Any) -> None:
    serve = start(shell='"$0" "$@"; exit 7')
    serve.hang_up()
    serve.exit_code()  # of the shell, which does not wait for its job
    asyncio.run(eventually(lambda: serve.events("stopped")))
    assert serve.events("stopped")[0]["exit_code"] == 0


@pytest.mark.parametrize(
    "how",
    [
        {"ttys": ""},
        {"ttys": "012", "ignores_sighup": True},
        {"ttys": "0", "ignores_sighup": True},
    ],
)
def test_it_goes_on_with_nohup_or_without_descriptors_of_the_terminal(
    start: Any, how: dict[str, Any]
) -> None:
    serve = start(**how)
    serve.hang_up()
    # The kernel's own signal may have come before: the last one is answered in any case.
    os.kill(serve.process.pid, signal.SIGHUP)
    serve.wait_for("reload_unchanged")
    assert serve.process.poll() is None
    assert not serve.events("draining")
    os.kill(serve.process.pid, signal.SIGTERM)
    assert serve.exit_code() == 0


def test_sighup_reloads_while_the_terminal_is_there(start: Any) -> None:
    serve = start()
    for count in (1, 2):
        os.kill(serve.process.pid, signal.SIGHUP)
        serve.wait_for("reload_unchanged", count)
    assert not serve.events("draining")
    os.kill(serve.process.pid, signal.SIGTERM)
    assert serve.exit_code() == 0
    assert not serve.events("terminal_closed")


def test_a_terminal_that_is_closed_right_after_the_signal_is_noticed(start: Any) -> None:
    # Not its controlling terminal: the kernel sends no signal when it is closed.
    serve = start(is_controlling=False)
    os.kill(serve.process.pid, signal.SIGHUP)
    serve.wait_for("reload_unchanged")
    serve.hang_up()
    assert serve.exit_code() == 0
    assert len(serve.events("terminal_closed")) == 1


@pytest.mark.parametrize("ignores_sighup", [False, True])
def test_an_upgraded_program_knows_the_terminal(start: Any, ignores_sighup: bool) -> None:
    serve = start("02", ignores_sighup=ignores_sighup)
    os.kill(serve.process.pid, signal.SIGUSR2)
    serve.wait_for("upgraded")
    serve.hang_up()
    if ignores_sighup:
        os.kill(serve.process.pid, signal.SIGHUP)
        serve.wait_for("reload_unchanged")
        assert not serve.events("draining")
    else:
        assert serve.exit_code() == 0
        assert len(serve.events("terminal_closed")) == 1


def test_running_exchanges_finish_after_the_terminal_is_closed(start: Any, tmp_path: Path) -> None:
    async def scenario() -> None:
        demo = await start_demo()
        try:
            serve = await asyncio.to_thread(start, "02", base_url=demo.url)
            banner = (tmp_path / "fd1").read_text()
            found = re.search(r"http://([\d.]+):(\d+)", banner)
            assert found is not None
            client = Client(*await asyncio.open_connection(found[1], int(found[2])))
            await client.send(message("demo:deltas=20 demo:gap_ms=50"))
            await client.until(b"content_block_delta")
            serve.hang_up()
            assert is_complete(await client.answer())
            client.close()
            assert await asyncio.to_thread(serve.exit_code) == 0
        finally:
            await demo.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))


# ---- closed descriptors


@pytest.mark.parametrize("closed", [(0, 1, 2), (0,), (1,), (2,), (0, 2), (1, 2)])
def test_it_serves_with_standard_descriptors_closed(tmp_path: Path, closed: tuple[int]) -> None:
    log = tmp_path / "log"
    config = tmp_path / "ccrelay.yaml"
    sections = {
        "server": {"listen": "127.0.0.1:0"},
        "management": NO_MANAGER,
        "providers": [{"name": "p", "type": "ollama"}],
        "logging": {"level": "debug", "format": "json", "file": str(log)},
    }
    config.write_text(json.dumps(sections))
    command = [sys.executable, "-m", "ccrelay", "serve", "--config", str(config)]
    code = (
        f"import os, sys; [os.close(fd) for fd in {closed!r}]; os.execv(sys.argv[1], sys.argv[1:])"
    )
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *command],
            env=ENVIRONMENT,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        eventually_sync(lambda: log.exists() and b'"worker_ready"' in log.read_bytes(), process)
        if sys.platform == "linux":
            ready = next(line for line in log.read_text().splitlines() if '"worker_ready"' in line)
            for pid in (process.pid, json.loads(ready)["pid"]):
                links = {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in closed}
                assert set(links.values()) == {os.devnull}
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in (tmp_path / "out").read_text()


def test_descriptors_that_are_open_stay_as_they_are() -> None:
    before = [os.fstat(fd) for fd in STANDARD]
    open_standard_descriptors()
    assert [os.fstat(fd) for fd in STANDARD] == before


def test_a_terminal_has_hung_up_when_its_other_side_is_closed() -> None:
    master, slave = os.openpty()
    terminal = Terminal([slave])
    assert not terminal.has_hung_up()
    os.close(master)
    assert terminal.has_hung_up()
    os.close(slave)
    assert not Terminal().has_hung_up()
