"""A real relay that a command ends: its exit code is one after which no service restarts it."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.process.serving import ROOT

pytestmark = pytest.mark.process
PATIENCE_S = 30.0


@pytest.mark.parametrize("command", [["drain"], ["stop", "--yes"]], ids=" ".join)
def test_what_a_command_ends_is_no_failure(tmp_path: Path, command: list[str]) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notified.bind(f"\0ccrelay-test-{os.getpid()}-{command[0]}")
    notified.settimeout(PATIENCE_S)
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(runtime),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    words = [sys.executable, "-m", "ccrelay"]
    relay = subprocess.Popen(
        [*words, "serve", "--demo", "--listen", "127.0.0.1:0", "--workers", "1"],
        env={**env, "NOTIFY_SOCKET": "@" + notified.getsockname()[1:].decode()},
        cwd=tmp_path,  # not a checkout without compiled modules
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        told = b""
        while b"READY=1" not in told:
            told = notified.recv(4096)
        deadline = time.monotonic() + PATIENCE_S  # its manager starts after the workers
        while subprocess.run(
            [*words, *command], env=env, capture_output=True, cwd=tmp_path
        ).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert relay.wait(PATIENCE_S) == 0
        while b"STOPPING=1" not in told:  # an end that systemd is told of is no crash
            told = notified.recv(4096)
    finally:
        relay.kill()
        relay.wait()
        notified.close()
