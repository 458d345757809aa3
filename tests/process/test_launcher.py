"""`ccrelay claude` and `ccrelay env` as processes, with a program that plays Claude Code."""

import asyncio
import json
import os
import pty
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.cli.client_environment import BASE_URL
from ccrelay.control.client import Client, ControlError
from ccrelay.demo.server import start_demo
from ccrelay.v1.relay_pb2 import GetStatusRequest, GetStatusResponse
from tests.child import PROGRAM as CHILD
from tests.process.commands import environment, until
from tests.process.serving import PATIENCE_S, is_alive

# `ccrelay`, without the sockets of other relays of this user in the folder that all share.
PROGRAM = [*CHILD, """
import sys
from pathlib import Path
from ccrelay.config import places
places.SHARED = Path(sys.argv.pop(1))
from ccrelay.cli.main import main
main()
"""]  # fmt: skip


# Plays Claude Code: tells what it got, asks the relay for its health, then does as it is told.
CLAUDE = """#!{python}
import json, os, signal, sys, time, urllib.request
url = os.environ["ANTHROPIC_BASE_URL"]
told = {{"arguments": sys.argv[1:], "pid": os.getpid(), "env": dict(os.environ),
         "tty": os.isatty(0),
         "health": urllib.request.urlopen(url + "/health", timeout=10).status}}
signal.signal(signal.SIGINT, lambda *_: os._exit(42))
with open(os.environ["TOLD"] + ".new", "w") as file:
    json.dump(told, file)
os.rename(os.environ["TOLD"] + ".new", os.environ["TOLD"])
if sys.argv[1:2] == ["wait"]:
    time.sleep(120)
sys.exit(int(sys.argv[2]) if sys.argv[1:2] == ["exit"] else 0)
"""


