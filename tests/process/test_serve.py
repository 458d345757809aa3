"""`ccrelay serve` as a process: startup failures, and the demo."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import ccrelay

pytestmark = pytest.mark.process

ROOT = Path(ccrelay.__file__).parents[1]  # of the package under test, built tree or installed wheel
CONFIG = """
server: {listen: "127.0.0.1:0"}
providers: [{name: zai, type: zai, keys: [{key: "${CANARY}"}]}]
"""


@pytest.fixture
def serve(tmp_path):
    config = tmp_path / "ccrelay.yaml"
    config.write_text(CONFIG)

    def serve(*arguments: str, command: str = "serve", **env: str):
        path = os.pathsep.join([env.pop("before", str(ROOT)), str(ROOT)])
        return subprocess.run(
            [sys.executable, "-m", "ccrelay", *command.split(), *arguments],
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": path,
                "CANARY": "test-key-canary",
                "CCRELAY_CONFIG": "ccrelay.yaml",
                **env,
            },
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )

    return serve


def test_an_address_in_use_exits_1_with_a_hint(serve):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = serve("--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert ended.returncode == 1
    assert "already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_config_file_exits_2(serve):
    ended = serve("--config", "nowhere.yaml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "nowhere.yaml: no such file" in ended.stderr


def test_a_non_loopback_listen_option_without_tokens_exits_2(serve):
    ended = serve("--listen", "0.0.0.0:0")
    assert ended.returncode == 2
    assert "requires server.auth.tokens" in ended.stderr


SOUND = "providers: [{name: a, type: ollama}]"


@pytest.mark.parametrize(
    ("text", "env"),
    [
        ("providers: [{name: a, type: openai}]", {}),
        ("provders: [{name: a, type: ollama}]", {}),
        ("workers: 2", {}),
        ("", {}),
        ("{", {}),
        ("\xff", {}),
        ('providers: [{name: a, type: zai, keys: [{key: "${UNSET}"}]}]', {}),
        ('providers: [{name: a, type: zai, keys: [{key: "$CANARY"}]}]', {}),
        ("providers: [{name: a, base_url: 'http://h.example:0', auth: none}]", {}),
        ("providers: [{name: a, base_url: 'http://a..example', auth: none}]", {}),
        (CONFIG, {"ALL_PROXY": "socks://127.0.0.1:9"}),
        (CONFIG, {"HTTPS_PROXY": "http://me:test#key-2@"}),
        (SOUND + "\nserver: {listen: '0.0.0.0:0'}", {}),
    ],
)
def test_serve_refuses_what_the_check_refuses_with_the_same_words(serve, tmp_path, text, env):
    (tmp_path / "ccrelay.yaml").write_text(text, "latin-1")
    checked = serve(command="config check", **env)
    served = serve(**env)
    assert (checked.returncode, served.returncode) == (2, 2)
    *problems, count = checked.stdout.splitlines()
    assert count.endswith(("error", "errors"))
    assert served.stderr.splitlines() == problems
    assert served.stdout == ""
    assert "key-2" not in served.stderr
    assert "key-canary" not in served.stderr


def test_a_socks_proxy_without_the_extra_is_refused_before_the_port_is_open(serve, tmp_path):
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "python_socks.py").write_text("raise ImportError('not installed')")
    env = {"before": str(tmp_path / "without"), "ALL_PROXY": "socks5h://me:test-key-2@h.example"}
    with socket.create_server(("127.0.0.1", 0)) as taken:  # it would fail first
        served = serve("--listen", f"127.0.0.1:{taken.getsockname()[1]}", **env)
    checked = serve(command="config check", **env)
    assert (served.returncode, checked.returncode) == (2, 2)
    assert (
        served.stderr.splitlines()
        == checked.stdout.splitlines()[:-1]
        == [
            "environment variable ALL_PROXY: a SOCKS proxy needs the extra `socks`: pip install "
            "'ccrelay-proxy[socks]'. Used for: zai; NO_PROXY exempts hosts"
        ]
    )


def test_missing_certificates_are_said_at_the_start(serve, tmp_path):
    (tmp_path / "ccrelay.yaml").write_text(CONFIG)
    env = {"SSL_CERT_FILE": "/nowhere/ca.pem"}
    warning = (
        'environment variable SSL_CERT_FILE: warning: cannot be read: "/nowhere/ca.pem" '
        "(No such file or directory)"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:  # it ends at once
        served = serve("--listen", f"127.0.0.1:{taken.getsockname()[1]}", **env)
    assert served.stderr.splitlines()[0] == warning
    checked = serve(command="config check", **env)
    assert checked.returncode == 0
    assert checked.stdout.splitlines()[0] == warning


@pytest.mark.parametrize("name", ["missing/log", "."])
def test_a_log_file_that_cannot_be_opened_is_said_by_serve_and_check(serve, tmp_path, name):
    path = tmp_path / name
    (tmp_path / "ccrelay.yaml").write_text(CONFIG + f"logging: {{file: {path}}}\n")
    served, checked = serve(), serve(command="config check")
    assert (served.returncode, checked.returncode) == (2, 2)
    (message,) = served.stderr.splitlines()
    assert message == checked.stdout.splitlines()[0]
    assert message.startswith(f'configuration: logging.file: cannot write to "{path}')


def ask(address: str) -> tuple[int, bytes]:
    question = {"role": "user", "content": "Hi"}
    body = {"model": "claude-sonnet-4-6", "max_tokens": 9, "messages": [question]}
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        headers = {"content-type": "application/json"}
        connection.request("POST", "/v1/messages", json.dumps(body), headers)
        with connection.getresponse() as answer:
            return answer.status, answer.read()
    finally:
        connection.close()


def test_the_demo_answers_and_exits_0(tmp_path):
    with (tmp_path / "stderr").open("w+") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "ccrelay", "serve", "--demo", "--listen", "127.0.0.1:0"],
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        with running:
            try:
                assert f"(pid {running.pid})" in running.stdout.readline()
                assert running.stdout.readline() == "\n"
                address = running.stdout.readline().split("http://")[1].split()[0]
                status, answer = ask(address)
                running.send_signal(signal.SIGTERM)
                said = running.stdout.read()
                assert running.wait(20) == 0
            finally:
                running.kill()
        log.seek(0)
        assert (status, b'"type":"message"' in answer) == (200, True)
        assert "  Start Claude Code through it:   ccrelay claude\n" in said
        assert re.search(r"^\d\d:\d\d:\d\d main +sonnet-4-6 +demo ", log.read(), re.M)
        assert re.search(r"\n\n\d+ s, 1 exchange, 0 lost\n.* tokens in, .* out\n", said)
