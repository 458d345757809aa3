"""The commands in a folder that somebody else has prepared: nothing of it runs or is used."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ccrelay
from ccrelay.config.load import load
from ccrelay.config.trust import confirm

pytestmark = pytest.mark.process

ROOT = str(Path(ccrelay.__file__).parents[1])  # of the package under test
PATIENCE_S = 20.0
STRANGER = 54321  # nobody's
TRAP = """
server: {listen: "127.0.0.1:0"}
management: {enabled: false}
providers: [{name: a, type: zai, keys: [{key: "${cmd:sh -c 'touch ran; echo test-key-1'}"}]}]
"""
COMMANDS = ("serve", "config check", "config check --run-commands", "config show")
COMMANDS += ("route explain --model m", "config trust --yes")


def environment(folder: Path, **more: str) -> dict[str, str]:
    home = str(folder / "home")
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": ROOT, "HOME": home, **more}


def run(folder: Path, command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ccrelay", *command.split()],
        env=environment(folder, **env),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.fixture
def folder(tmp_path):
    """A folder with a configuration that leaves a trace, confirmed by its user."""
    file = tmp_path / "ccrelay.yaml"
    file.write_text(TRAP)
    confirm(file, load(file, env={}, run_commands=False).digest, environment(tmp_path))
    return tmp_path


def by_mode(place: str):
    def spoil(folder: Path) -> None:
        (folder / place).chmod(0o777)

    return spoil


def by_owner(place: str):
    def spoil(folder: Path) -> None:
        if os.geteuid() == 0:
            os.chown(folder / place, STRANGER, -1)
        else:  # cannot give files away
            by_mode(place)(folder)

    return spoil


REFUSED = [by_mode("ccrelay.yaml"), by_mode("."), by_owner("ccrelay.yaml"), by_owner(".")]


@pytest.mark.parametrize("how", ["", "--config ccrelay.yaml", "CCRELAY_CONFIG"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_others_can_change_is_refused_by_every_command(folder, command, how):
    if how == "--config ccrelay.yaml" and command.startswith("config trust"):
        how = "ccrelay.yaml"
    env = {how: "ccrelay.yaml"} if how == "CCRELAY_CONFIG" else {}
    option = "" if env else how
    REFUSED[COMMANDS.index(command) % len(REFUSED)](folder)
    ended = run(folder, f"{command} {option}", **env)
    assert ended.returncode == 2, ended
    said = ended.stdout + ended.stderr
    assert "ccrelay.yaml: refused: " in said
    assert "chmod" in said or "chown" in said
    assert "Traceback" not in said
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("spoil", REFUSED)
def test_the_check_can_be_switched_off_by_the_environment_alone(folder, spoil):
    spoil(folder)
    assert run(folder, "config show --config ccrelay.yaml").returncode == 2
    ended = run(folder, "config show --config ccrelay.yaml", CCRELAY_FILE_CHECKS="off")
    assert ended.returncode == 0
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("command", COMMANDS[:-1])
def test_a_found_file_is_used_with_the_content_that_was_confirmed(folder, command):
    (folder / "ccrelay.yaml").write_text(TRAP + "\n")
    ended = run(folder, command)
    assert ended.returncode == 2
    said = ended.stdout + ended.stderr
    assert "`ccrelay config trust`, or name it: --config ./ccrelay.yaml" in said
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("command", ["config check", "config show", "config path"])
def test_an_explaining_command_runs_no_program(folder, command):
    assert run(folder, command).returncode == 0
    assert not (folder / "ran").exists()


# ---- at a terminal


class AtTerminal:
    """`ccrelay serve` with a terminal as standard input and error."""

    def __init__(self, folder: Path) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ccrelay", "serve"],
            env=environment(folder, TERM="dumb"),
            cwd=folder,
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=slave,
            text=True,
        )
        os.close(slave)
        self.said = ""

    def until(self, words: str) -> None:
        ends_at = time.monotonic() + PATIENCE_S
        while words not in self.said:
            assert time.monotonic() < ends_at, self.said
            self.said += os.read(self.master, 4096).decode()

    def answer(self, text: str) -> None:
        os.write(self.master, text.encode())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        os.close(self.master)


@pytest.fixture
def at_terminal(folder):
    (folder / "ccrelay.yaml").write_text(TRAP + "\n")  # not confirmed
    serve = AtTerminal(folder)
    yield serve
    serve.close()


def test_serve_asks_once_and_starts(at_terminal, folder):
    at_terminal.until("Use this file? [y/N]")
    assert "runs       sh -c 'touch ran; echo test-key-1'" in at_terminal.said
    assert not (folder / "ran").exists()
    at_terminal.answer("y\n")
    assert "ready in" in at_terminal.process.stdout.readline()
    assert (folder / "ran").exists()
    at_terminal.process.send_signal(signal.SIGTERM)
    assert at_terminal.process.wait(PATIENCE_S) == 0
    assert run(folder, "config check").returncode == 0


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04"])
def test_serve_does_not_start_without_a_yes(at_terminal, folder, answer):
    at_terminal.until("Use this file? [y/N]")
    at_terminal.answer(answer)
    assert at_terminal.process.wait(PATIENCE_S) == 2
    assert not (folder / "ran").exists()


def test_ctrl_c_ends_the_question(at_terminal, folder):
    at_terminal.until("Use this file? [y/N]")
    ends_at = time.monotonic() + PATIENCE_S
    while at_terminal.process.poll() is None:  # one just before the read is seen after it
        assert time.monotonic() < ends_at
        at_terminal.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            at_terminal.process.wait(2)
    assert at_terminal.process.returncode == 2
    assert not (folder / "ran").exists()


# ---- workers open the log, too


def test_workers_judge_the_log_as_their_supervisor_does(folder):
    """Under sudo, and with the checks off: a worker is told of both."""
    logs = [folder / "sudo.log", folder / "open.log"]
    for log in logs:
        log.touch(mode=0o600)
    logs[1].chmod(0o666)
    env = [{"SUDO_UID": str(STRANGER)}, {"CCRELAY_FILE_CHECKS": "off"}]
    if os.geteuid() == 0:
        os.chown(logs[0], STRANGER, -1)
    for log, more in zip(logs, env, strict=True):
        (folder / "c.yaml").write_text(f"{TRAP}logging: {{file: {log}, level: debug}}\n")
        serve = subprocess.Popen(
            [sys.executable, "-m", "ccrelay", "serve", "--config", "c.yaml"],
            env=environment(folder, **more),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with serve:
            try:
                assert "ready in" in serve.stdout.readline()  # every worker is ready
                serve.send_signal(signal.SIGTERM)
                assert serve.wait(PATIENCE_S) == 0
            finally:
                serve.kill()
        assert "worker_ready" in log.read_text()


# ---- no file stays no file


def test_a_file_that_appears_later_is_not_picked_up_by_signals(tmp_path):
    log = tmp_path / "log"

    def events(name: str) -> int:
        lines = log.read_bytes().split(b"\n")[:-1]
        return sum(line.startswith(b"{") and json.loads(line)["event"] == name for line in lines)

    def wait_for(name: str, count: int = 1) -> None:
        ends_at = time.monotonic() + PATIENCE_S
        while events(name) < count:
            assert time.monotonic() < ends_at, log.read_text()
            time.sleep(0.02)

    with log.open("wb") as stderr:
        serve = subprocess.Popen(
            [
                *(sys.executable, "-m", "ccrelay", "serve", "--listen", "127.0.0.1:0"),
                *("--log-format", "json", "--log-level", "debug"),
            ],
            env=environment(tmp_path),
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        assert "ready in" in serve.stdout.readline()
        file = tmp_path / "ccrelay.yaml"
        file.write_text(TRAP)
        confirm(file, load(file, env={}, run_commands=False).digest, environment(tmp_path))
        serve.send_signal(signal.SIGHUP)
        wait_for("reload_unavailable")
        for count in (1, 2):  # the second by an image that was itself an upgrade
            serve.send_signal(signal.SIGUSR2)
            wait_for("upgraded", count)
        serve.send_signal(signal.SIGHUP)
        wait_for("reload_unavailable", 2)
        serve.send_signal(signal.SIGTERM)
        assert serve.wait(PATIENCE_S) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            serve.kill()
        serve.wait(PATIENCE_S)
        serve.stdout.close()
    assert not (tmp_path / "ran").exists()


# ---- logs


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda log: log.symlink_to("victim"), "is a symbolic link; name the file itself"),
        (lambda log: os.link(log.parent / "victim", log), "is a hard link to another file"),
        (lambda log: os.mkfifo(log), "is not a regular file"),
        (lambda log: (log.touch(), log.chmod(0o666)), "can be written by every user (mode 0666)"),
    ],
)
def test_a_log_that_is_not_ours_alone_exits_1_and_is_not_written(tmp_path, prepare, words):
    (tmp_path / "victim").write_text("of others")
    prepare(tmp_path / "log")
    text = f"{TRAP}logging: {{file: {tmp_path}/log}}\n"
    (tmp_path / "c.yaml").write_text(text)
    ended = run(tmp_path, "serve --config c.yaml")
    assert ended.returncode == 1
    assert words in ended.stderr
    assert f'"{tmp_path}/log"' in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "victim").read_text() == "of others"
