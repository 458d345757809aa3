"""The first minutes for real: a relay without a file, and `ccrelay init` in a terminal."""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccrelay.control.client import Client, find_socket
from ccrelay.v1 import relay_pb2, setup_pb2 as v1
from tests.process.commands import PROGRAM, environment, run, until
from tests.process.serving import PATIENCE_S

pytestmark = pytest.mark.process

KEY = "test-key-of-a-first-run"
WRONG = "test-key-that-is-wrong"
WITH_TMUX = pytest.mark.skipif(
    shutil.which("tmux") is None and not os.environ.get("CI"), reason="tmux is not installed"
)


def sockets(folder: Path) -> Path:
    """A folder for sockets: their paths have to be short."""
    return Path(tempfile.gettempdir(), f"ccr-{hashlib.sha256(bytes(folder)).hexdigest()[:10]}")


@pytest.fixture(autouse=True)
def folder_of_sockets(tmp_path: Path) -> Iterator[None]:
    sockets(tmp_path).mkdir(mode=0o700)
    yield
    shutil.rmtree(sockets(tmp_path))


def variables(folder: Path, **more: str) -> dict[str, str]:
    """A clean home: nothing of the developer's, no keychain."""
    return environment(
        folder,
        XDG_RUNTIME_DIR=str(sockets(folder)),
        XDG_STATE_HOME=str(folder / "state"),
        PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring",
        OLLAMA_HOST="127.0.0.1:1",
        **more,
    )


class Process:
    """One `ccrelay ...` that runs, with the lines of its output."""

    def __init__(self, folder: Path, name: str, env: dict[str, str], *arguments: str) -> None:
        self.out = folder / name
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [*PROGRAM, *arguments], env=env, cwd=folder, stdout=out, stderr=out,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def text(self) -> str:
        return self.out.read_text()

    def address(self) -> str:
        """Wait for the first address that it prints."""
        found = until(lambda: re.search(r"http://(127\.0\.0\.1:\d+)", self.text()), "no address")
        return str(found[1])

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()


@pytest.fixture
def mock(tmp_path: Path) -> Iterator[str]:
    """A provider that refuses WRONG."""
    faults = f"{WRONG}:401"
    options = ("mock", "--listen", "127.0.0.1:0", "--key-fault", faults)
    process = Process(tmp_path, "mock.log", variables(tmp_path), *options)
    try:
        yield process.address()
    finally:
        process.close()


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Process]:
    """`ccrelay serve` without any configuration."""
    env = variables(tmp_path, MY_KEY=KEY)
    process = Process(tmp_path, "serve.log", env, "serve", "--listen", "127.0.0.1:0")
    try:
        process.address()
        until(lambda: list((sockets(tmp_path) / "ccrelay").glob("*.sock")), "no socket")
        yield process
    finally:
        process.close()


def call(folder: Path, method: str, request: object, answer: type) -> object:
    """Call the relay, which may be starting its manager still."""
    env = beside(folder)
    until(lambda: run(folder, "status", "--json", env=env).returncode != 3, "no manager")
    return Client(find_socket(env)).call(method, request, answer, 30.0)


def beside(folder: Path, **more: str) -> dict[str, str]:
    """Variables of a command beside the relay, with its socket: others may run on this machine."""
    [socket] = (sockets(folder) / "ccrelay").glob("*.sock")
    return variables(folder, CCRELAY_SOCKET=str(socket), **more)


def config_file(folder: Path) -> str:
    answer = call(
        folder, "Relay/GetStatus", relay_pb2.GetStatusRequest(), relay_pb2.GetStatusResponse
    )
    return str(answer.status.config_file)  # type: ignore[attr-defined]


