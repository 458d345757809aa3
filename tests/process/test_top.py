"""`ccrelay top` in tmux: with the design's relay, and with a real one that has a mock behind it."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.v1 import relay_pb2
from tests.loopback.control.harness import Served
from tests.process.commands import PROGRAM, environment, relay, run, streaming, until
from tests.process.serving import PATIENCE_S
from tests.process.test_commands_terminal import Tmux
from tests.unit.cli.served import status
from tests.unit.tui.design import running

pytestmark = [
    pytest.mark.process,
    # Only at a desk: continuous integration has it.
    pytest.mark.skipif(
        shutil.which("tmux") is None and not os.environ.get("CI"), reason="tmux is not installed"
    ),
]

STREAMS = {
    "Relay/WatchStatus": streaming(
        [relay_pb2.WatchStatusResponse(status=status(), whole=True)], 60.0
    ),
    "Exchanges/WatchRunning": streaming([running()], 60.0),
}


class Window(Tmux):
    """A window that tells what it showed last when what was waited for did not come."""

    def wait_for(self, text: str) -> list[str]:
        """Return the screen once it shows a text."""
        ends_at = time.monotonic() + 2 * PATIENCE_S
        while (lines := self._has(text)) is None:
            assert time.monotonic() < ends_at, "\n".join([f"no {text!r}:", *self.screen()])
            time.sleep(0.05)
        return lines


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with relay(tmp_path, STREAMS) as found:
        yield found


@pytest.fixture
def tmux(tmp_path: Path, served: Served) -> Iterator[Window]:
    terminal = Window(tmp_path, served)
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
def test_it_fills_the_terminal_and_leaves_it_clean(tmux: Window, width: int, height: int) -> None:
    tmux.start(width, height, "top")
    lines = tmux.wait_for("payments-api backg")
    assert len(lines) == height
    assert lines[1].startswith(" Answering. Nothing was lost today.")
    assert any(line.startswith("│ A login") for line in lines)
    tmux.wait_for("3 under way, following")
    tmux.press("q")
    lines = tmux.wait_for("code 0")
    assert not any("Lanes" in line or "Traceback" in line for line in lines)
    assert tmux._run("display-message", "-p", "#{cursor_flag}").strip() == "1"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_it_leaves_the_terminal_clean(
    tmux: Window, number: signal.Signals
) -> None:
    tmux.start(80, 24, "top")
    tmux.wait_for("Lanes")
    shell = int(tmux._run("display-message", "-p", "#{pane_pid}"))
    [top] = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
    os.kill(int(top), number)
    tmux.wait_for(f"code {128 + number}")
    flags = "#{alternate_on} #{cursor_flag} #{mouse_any_flag}"
    assert tmux._run("display-message", "-p", flags).strip() == "0 1 0"


def test_pages_change_and_another_size_is_laid_out(tmux: Window) -> None:
    tmux.start(80, 24, "top")
    tmux.wait_for("Lanes")
    tmux.press("g", "e")
    tmux.wait_for("[Exchanges]")
    tmux.press("/")
    tmux.wait_for("Filter:")
    tmux.press("Escape", "g", "u")
    tmux.wait_for("opus-5-5          868")
    tmux.press("g", "n")
    tmux.wait_for("Lanes")
    tmux.resize(120, 40)
    lines = tmux.wait_for("Sessions today")
    assert len(lines) == 40
    tmux.resize(60, 16)
    until(lambda: len(tmux.screen()) == 16 and "Lanes" in tmux.screen()[2], "not laid out")
    tmux.press("C-c")
    tmux.wait_for("code 0")


@pytest.mark.parametrize("how", ["option", "variable"])
def test_without_colour_there_is_none(tmux: Window, how: str) -> None:
    options = ["--theme", "none"] if how == "option" else []
    if how == "variable":
        tmux._env["NO_COLOR"] = "1"
    tmux.start(80, 24, "top", *options)
    tmux.wait_for("71 %!")
    painted = "\n".join(tmux.screen("-e"))
    found = set(re.findall(r"\x1b\[([\d;:]*)m", painted))
    numbers = {int(part or 0) for one in found for part in re.split("[;:]", one)}
    # Bold, reverse, and their ends.
    assert numbers <= {0, 1, 7, 22, 27, 39, 49}, found


def test_colours_repeat_what_words_say(tmux: Window) -> None:
    tmux.start(80, 24, "top")
    tmux.wait_for("71 %!")
    painted = "\n".join(tmux.screen("-e"))
    assert re.search(r"\x1b\[(?:0;)?33m[^\x1b]*71 %!", painted)
    assert re.search(r"\x1b\[(?:0;)?31m✕", painted) or "✕" not in painted


# ---- a real relay


class Real:
    """`ccrelay serve` with two keys, of which the mock refuses one, and `ccrelay mock`."""

    def __init__(self, folder: Path, sockets: str) -> None:
        self.folder = folder
        self.env = environment(
            folder, XDG_RUNTIME_DIR=sockets, XDG_STATE_HOME=str(folder / "state")
        )
        self._children: list[subprocess.Popen[str]] = []
        _, mock = self._start("mock", "--listen", "127.0.0.1:0", "--key-fault", "broken:529")
        file = folder / "ccrelay.yaml"
        keys = [
            {"key": "test-key-broken", "name": "first", "priority": 9},
            {"key": "test-key-2", "name": "second"},
        ]
        provider = {"name": "mock", "type": "anthropic", "base_url": mock, "keys": keys}
        sections: dict[str, Any] = {
            "providers": [provider],
            "server": {"listen": "127.0.0.1:0", "workers": 1},
            "management": {"listen": "127.0.0.1:0"},
        }
        file.write_text(json.dumps(sections))
        file.chmod(0o600)
        self._file = file
        self.serve, self.url = self._start("serve", "--config", str(file))
        port = self.url.rpartition(":")[2]
        # Other relays may run on this machine.
        self.env["CCRELAY_SOCKET"] = f"{sockets}/ccrelay/{port}.sock"

    def _start(self, *arguments: str) -> tuple["subprocess.Popen[str]", str]:
        child = subprocess.Popen(
            [*PROGRAM, *arguments], env=self.env, cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._children.append(child)
        assert child.stdout is not None
        for line in child.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                return child, found[0]
        raise AssertionError(f"{arguments} did not start")

    def again(self) -> None:
        """Start the relay again, at the same address."""
        listen = self.url.removeprefix("http://")
        self.serve, _ = self._start("serve", "--config", str(self._file), "--listen", listen)

    def ask(self, project: str) -> None:
        body = {"model": "claude-sonnet-4-6", "max_tokens": 16,
                "messages": [{"role": "user", "content": "Hello"}]}  # fmt: skip
        headers = {"content-type": "application/json", "x-api-key": "anything",
                   "anthropic-version": "2023-06-01", "x-ccrelay-project": project}  # fmt: skip
        request = urllib.request.Request(
            f"{self.url}/v1/messages", json.dumps(body).encode(), headers
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            answer.read()

    def keys(self) -> dict[str, bool]:
        done = run(self.folder, "keys", "--json", env=self.env)
        found = json.loads(done.stdout)["providers"]
        return {key["name"]: key["enabled"] for one in found for key in one["keys"]}

    def close(self) -> None:
        for child in reversed(self._children):
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(PATIENCE_S)
            child.kill()
            child.wait(PATIENCE_S)
            if child.stdout is not None:
                child.stdout.close()


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Real]:
    with tempfile.TemporaryDirectory(prefix="cc-") as sockets:  # a path for AF_UNIX has to be short
        found = Real(tmp_path, sockets)
        try:
            yield found
        finally:
            found.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_real_relay_with_a_mock_behind_it(real: Real, tmp_path: Path) -> None:
    terminal = _terminal(real, tmp_path)
    try:
        terminal.start(100, 30, "top")
        terminal.wait_for("No exchange yet.")
        real.ask("payments-api")
        row = next(line for line in terminal.wait_for("first>second") if "first>second" in line)
        assert "payments-api main" in row
        assert "failover" in row
        assert any(" first " in line and "✕" in line for line in terminal.wait_for("✕"))
        terminal.press("g", "p")
        terminal.wait_for("[Providers]")
        # Down to the second key, into what can be done, and to Disable.
        terminal.press("j", "j", "Enter")
        terminal.wait_for("Disable")
        terminal.press("j", "j", "j", "Enter")
        terminal.wait_for("ccrelay keys disable mock/second")
        assert real.keys()["second"]
        terminal.press("j", "Enter")
        terminal.wait_for("mock/second is disabled.")
        assert not real.keys()["second"]
        real.serve.terminate()
        real.serve.wait(PATIENCE_S)
        terminal.wait_for("The relay does not answer; last seen")
        real.again()
        until(lambda: "does not answer" not in terminal.screen()[1], "it is not connected again")
        terminal.press("q")
        assert not any("Traceback" in line for line in terminal.wait_for("code 0"))
    finally:
        terminal.close()


def _terminal(real: Real, folder: Path) -> Window:
    class Found:
        path = Path("unused")

    terminal = Window(folder, Found())  # type: ignore[arg-type]
    terminal._env = {**real.env, "TERM": "xterm-256color"}
    return terminal
