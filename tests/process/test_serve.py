"""`ccrelay serve` as a process: the failures that need no Relay."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
CONFIG = """
server: {listen: "127.0.0.1:0"}
providers: [{name: zai, type: zai, keys: [{key: "${CANARY}"}]}]
"""


@pytest.fixture
def serve(tmp_path):
    config = tmp_path / "ccrelay.yaml"
    config.write_text(CONFIG)

    def serve(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ccrelay", "serve", *arguments],
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "CANARY": "test-key-canary"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
        )

    return serve


def test_an_address_in_use_is_exit_1_with_a_way_out(serve):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = serve("--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert ended.returncode == 1
    assert "already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_file_is_exit_2(serve):
    ended = serve("--config", "nowhere.yaml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "nowhere.yaml: no such file" in ended.stderr


def test_listening_for_everyone_without_tokens_is_refused_also_as_a_flag(serve):
    ended = serve("--listen", "0.0.0.0:0")
    assert ended.returncode == 2
    assert "needs server.auth.tokens" in ended.stderr


def test_a_log_file_that_cannot_be_opened_is_exit_1(serve, tmp_path):
    (tmp_path / "ccrelay.yaml").write_text(CONFIG + "logging: {file: /nowhere/log}\n")
    ended = serve()
    assert ended.returncode == 1
    assert "/nowhere/log" in ended.stderr
    assert "Traceback" not in ended.stderr
