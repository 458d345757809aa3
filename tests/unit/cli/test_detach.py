"""The parts of `serve --detach`: log, pipe, and what is said of another relay."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ccrelay.cli import detach
from ccrelay.control import client as control
from ccrelay.control.client import NoRelay
from ccrelay.v1 import relay_pb2
from tests.child import run_code


def test_the_first_text_is_told_and_all_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    ready, told = os.pipe()
    monkeypatch.setenv(detach.VARIABLE, str(told))
    printed: list[str] = []
    print_out = detach.telling(printed.append)
    assert detach.VARIABLE not in os.environ
    assert not os.get_inheritable(told)
    print_out("the banner \u00fc")
    print_out("the totals")
    with open(ready, "rb") as pipe:
        assert pipe.read().decode() == "the banner \u00fc"  # and its end: nobody holds it open
    assert printed == ["the banner \u00fc", "the totals"]


@pytest.mark.parametrize("value", ["", "x", "-1"])
def test_without_a_pipe_nothing_is_told(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(detach.VARIABLE, value)
    printed: list[str] = []
    print_out = printed.append
    assert detach.telling(print_out) is print_out


def test_a_command_that_is_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ready, told = os.pipe()
    os.close(ready)
    monkeypatch.setenv(detach.VARIABLE, str(told))
    printed: list[str] = []
    detach.telling(printed.append)("banner")
    assert printed == ["banner"]


def test_where_the_log_is() -> None:
    assert detach.log_path({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == Path("/s/ccrelay/relay.log")
    home = detach.log_path({"XDG_STATE_HOME": "relative", "HOME": "/h"})
    assert home == Path("/h/.local/state/ccrelay/relay.log")
    given = {"STATE_DIRECTORY": "/var/lib/ccrelay", "HOME": "/h"}
    assert detach.log_path(given) == Path("/var/lib/ccrelay/relay.log")
    assert detach.log_path({}) is None


def test_a_large_log_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ccrelay" / "relay.log"
    monkeypatch.setattr(detach, "LOG_BYTES_MAX", 10)
    for text in (b"first, and long", b"second"):
        with detach.open_log(path) as log:
            log.write(text)
    assert path.read_bytes() == b"second"
    assert path.with_name("relay.log.1").read_bytes() == b"first, and long"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "relay.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        detach.open_log(tmp_path / "relay.log")
    assert not (tmp_path / "elsewhere").exists()


def started(script: str, env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    said: list[tuple[str, bool]] = []
    monkeypatch.setattr(detach, "_words", lambda: ["-c", script])
    code = detach.start_detached(env, lambda text, err=False: said.append((text, err)))
    return code, said


def test_a_child_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detach, "READY_TIMEOUT_S", 0.5)
    script = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    code, said = started(script, {"HOME": str(tmp_path)}, monkeypatch)
    assert code == 1
    assert "not ready within 0.5 s" in said[-1][0]
    pid = int(said[0][0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(("exit_code", "told"), [(1, 1), (2, 2), (0, 1)])
def test_a_child_that_ends_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exit_code: int, told: int
) -> None:
    monkeypatch.setattr(detach, "describe_running", lambda: "")
    script = f"import sys; sys.stderr.write('it broke'); sys.exit({exit_code})"
    assert started(script, {"HOME": str(tmp_path)}, monkeypatch) == (told, [("it broke", True)])


def test_a_child_that_is_killed_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    code, _ = started(script, {"HOME": str(tmp_path)}, monkeypatch)
    assert code == 1


def test_no_place_for_the_log_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = started("", {}, monkeypatch)
    assert code == 1
    assert "HOME" in said[0][0]


def test_a_folder_that_cannot_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    code, said = started("", {"XDG_STATE_HOME": str(tmp_path / "file")}, monkeypatch)
    assert code == 1
    assert "cannot write" in said[0][0]


def test_the_option_is_taken_out_of_the_command_line() -> None:
    script = "from ccrelay.cli import detach; print(detach._words()[-3:])"
    done = run_code(script, "serve", "--detach", "--demo")
    assert done.stdout.strip().endswith("'serve', '--demo']")


def test_another_relay_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        def __init__(self, path: Path) -> None:
            pass

        def call(self, *args: Any) -> Any:
            status = relay_pb2.Status(pid=4711, listen=["127.0.0.1:8787"], version="0.3.0")
            return relay_pb2.GetStatusResponse(status=status)

    monkeypatch.setenv("CCRELAY_SOCKET", "/x")
    monkeypatch.setattr(control, "Client", Fake)
    text = detach.describe_running()
    assert "127.0.0.1:8787, pid 4711, version 0.3.0" in text

    class Gone(Fake):
        def call(self, *args: Any) -> Any:
            raise NoRelay("none")

    monkeypatch.setattr(control, "Client", Gone)
    assert detach.describe_running() == ""
