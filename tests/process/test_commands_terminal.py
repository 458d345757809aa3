"""Commands in a real terminal: tmux at 80 and 140 columns."""

import os
import re
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback.control.harness import Served
from tests.process.commands import PROGRAM, environment, relay, until
from tests.unit.cli.test_exchange_view import AT_80 as EXCHANGE
from tests.unit.cli.test_keys_view import PROVIDERS
from tests.unit.cli.test_status_view import AT_80 as STATUS
from tests.unit.cli.test_usage_view import AT_120 as USAGE

pytestmark = [
    pytest.mark.process,
    # Only at a desk: continuous integration has it.
    pytest.mark.skipif(
        shutil.which("tmux") is None and not os.environ.get("CI"), reason="tmux is not installed"
    ),
]


class Tmux:
    """One window of a server of its own."""

    def __init__(self, folder: Path, served: Served) -> None:
        self.folder = folder
        self._name = f"ccrelay-{uuid.uuid4().hex[:8]}"
        # Not COLUMNS: the terminal says how wide it is.
        self._env = environment(folder, CCRELAY_SOCKET=str(served.path), TERM="xterm-256color")

    def _run(self, *arguments: str) -> str:
        return subprocess.run(
            ["tmux", "-u", "-L", self._name, "-f", "/dev/null", *arguments],
            env=self._env, capture_output=True, text=True, check=True, timeout=20,
        ).stdout  # fmt: skip

    def start(self, width: int, height: int, *arguments: str) -> None:
        """Run `ccrelay ...`; its exit code is printed below its output."""
        # Ctrl-C ends the command, not the shell that waits for it.
        command = f"trap : INT; {shlex.join([*PROGRAM, *arguments])}; echo code $?; sleep 60"
        self._run(
            "new-session", "-d", "-x", str(width), "-y", str(height), "sh", "-c", command
        )  # fmt: skip

    def screen(self, *options: str) -> list[str]:
        """Return what is seen, without spaces at the ends of lines."""
        shown = self._run("capture-pane", "-p", *options)
        return [line.rstrip() for line in shown.rstrip().splitlines()]

    def wait_for(self, text: str) -> list[str]:
        """Return the screen once it shows a text."""
        return until(lambda: self._has(text), f"no {text!r}: {self.screen()}")

    def _has(self, text: str) -> list[str] | None:
        lines = self.screen()
        return lines if any(text in line for line in lines) else None

    def resize(self, width: int, height: int) -> None:
        self._run("resize-window", "-x", str(width), "-y", str(height))

    def press(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def close(self) -> None:
        subprocess.run(
            ["tmux", "-L", self._name, "kill-server"], check=False, capture_output=True, timeout=20
        )


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    with relay(tmp_path) as served:
        terminal = Tmux(tmp_path, served)
        try:
            yield terminal
        finally:
            terminal.close()


def told(text: str) -> list[str]:
    """Lines of an expected text, without those that say which version the command is of."""
    return text.splitlines()


def without_version(lines: list[str]) -> list[str]:
    return [line for line in lines if "version" not in line and "do: kill" not in line]


@pytest.mark.parametrize("width", [80, 140])
def test_status(tmux: Tmux, width: int) -> None:
    tmux.start(width, 40, "status")
    lines = without_version(tmux.wait_for("code 0"))[:-1]
    if width == 80:
        assert lines == told(STATUS)
    else:
        assert lines[0] == told(STATUS)[0].replace(" Thu", " " * 61 + "Thu")
        assert [line[:79] for line in lines[3:9]] == [line[:79] for line in told(STATUS)[3:9]]
        assert lines[3].endswith("TODAY  EXCH.  TOKENS  SAVED")


@pytest.mark.parametrize(
    ("width", "command", "text"),
    [
        (80, ["providers"], PROVIDERS),
        (80, ["exchange", "07f3a1c"], EXCHANGE),
        (140, ["usage", "--until", "2026-12-03", "--since", "2026-11-27"], USAGE),
    ],
    ids=["providers", "exchange", "usage"],
)
def test_looks(tmux: Tmux, width: int, command: list[str], text: str) -> None:
    tmux.start(width, 50, *command)
    shown = tmux.wait_for("code 0")[:-1]
    if command[0] == "providers":  # what counts down is that of another day
        text, shown = text.partition("probe in")[0], shown[:7]
        assert shown == told(text)[:7]
        return
    if command[0] == "usage":  # the year, when it is another one
        shown[0] = re.sub(r" 2026", "", shown[0])
    assert shown == told(text)


def test_colour_repeats_what_words_say(tmux: Tmux) -> None:
    tmux.start(80, 40, "status")
    tmux.wait_for("code 0")
    coloured = "\n".join(tmux.screen("-e"))
    assert re.search(r"\x1b\[33mcooldown 0:47", coloured)
    assert re.search(r"\x1b\[31mopen", coloured)


def test_watching_redraws_in_place_also_in_another_size(tmux: Tmux) -> None:
    tmux.start(80, 40, "status", "--watch", "--interval", "0.1")
    tmux.wait_for("Tokens today")
    for _ in range(5):
        lines = tmux.screen()
        assert sum("Answering." in line for line in lines) == 1
        assert without_version(lines) == told(STATUS)
    tmux.resize(60, 40)
    lines = tmux.wait_for("none lost.")
    until(lambda: tmux.screen()[1] == "Thu 14:32:08", "it is not laid out anew")
    assert sum("Answering." in line for line in tmux.screen()) == 1
    tmux.press("C-c")
    lines = tmux.wait_for("code 130")
    assert not any("Traceback" in line for line in lines)
    assert tmux._run("display-message", "-p", "#{cursor_flag}").strip() == "1"


def test_what_is_higher_than_the_terminal_is_cut_and_said(tmux: Tmux) -> None:
    tmux.start(80, 8, "status", "--watch", "--interval", "0.1")
    lines = tmux.wait_for("more lines")
    assert len(lines) <= 8
    assert lines[0].startswith("ccrelay 0.3.0")


@pytest.mark.parametrize("width", [80, 140])
def test_following_has_rows_and_what_is_under_way_below_them(tmux: Tmux, width: int) -> None:
    tmux.start(width, 40, "exchanges", "--follow")
    tmux.wait_for("14:31:12")
    lines = tmux.wait_for("3 under way, 2 streaming, 1 waiting for room, Ctrl-C ends")
    assert lines[0].startswith("TIME      WHAT")
    assert sum("25 x count_tokens" in line or "all ok" in line for line in lines) == 1
    failover = next(line for line in lines if "failover" in line)
    assert ("A team-a > B eu-role" if width == 140 else "> eu-role") in failover
    assert lines[-2:] == ["", "3 under way, 2 streaming, 1 waiting for room, Ctrl-C ends"]
    assert [line[:8] for line in lines[-5:-2]] == ["14:31:44", "14:31:58", "14:32:05"]
    assert "streaming" in lines[-5]
    assert "waiting" in lines[-3]
    tmux.press("C-c")
    lines = tmux.wait_for("code 130")
    assert not any("Traceback" in line or "under way" in line for line in lines)


def test_stopping_asks_first(tmux: Tmux) -> None:
    tmux.start(80, 20, "stop")
    tmux.wait_for("3 exchanges under way will be cut. Stop? [y/N]:")
    tmux.press("n", "Enter")
    assert "Stopped" not in "".join(tmux.wait_for("code 1"))
