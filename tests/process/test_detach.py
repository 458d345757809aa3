"""`ccrelay serve --detach` as a user runs it: a real relay that goes on without the command."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ccrelay.control.client import Client, ControlError
from ccrelay.v1.relay_pb2 import GetStatusRequest, GetStatusResponse, Status
from tests.process.serving import ROOT, is_alive

pytestmark = pytest.mark.process

PATIENCE_S = 20.0


class Shell:
    """A home, and commands that are run there; what they leave running ends with the test."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state = home / "state"
        self.log = self.state / "ccrelay" / "relay.log"
        self.pids: list[int] = []

    def run(self, *words: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "ccrelay", "serve", "--detach", *words],
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(self.home),
                "XDG_STATE_HOME": str(self.state),
                "PYTHONPATH": str(ROOT),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if found := re.search(r"in the background, pid (\d+)", done.stdout):
            self.pids.append(int(found[1]))
        return done

    def configure(self, text: str) -> str:
        file = self.home / "c.yaml"
        file.write_text(text)
        file.chmod(0o600)
        return str(file)


def eventually(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    for pid in shell.pids:
        if is_alive(pid):
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGTERM)  # a second one does not wait
    eventually(lambda: not any(map(is_alive, shell.pids)))


def url_of(output: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:(\d+)", output)
    assert found, output
    return found[0]


def test_it_serves_when_the_command_returns_and_goes_on(shell: Shell) -> None:
    done = shell.run("--demo", "--listen", "127.0.0.1:0")
    assert done.returncode == 0, done.stderr
    [pid] = shell.pids
    with urllib.request.urlopen(url_of(done.stdout) + "/health", timeout=10) as answer:
        assert answer.status == 200
    assert "ccrelay stop" in done.stdout
    assert "gRPC and /metrics on http://127.0.0.1:" in done.stdout
    assert str(shell.log) in done.stdout
    # In a session of its own: the end of the shell's does not reach it.
    assert os.getsid(pid) == pid
    os.kill(pid, signal.SIGHUP)
    time.sleep(0.2)
    assert is_alive(pid)


def test_the_log_is_the_users_own(shell: Shell) -> None:
    done = shell.run("--demo", "--listen", "127.0.0.1:0")
    assert stat.S_IMODE(shell.log.stat().st_mode) == 0o600
    assert stat.S_IMODE(shell.log.parent.stat().st_mode) == 0o700
    assert url_of(done.stdout) in shell.log.read_text()


def test_a_configuration_with_mistakes_is_told_with_the_code_of_serve(shell: Shell) -> None:
    file = shell.configure("providers: [{name: a, type: nonsense}]\n")
    done = shell.run("--config", file)
    assert done.returncode == 2
    assert f"{file}:1:" in done.stderr
    assert done.stdout == ""
    assert shell.pids == []


def test_errors_of_an_earlier_start_are_not_told_again(shell: Shell) -> None:
    file = shell.configure("providers: [{name: a, type: nonsense}]\n")
    shell.run("--config", file)
    shell.configure("x: 1\n")
    done = shell.run("--config", file)
    assert "nonsense" not in done.stderr
    assert "nonsense" in shell.log.read_text()


def test_a_second_one_on_the_same_port_fails(shell: Shell) -> None:
    first = shell.run("--demo", "--listen", "127.0.0.1:0")
    port = url_of(first.stdout).rpartition(":")[2]
    second = shell.run("--demo", "--listen", f"127.0.0.1:{port}")
    assert second.returncode == 1
    assert port in second.stderr
    assert len(shell.pids) == 1


def test_files_are_looked_for_where_the_command_was_run(shell: Shell) -> None:
    (shell.home / "ccrelay.yaml").write_text("providers: [{name: a, type: anthropic}]\n")
    (shell.home / "ccrelay.yaml").chmod(0o600)
    done = shell.run("--listen", "127.0.0.1:0")
    # Found in the working directory, and nobody there to confirm it.
    assert done.returncode == 2
    assert "ccrelay config trust" in done.stderr


def test_an_upgrade_works_as_of_any_relay(shell: Shell) -> None:
    shell.run("--demo", "--listen", "127.0.0.1:0")
    [pid] = shell.pids
    command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    assert b"--detach" not in command
    environment = Path(f"/proc/{pid}/cwd").resolve()
    assert environment == shell.home


def test_it_says_where_the_management_plane_is_which_tells_the_whole_path_of_the_file(
    shell: Shell,
) -> None:
    shell.configure(
        "server: {listen: '127.0.0.1:0'}\n"
        "management: {listen: '127.0.0.1:0'}\n"
        "providers: [{name: a, type: anthropic}]\n"
    )
    done = shell.run("--config", "c.yaml")
    assert done.returncode == 0, done.stderr
    address = re.search(
        r"ccrelay status +gRPC and /metrics on http://(127\.0\.0\.1:\d+)", done.stdout
    )
    assert address, done.stdout
    token_file = shell.state / "ccrelay" / "management-token"
    eventually(token_file.exists)  # the manager starts after the workers serve
    token = token_file.read_text().strip()
    host, _, port = address[1].rpartition(":")
    client = Client.tcp(host, int(port), token)
    eventually(lambda: status_of(client))
    status = status_of(client)
    assert status is not None
    assert status.management.listen == address[1]
    assert status.config_file == str(shell.home / "c.yaml")


def status_of(client: Client) -> Status | None:
    try:
        answer = client.call("Relay/GetStatus", GetStatusRequest(), GetStatusResponse)
    except ControlError:
        return None
    return answer.status