def test_a_relay_without_a_file_takes_the_first_one_over(
    tmp_path: Path, relay: Process, mock: str
) -> None:
    found = call(tmp_path, "Setup/Detect", v1.DetectRequest(), v1.DetectResponse)
    assert isinstance(found, v1.DetectResponse)
    file = tmp_path / ".config" / "ccrelay" / "config.yaml"
    assert (found.file, found.has_config) == (str(file), False)
    assert config_file(tmp_path) == ""
    provider = v1.SetupProvider(type="anthropic", base_url=f"http://{mock}", variable="MY_KEY")
    request = v1.CheckRequest(provider=provider, model="claude-haiku-4-5")
    checked = call(tmp_path, "Setup/Check", request, v1.CheckResponse)
    assert isinstance(checked, v1.CheckResponse)
    assert checked.ok, checked.message
    written = call(tmp_path, "Setup/Write", v1.WriteRequest(providers=[provider]), v1.WriteResponse)
    assert isinstance(written, v1.WriteResponse)
    assert written.revision == 1
    assert config_file(tmp_path) == str(file)
    # It is the file from now on: watched, and with revisions.
    text = file.read_text().replace("type: anthropic", "type: anthropic\n    weight: 7")
    file.write_text(text)
    until(lambda: "reloaded trigger=file" in relay.text(), "the file is not watched")
    shown = run(tmp_path, "config", "revisions", "--json", env=beside(tmp_path)).stdout
    assert [one["revision"] for one in json.loads(shown)["revisions"]] == [2, 1]
    relay.process.send_signal(signal.SIGUSR2)
    until(lambda: "upgraded" in relay.text(), "no upgrade")
    assert config_file(tmp_path) == str(file)


def test_a_check_tells_apart_what_is_refused_and_what_is_not_proven(
    tmp_path: Path, relay: Process, mock: str
) -> None:
    found = []
    settings = {"count_tokens": "estimate"}
    for key, model in ((KEY, ""), (WRONG, "claude-haiku-4-5")):
        provider = v1.SetupProvider(
            type="compatible", base_url=f"http://{mock}", key=key, settings=settings
        )
        request = v1.CheckRequest(provider=provider, model=model)
        checked = call(tmp_path, "Setup/Check", request, v1.CheckResponse)
        assert isinstance(checked, v1.CheckResponse)
        found.append((checked.ok, checked.unproven))
    assert found == [(False, True), (False, False)]


def test_init_beside_a_relay_that_runs(tmp_path: Path, relay: Process, mock: str) -> None:
    assert config_file(tmp_path) == ""
    options = ("--provider", "anthropic", "--base-url", f"http://{mock}", "--key-from-env")
    done = run(tmp_path, "init", *options, "MY_KEY", env=beside(tmp_path, MY_KEY=KEY))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [
        "the running relay uses it now",
        "next: ccrelay claude",
    ]
    assert config_file(tmp_path).endswith("config.yaml")
    assert KEY not in relay.text()


def test_a_file_with_a_mistake_is_not_taken_over(tmp_path: Path, relay: Process) -> None:
    assert config_file(tmp_path) == ""
    file = tmp_path / ".config" / "ccrelay" / "config.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("providers: [{nam: x}]\n")
    done = run(tmp_path, "reload", env=beside(tmp_path))
    assert done.returncode == 1
    assert "config.yaml:1:13" in done.stderr
    assert config_file(tmp_path) == ""
    file.write_text("providers: [{name: anthropic, type: anthropic}]\n")
    assert run(tmp_path, "reload", env=beside(tmp_path)).returncode == 0
    assert config_file(tmp_path) == str(file)


# ---- a person at a terminal


class Tmux:
    """A command in a window of a server of its own; without one, a shell."""

    def __init__(self, folder: Path, env: dict[str, str], *arguments: str) -> None:
        self._name = f"ccrelay-{uuid.uuid4().hex[:8]}"
        self._env = {**env, "TERM": "xterm-256color"}
        line = f"trap : INT; {shlex.join([*PROGRAM, *arguments])}; echo code $?; sleep 60"
        size = ("-x", "100", "-y", "50")
        shell = ("sh", "-c", line) if arguments else ("sh", "-i")
        self._run("new-session", "-d", *size, "-c", str(folder), *shell)

    def _run(self, *arguments: str) -> str:
        return subprocess.run(
            ["tmux", "-u", "-L", self._name, "-f", "/dev/null", *arguments],
            env=self._env, capture_output=True, text=True, check=True, timeout=20,
        ).stdout  # fmt: skip

    def screen(self) -> str:
        return self._run("capture-pane", "-p", "-J")

    def wait_for(self, text: str, count: int = 1) -> str:
        return str(
            until(lambda: self.screen().count(text) >= count and self.screen(), f"no {text!r}")
        )

    def type(self, text: str) -> None:
        if text:
            self._run("send-keys", "-l", text)
        self._run("send-keys", "Enter")

    def press(self, key: str) -> None:
        self._run("send-keys", key)

    def close(self) -> None:
        subprocess.run(
            ["tmux", "-L", self._name, "kill-server"], check=False, capture_output=True, timeout=20
        )


