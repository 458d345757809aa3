import os
import shlex
import sys
import time
from pathlib import Path

import pytest

from ccrelay.config.expand import SecretError
from ccrelay.config.sources import SECRET_BYTES_MAX, system_sources

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
def test_a_secret_file_of_our_own_is_read_and_stripped(sources, tmp_path, mode):
    assert sources.read_file(str(secret(tmp_path / "k", mode=mode))) == "test-key-1"


def test_relative_and_home_paths_work(sources, tmp_path):
    secret(tmp_path / "k")
    assert sources.read_file("k") == sources.read_file("~/k") == "test-key-1"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o700, 0o666])
def test_a_file_that_others_may_touch_is_refused(sources, tmp_path, mode):
    text = refusal(sources.read_file, str(secret(tmp_path / "k", mode=mode)))
    assert f"mode 0{mode:o}" in text
    assert "test-key-1" not in text


def test_a_link_is_judged_by_the_file_it_leads_to(sources, tmp_path):
    secret(tmp_path / "open", mode=0o644)
    (tmp_path / "link").symlink_to("open")
    assert "mode 0644" in refusal(sources.read_file, "link")


def test_a_file_of_another_user_is_refused(tmp_path):
    secret(tmp_path / "k")
    other = system_sources(ENV, tmp_path, uid=os.geteuid() + 1)
    assert "another user" in refusal(other.read_file, "k")


def test_what_is_no_regular_file_is_refused_without_waiting(sources, tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert "not a regular file" in refusal(sources.read_file, "fifo")
    assert "not a regular file" in refusal(sources.read_file, str(tmp_path))


def test_missing_large_and_binary_files_are_refused(sources, tmp_path):
    assert "No such file" in refusal(sources.read_file, "missing")
    assert "names no file" in refusal(sources.read_file, "")
    secret(tmp_path / "large", b"x" * (SECRET_BYTES_MAX + 1))
    assert "larger than" in refusal(sources.read_file, "large")
    secret(tmp_path / "binary", b"\xff\xfe")
    assert "not UTF-8" in refusal(sources.read_file, "binary")


def test_a_command_gives_what_it_prints_stripped(sources):
    assert sources.run_command("printf '  test-key-1\\n\\n'") == "test-key-1"


def test_a_command_sees_no_shell(sources):
    assert sources.run_command("echo $CANARY; echo *") == "$CANARY; echo *"


def test_a_command_runs_in_the_folder_of_the_file_with_the_given_environment(sources, tmp_path):
    code = "import os; print(os.getcwd(), os.environ['CANARY'], 'USER' in os.environ)"
    expected = f"{os.path.realpath(tmp_path)} from-env False"
    assert sources.run_command(python(code)) == expected


def test_a_failing_command_tells_its_exit_code_and_never_its_output(sources):
    code = "import sys; print('canary'); print('canary', file=sys.stderr); sys.exit(3)"
    text = refusal(sources.run_command, python(code))
    assert "exit code 3" in text
    assert "canary" not in text


def test_a_command_ended_by_a_signal_says_so(sources):
    code = "import os; os.kill(os.getpid(), 9)"
    assert "signal 9" in refusal(sources.run_command, python(code))


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path):
    sources = system_sources(ENV, tmp_path, timeout_s=0.3)
    before = time.monotonic()
    # The child keeps the pipe open after its parent has left.
    text = refusal(sources.run_command, "sh -c 'sleep 30 & echo $! > pid; exit 0'")
    assert "did not end within 0.3 s" in text
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


def test_a_command_without_end_of_output_is_ended(sources):
    assert "larger than" in refusal(sources.run_command, "yes")


def test_commands_that_cannot_start_are_refused(sources):
    assert "No such file" in refusal(sources.run_command, "no-such-program-here --flag canary")
    assert "canary" not in refusal(sources.run_command, "no-such-program-here --flag canary")
    assert "split into words" in refusal(sources.run_command, "echo 'x")
    assert "names no program" in refusal(sources.run_command, "")
    assert "null byte" in refusal(sources.run_command, "echo a\0b")
