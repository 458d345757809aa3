"""Which relay the status line asks, and that nothing of it raises."""

import itertools
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccrelay.cli import statusline as module
from ccrelay.cli.statusline import SEVERAL, folders, main
from ccrelay.config.places import socket_folders


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for sockets, whose path is short; relays of the machine are not seen."""
    with tempfile.TemporaryDirectory(prefix="cc-") as name:
        monkeypatch.setattr(module, "SHARED", name)
        folder = Path(name, "ccrelay")
        folder.mkdir()
        yield folder


def listening(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    return sock


def env(runtime: Path, **more: str) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(runtime.parent), **more}


def chosen(environment: dict[str, str]) -> list[str]:
    ends_at = time.monotonic() + 20.0
    found = module._connected(module._sockets(environment), module._port(environment), ends_at)
    names = [os.path.basename(sock.getpeername()) for sock in found]
    for sock in found:
        sock.close()
    return names


def test_folders_are_those_of_the_supervisor() -> None:
    values = {
        "XDG_RUNTIME_DIR": ("", "/run/user/1", "relative"),
        "STATE_DIRECTORY": ("", "/var/lib/ccrelay", "/a:/b", "relative"),
        "XDG_STATE_HOME": ("", "/state", "relative"),
        "HOME": ("", "/home/me", "relative"),
    }
    for some in itertools.product(*values.values()):
        environment = dict(zip(values, some, strict=True))
        wanted = [str(folder) for folder in socket_folders(environment, 7)]
        assert folders(environment, 7) == wanted, environment


def test_the_one_that_runs_is_asked_and_dead_sockets_are_not(runtime: Path) -> None:
    listening(runtime / "1.sock").close()  # it was killed
    (runtime / "2.sock").write_text("no socket")
    with listening(runtime / "8787.sock"):
        assert chosen(env(runtime)) == ["8787.sock"]


def test_a_socket_without_its_name_yet_is_not_asked(runtime: Path) -> None:
    with listening(runtime / ".8787-1.sock"), listening(runtime / "8787.sock"):
        assert chosen(env(runtime)) == ["8787.sock"]


def test_of_several_the_one_that_claude_code_uses_is_asked(runtime: Path) -> None:
    with listening(runtime / "8787.sock"), listening(runtime / "9000-77.sock"):
        for port, name in (("8787", "8787.sock"), ("9000", "9000-77.sock")):
            url = f"http://127.0.0.1:{port}/prefix"
            assert chosen(env(runtime, ANTHROPIC_BASE_URL=url)) == [name]
        assert len(chosen(env(runtime, ANTHROPIC_BASE_URL="https://api.anthropic.com"))) == 2
        assert len(chosen(env(runtime))) == 2


def test_without_the_one_that_it_uses_the_other_one_is_asked(runtime: Path) -> None:
    listening(runtime / "8787.sock").close()
    with listening(runtime / "9000.sock"):
        url = "http://127.0.0.1:8787"
        assert chosen(env(runtime, ANTHROPIC_BASE_URL=url)) == ["9000.sock"]


def test_several_of_which_none_is_meant_are_told(
    runtime: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_told", lambda _: {})
    with listening(runtime / "1.sock"), listening(runtime / "2.sock"):
        main([], env(runtime))
    assert capfd.readouterr().out == f"{SEVERAL}\n"


def test_a_folder_that_others_may_write_is_not_looked_into(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARED", str(runtime.parent))
    shared = runtime.parent / f"ccrelay-{os.geteuid()}"
    shared.mkdir()
    with listening(shared / "1.sock"):
        assert chosen({}) == ["1.sock"]
        shared.chmod(0o777)
        assert chosen({}) == []


@pytest.mark.parametrize("arguments", [["--socket", "/none"], ["--socket=/none"], ["--socket"], []])
def test_without_a_relay_the_line_is_empty(
    arguments: list[str], runtime: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "_told", lambda _: {"session_id": 7})
    main(arguments, env(runtime))
    assert capfd.readouterr().out == "\n"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"a" * (2 << 20)])
def test_input_that_cannot_be_read_tells_nothing(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(data)
    before = os.dup(0)
    try:
        with (tmp_path / "input").open("rb") as file:
            os.dup2(file.fileno(), 0)
        assert module._told(time.monotonic() + 20) == {}
    finally:
        os.dup2(before, 0)
        os.close(before)


def test_whatever_fails_the_line_is_empty(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: float) -> dict[str, object]:
        raise RecursionError

    monkeypatch.setattr(module, "_told", broken)
    main()
    assert capfd.readouterr().out == "\n"
