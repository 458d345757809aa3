import os
import shlex
import sys
import time
from pathlib import Path

import pytest

from ccrelay.config.expand import SecretError
from ccrelay.config.sources import SECRET_BYTES_MAX, _check_status, system_sources

ENV = {"PATH": "/usr/bin:/bin", "CANARY": "from-env"}


def python(code: str) -> str:
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}"


@pytest.fixture
def sources(tmp_path: Path):
    return system_sources({**ENV, "HOME": str(tmp_path)}, tmp_path)


def secret(path: Path, data: bytes = b"test-key-1\n", mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def refusal(call, argument: str) -> str:
    with pytest.raises(SecretError) as caught:
        call(argument)
    return str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_an_own_secret_file_is_read_and_stripped(sources, tmp_path, mode):
    assert sources.read_file(str(secret(tmp_path / "k", mode=mode))) == "test-key-1"


def test_relative_and_home_paths_work(sources, tmp_path):
    secret(tmp_path / "k")
    assert sources.read_file("k") == sources.read_file("~/k") == "test-key-1"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o700, 0o666])
def test_a_file_accessible_to_others_is_rejected(sources, tmp_path, mode):
    text = refusal(sources.read_file, str(secret(tmp_path / "k", mode=mode)))
    assert f"mode 0{mode:o}" in text
    assert "chmod" in text
    assert "test-key-1" not in text


@pytest.mark.parametrize("name", ["missing", "sub/" + "long-name-" * 8 + ".key", "../up.key"])
def test_a_missing_file_is_named_with_its_whole_path(sources, tmp_path, name):
    path = os.path.normpath(tmp_path / name)
    assert refusal(sources.read_file, name) == (
        f'cannot read the secret file "{path}": No such file or directory'
    )


def test_a_symlink_is_checked_by_its_target(sources, tmp_path):
    secret(tmp_path / "open", mode=0o644)
    (tmp_path / "link").symlink_to("open")
    assert "mode 0644" in refusal(sources.read_file, "link")


OTHER = 54321  # nobody's


@pytest.fixture
def give_away(monkeypatch):
    """Make a file another user's; without root: make everything another's."""

    def give_away(path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, OTHER, -1)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: OTHER)

    return give_away


def test_a_file_of_another_user_is_rejected(sources, tmp_path, give_away):
    give_away(secret(tmp_path / "k"))
    assert "is refused: " in refusal(sources.read_file, "k")
    assert "belongs to user" in refusal(sources.read_file, "k")


def test_a_file_in_a_folder_that_others_can_write_is_rejected(sources, tmp_path):
    secret(tmp_path / "k")
    tmp_path.chmod(0o777)
    text = refusal(sources.read_file, "k")
    assert f'the secret file "{tmp_path}/k" is refused: the folder "{tmp_path}" can be' in text
    assert "chmod" in text


@pytest.mark.parametrize(
    ("mode", "uid", "euid", "is_read"),
    [
        (0o440, 0, 1000, True),  # of root, for a service
        (0o640, 0, 1000, True),
        (0o444, 0, 1000, False),
        (0o460, 0, 1000, False),
        (0o450, 0, 1000, False),
        (0o440, 0, 0, False),
        (0o440, 1000, 1000, False),
        (0o400, 1000, 1000, True),
    ],
)
def test_root_may_share_a_secret_with_a_group(monkeypatch, mode, uid, euid, is_read):
    monkeypatch.setattr(os, "geteuid", lambda: euid)
    status = os.stat_result((0o100000 | mode, 1, 1, 1, uid, 1, 1, 0, 0, 0))
    if is_read:
        _check_status(status, "k", is_private=True)
    else:
        with pytest.raises(SecretError, match="it must be 0600"):
            _check_status(status, "k", is_private=True)


def test_the_checks_can_be_switched_off_by_the_environment(tmp_path):
    sources = system_sources({**ENV, "CCRELAY_FILE_CHECKS": "off"}, tmp_path)
    secret(tmp_path / "k", mode=0o666)
    tmp_path.chmod(0o777)
    assert sources.read_file("k") == "test-key-1"


def test_a_fifo_or_directory_is_rejected_without_blocking(sources, tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert "not a regular file" in refusal(sources.read_file, "fifo")
    assert "not a regular file" in refusal(sources.read_file, str(tmp_path))


def test_missing_large_and_binary_files_are_rejected(sources, tmp_path):
    assert "No such file" in refusal(sources.read_file, "missing")
    assert "has no path" in refusal(sources.read_file, "")
    secret(tmp_path / "large", b"x" * (SECRET_BYTES_MAX + 1))
    assert "larger than" in refusal(sources.read_file, "large")
    secret(tmp_path / "binary", b"\xff\xfe")
    assert "not UTF-8" in refusal(sources.read_file, "binary")


def test_an_empty_secret_is_rejected_with_its_source(sources, tmp_path):
    secret(tmp_path / "empty", b" \n")
    assert refusal(sources.read_file, "empty") == f'the secret file "{tmp_path}/empty" is empty'
    assert refusal(sources.run_command, "true") == 'the output of the command "true" is empty'


def test_the_output_of_a_command_is_stripped(sources):
    assert sources.run_command("printf '  test-key-1\\n\\n'") == "test-key-1"


def test_a_command_runs_without_a_shell(sources):
    assert sources.run_command("echo $CANARY; echo *") == "$CANARY; echo *"


def test_a_command_runs_in_the_directory_of_the_file_without_the_relays_secrets(sources, tmp_path):
    code = "import os; print(os.getcwd(), os.environ['PATH'], 'CANARY' in os.environ)"
    expected = f"{os.path.realpath(tmp_path)} {ENV['PATH']} False"
    assert sources.run_command(python(code)) == expected


def test_a_failed_command_reports_its_exit_code_and_not_its_output(sources):
    code = "import sys; print('canary'); print('canary', file=sys.stderr); sys.exit(3)"
    text = refusal(sources.run_command, python(code))
    assert "exit code 3" in text
    assert "canary" not in text


def test_a_command_killed_by_a_signal_reports_it(sources):
    code = "import os; os.kill(os.getpid(), 9)"
    assert "signal 9" in refusal(sources.run_command, python(code))


def test_a_command_that_times_out_is_killed_with_its_children(tmp_path):
    sources = system_sources(ENV, tmp_path, timeout_s=0.3)
    before = time.monotonic()
    # The child keeps the pipe open after its parent has left.
    text = refusal(sources.run_command, "sh -c 'sleep 30 & echo $! > pid; exit 0'")
    assert "timed out after 0.3 s" in text
    assert time.monotonic() - before < 10
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while _runs(child) and time.monotonic() < deadline:
        os.sched_yield()
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    # A zombie whose new parent has not waited yet does not run any more.
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_command_with_endless_output_is_killed(sources):
    assert "larger than" in refusal(sources.run_command, "yes")


def test_commands_that_cannot_start_are_errors(sources):
    assert "No such file" in refusal(sources.run_command, "no-such-program-here --flag canary")
    assert "canary" not in refusal(sources.run_command, "no-such-program-here --flag canary")
    assert "invalid quoting" in refusal(sources.run_command, "echo 'x")
    assert "has no program" in refusal(sources.run_command, "")
    assert "null byte" in refusal(sources.run_command, "echo a\0b")