@pytest.fixture
def tmux(tmp_path: Path, mock: str) -> Iterator[Tmux]:
    options = ("--provider", "anthropic", "--base-url", f"http://{mock}")
    window = Tmux(tmp_path, variables(tmp_path), "init", *options)
    try:
        yield window
    finally:
        window.close()


@WITH_TMUX
def test_a_newcomer_types_a_key(tmp_path: Path, tmux: Tmux) -> None:
    tmux.wait_for("Key of anthropic (not shown):")
    tmux.type(KEY)
    tmux.wait_for("for one token?")
    tmux.type("y")
    screen = tmux.wait_for("code ")
    assert "code 0" in screen
    assert "answered with claude-haiku" in screen
    assert "next: ccrelay claude" in screen
    assert KEY not in screen
    folder = tmp_path / ".config" / "ccrelay"
    assert (folder / "keys" / "anthropic").read_text() == f"{KEY}\n"
    done = run(tmp_path, "config", "check", env=variables(tmp_path))
    assert done.returncode == 0, done.stdout
    assert KEY not in (folder / "config.yaml").read_text()


@WITH_TMUX
def test_a_wrong_key_is_refused_by_the_token_and_nothing_is_written(
    tmp_path: Path, tmux: Tmux
) -> None:
    tmux.wait_for("Key of anthropic (not shown):")
    tmux.type(WRONG)
    tmux.wait_for("for one token?")
    tmux.type("y")
    screen = tmux.wait_for("code ")
    assert "code 1" in screen
    assert "refuses the key" in screen
    assert "Nothing was written." in screen
    assert not (tmp_path / ".config").exists()


@WITH_TMUX
@pytest.mark.parametrize("at", ["Key of anthropic (not shown):", "for one token?"])
def test_ctrl_c_leaves_nothing(tmp_path: Path, tmux: Tmux, at: str) -> None:
    tmux.wait_for("Key of anthropic (not shown):")
    if at != "Key of anthropic (not shown):":
        tmux.type(KEY)
        tmux.wait_for(at)
    time.sleep(0.2)  # the question is there; the terminal has to be in its mode
    tmux.press("C-c")
    screen = tmux.wait_for("code ")
    assert "code 130" in screen
    assert "Nothing was written." in screen
    assert not (tmp_path / ".config").exists()


@WITH_TMUX
@pytest.mark.parametrize(
    "command", ["init --provider zai --no-check", "init --provider zai --key-stdin --no-check",
                "keys set zai"],
)  # fmt: skip
def test_a_key_stays_hidden_after_ctrl_z(tmp_path: Path, command: str) -> None:
    window = Tmux(tmp_path, variables(tmp_path))
    try:
        window.type(f"{shlex.join(PROGRAM)} {command}")
        window.wait_for("(not shown):")
        window.press("C-z")
        window.wait_for("Stopped")
        window.type("fg")
        window.wait_for("(not shown):", 2)
        window.type(KEY)
        kept = tmp_path / ".config" / "ccrelay" / "keys" / "zai"
        if "--key-stdin" not in command and command.startswith("init"):
            window.wait_for("Model for Claude's names")
            window.type("")
        until(kept.exists, "no key")
        assert KEY not in window.screen()
    finally:
        window.close()
    assert kept.read_text() == f"{KEY}\n"


@WITH_TMUX
def test_what_is_found_is_shown_and_chosen_by_enter(tmp_path: Path, mock: str) -> None:
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / ".credentials.json").write_text("{}")
    window = Tmux(tmp_path, variables(tmp_path, ZAI_API_KEY=KEY), "init", "--no-check")
    try:
        screen = window.wait_for("Which one answers Claude Code first? [1]:")
        assert "   1  anthropic   login of Claude Code" in screen
        assert "   2  zai         ZAI_API_KEY" in screen
        window.type("")
        window.wait_for("Another one, for when it cannot?")
        window.type("2")
        window.wait_for("Model for Claude's names [glm-5.3]:")
        window.type("")
        screen = window.wait_for("code ")
        assert "code 0" in screen, screen
    finally:
        window.close()
    text = (tmp_path / ".config" / "ccrelay" / "config.yaml").read_text()
    assert "strategy: failover" in text
    assert '"${ZAI_API_KEY}"' in text