class Place:
    """A home folder with a configuration, and a `claude` in PATH."""

    def __init__(self, folder: Path, upstream: str) -> None:
        self.folder = folder
        self.told_file = folder / "told"
        self.project = folder / "shop"
        self.project.mkdir()
        programs = folder / "bin"
        programs.mkdir()
        (programs / "claude").write_text(CLAUDE.format(python=sys.executable))
        (programs / "claude").chmod(0o755)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        config = folder / "ccrelay.yaml"
        config.write_text(
            json.dumps(
                {
                    "server": {"listen": f"127.0.0.1:{self.port}"},
                    "management": {"listen": "127.0.0.1:0"},
                    "providers": [
                        {
                            "name": "mock",
                            "type": "anthropic",
                            "base_url": upstream,
                            "keys": [{"key": "${CANARY_PROVIDER}"}],
                        }
                    ],
                }
            )
        )
        config.chmod(0o600)
        self.env = environment(
            folder,
            PATH=f"{programs}:/usr/bin:/bin",
            XDG_STATE_HOME=str(folder / "state"),
            CCRELAY_CONFIG=str(config),
            TOLD=str(self.told_file),
        )

    def words(self, *arguments: str) -> list[str]:
        return [*PROGRAM, str(self.folder), *arguments]

    def start(self, *arguments: str, **more: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.words(*arguments), cwd=self.project, env={**self.env, **more},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def run(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.words(*arguments), cwd=self.project, env={**self.env, **more},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S * 3,
            errors="surrogateescape",
        )  # fmt: skip

    def told(self) -> dict[str, Any]:
        """What the program was given, once it runs."""
        until(self.told_file.exists, "claude was not started")
        found: dict[str, Any] = json.loads(self.told_file.read_text())
        self.told_file.unlink()
        return found

    def relay(self) -> int | None:
        """The process id of the relay that runs; None: none does."""
        sockets = list((self.folder / "state" / "ccrelay" / "run").glob("*.sock"))
        if len(sockets) != 1:
            return None
        try:
            client = Client(sockets[0])
            said = client.call("Relay/GetStatus", GetStatusRequest(), GetStatusResponse)
        except ControlError:
            return None
        return int(said.status.pid)

    def await_end(self, pid: int) -> None:
        until(lambda: not is_alive(pid), "the relay did not end")
        launched = self.folder / "state" / "ccrelay" / "launched"
        until(lambda: not list(launched.glob("*")), "its list of users was left behind")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    # The path of a socket may not be long.
    folder = Path(tempfile.mkdtemp(prefix="ccrelay-"))
    runner = asyncio.Runner()
    demo = runner.run(start_demo())
    made = Place(folder, demo.url)
    try:
        yield made
    finally:
        runner.run(demo.close())
        runner.close()
        pid = made.relay()
        shutil.rmtree(folder, ignore_errors=True)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError("a relay was left behind")


def test_a_relay_is_started_and_ends_with_claude_code(place: Place) -> None:
    arguments = ["exit", "7", "--help", "--", "-p", "it's\n", "--model=x", ""]
    done = place.run("claude", *arguments)
    assert done.returncode == 7, done.stderr
    assert "started a relay" in done.stderr
    told = place.told()
    assert told["arguments"] == arguments
    assert told["health"] == 200
    assert told["env"][BASE_URL] == f"http://127.0.0.1:{place.port}"
    assert told["env"]["ANTHROPIC_CUSTOM_HEADERS"] == "x-ccrelay-project: shop"
    assert told["env"]["ENABLE_TOOL_SEARCH"] == "true"
    log = place.folder / "state" / "ccrelay" / "relay.log"
    until(lambda: "stopped" in log.read_text(), "the relay did not end by itself")
    until(lambda: place.relay() is None, "it left its socket")


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_for_what_asks_no_model_no_relay_is_started(place: Place, option: str) -> None:
    (place.folder / "bin" / "claude").write_text('#!/bin/sh\necho "claude got $@"\n')
    assert place.run("claude", option).stdout == f"claude got {option}\n"
    assert not (place.folder / "state" / "ccrelay" / "relay.log").exists()


def test_the_first_argument_may_be_two_dashes(place: Place) -> None:
    place.run("claude", "--", "--version")
    assert place.told()["arguments"] == ["--", "--version"]
    until(lambda: place.relay() is None, "the relay did not end")


def test_the_process_becomes_claude_code_and_a_kill_ends_the_relay(place: Place) -> None:
    process = place.start("claude", "wait")
    assert place.told()["pid"] == process.pid
    relay = place.relay()
    assert relay is not None
    process.kill()
    assert process.wait(PATIENCE_S) == -signal.SIGKILL
    place.await_end(relay)


def test_a_relay_that_was_launched_lives_as_long_as_another_uses_it(place: Place) -> None:
    first = place.start("claude", "wait")
    place.told()
    relay = place.relay()
    second = place.start("claude", "wait")
    told = place.told()
    assert told["env"][BASE_URL] == f"http://127.0.0.1:{place.port}"
    assert place.relay() == relay
    first.kill()
    first.wait(PATIENCE_S)
    assert place.run("claude").returncode == 0  # long after the guard has looked
    assert place.told()["health"] == 200
    assert place.relay() == relay
    assert place.run("connect").returncode == 1  # it would lead to a relay that ends
    own = b"x-a: \xff".decode(errors="surrogateescape")  # no text
    printed = place.run("env", ANTHROPIC_CUSTOM_HEADERS=own)
    assert "This relay ends with the Claude Code that started it" in printed.stderr
    assert "ANTHROPIC_CUSTOM_HEADERS" in printed.stdout
    second.kill()
    second.wait(PATIENCE_S)
    assert relay is not None
    place.await_end(relay)


def test_launchers_that_start_at_once_share_one_relay(place: Place) -> None:
    started = [place.start("claude", "wait", TOLD=f"{place.told_file}-{n}") for n in range(3)]
    urls = set()
    for number in range(3):
        file = Path(f"{place.told_file}-{number}")
        until(file.exists, "claude was not started")
        urls.add(json.loads(file.read_text())["env"][BASE_URL])
    assert urls == {f"http://127.0.0.1:{place.port}"}
    relay = place.relay()
    assert relay is not None
    for process in started:
        process.kill()
        process.wait(PATIENCE_S)
    place.await_end(relay)


def test_signals_that_python_ignores_are_not_ignored_by_claude_code(place: Place) -> None:
    (place.folder / "bin" / "claude").write_text("#!/bin/sh\nkill -PIPE $$; echo alive\n")
    done = place.run("claude", "--version")
    assert (done.returncode, done.stdout) == (-signal.SIGPIPE, "")


def test_a_relay_that_runs_is_used_and_stays(place: Place) -> None:
    relay = place.start("serve")
    try:
        until(place.relay, "it does not serve")
        done = place.run("claude", ENABLE_TOOL_SEARCH="auto", ANTHROPIC_CUSTOM_HEADERS="x-a: 1")
        assert done.returncode == 0, done.stderr
        assert "ENABLE_TOOL_SEARCH of this shell stays" in done.stderr
        told = place.told()["env"]
        assert told["ENABLE_TOOL_SEARCH"] == "auto"
        assert told["ANTHROPIC_CUSTOM_HEADERS"] == "x-a: 1\nx-ccrelay-project: shop"
        assert_env_prints_the_same(place)
        assert place.relay() == relay.pid
    finally:
        relay.send_signal(signal.SIGTERM)
        relay.communicate(timeout=PATIENCE_S)


def assert_env_prints_the_same(place: Place) -> None:
    """By a shell, as an object, and with reasons."""
    printed = json.loads(place.run("env", "--shell", "json").stdout)
    assert printed[BASE_URL] == f"http://127.0.0.1:{place.port}"
    script = f'eval "$({shlex.join(place.words("env"))})"; exec claude'
    subprocess.run(["sh", "-c", script], cwd=place.project, env=place.env, check=True, timeout=60)
    told = place.told()["env"]
    assert {name: told[name] for name in printed} == printed
    other = place.folder / "blog"  # in the same shell, and another folder
    other.mkdir()
    script = f'eval "$({shlex.join(place.words("env"))})"; cd {other}; {script}'
    subprocess.run(["sh", "-c", script], cwd=place.project, env=place.env, check=True, timeout=60)
    assert place.told()["env"]["ANTHROPIC_CUSTOM_HEADERS"] == "x-ccrelay-project: blog"
    explained = place.run("env", "--explain").stdout
    assert "mock: not api.anthropic.com" in explained


def test_where_the_port_is_taken_a_free_one_is_used(place: Place) -> None:
    with socket.create_server(("127.0.0.1", place.port)):
        assert place.run("claude").returncode == 0
    assert place.told()["env"][BASE_URL] != f"http://127.0.0.1:{place.port}"
    until(lambda: place.relay() is None, "the relay did not end")


def test_ctrl_c_and_the_terminal_are_claude_codes(place: Place) -> None:
    """The terminal's foreground group gets SIGINT: Claude Code, and not the relay."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(place.project)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execve(sys.executable, place.words("claude", "wait"), place.env)
    try:
        told = place.told()
        assert told["pid"] == pid
        assert told["tty"]
        relay = place.relay()
        os.write(terminal, b"\x03")
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 42
    assert relay is not None
    place.await_end(relay)


def test_without_claude_code_nothing_is_started(place: Place) -> None:
    done = place.run("claude", PATH="/nowhere")
    assert done.returncode == 1
    assert "npm install -g @anthropic-ai/claude-code" in done.stderr
    assert not (place.folder / "state" / "ccrelay" / "relay.log").exists()


def test_a_configuration_with_a_mistake_is_told(place: Place) -> None:
    config = Path(place.env["CCRELAY_CONFIG"])
    config.write_text(config.read_text().replace('"anthropic"', '"antropic"'))
    done = place.run("claude")
    assert done.returncode == 2
    assert "antropic" in done.stderr
    assert done.stderr.splitlines()[0].endswith("See: ccrelay doctor")


def test_a_relay_that_does_not_start_is_told_with_what_it_said(place: Place) -> None:
    config = Path(place.env["CCRELAY_CONFIG"])
    text = json.loads(config.read_text())
    text["server"]["listen"] = "192.0.2.1:8787"  # an address that is not of this machine
    text["server"]["auth"] = {"tokens": ["test-relay-token-of-32-characters"]}
    config.write_text(json.dumps(text))
    done = place.run("claude")
    assert done.returncode == 1
    assert "The relay did not start" in done.stderr
    assert "192.0.2.1" in done.stderr


def test_a_place_that_cannot_be_written_is_told_with_what_to_do(place: Place) -> None:
    done = place.run("claude", XDG_STATE_HOME="/dev/null")
    assert done.returncode == 1
    assert done.stderr.startswith("Set XDG_STATE_HOME")
    assert "/dev/null/ccrelay/relay.log: Not a directory" in done.stderr


def test_without_a_relay_env_says_so(place: Place) -> None:
    done = place.run("env")
    assert done.returncode == 3
    assert done.stdout == ""
