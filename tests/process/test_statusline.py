"""The status line as Claude Code runs it: its cost, and its silence where nobody answers."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccrelay.cli.statusline import LIMIT_S
from ccrelay.control.http import HttpRequest, HttpResponse
from tests.loopback.control.harness import Served
from tests.process.commands import PROGRAM, behaviours, cpu_ms, environment
from tests.process.serving import PATIENCE_S

pytestmark = pytest.mark.process

CPU_MS = 50
INTERPRETERS = 2.4  # a bare start of Python takes 21 ms here
SILENT_S = 0.2
SESSION = "392daca3-31c6-437d-b28f-aa2f48c405cd"
# As Claude Code 2.1.332 sends it, shortened.
TOLD = {
    "session_id": SESSION,
    "cwd": "/project",
    "model": {"id": "claude-opus-5-5", "display_name": "Opus 5.5"},
    "workspace": {"current_dir": "/project", "project_dir": "/project", "added_dirs": []},
    "version": "2.1.332",
    "cost": {"total_cost_usd": 0.070896, "total_duration_ms": 16492},
    "context_window": {"context_window_size": 1000000, "used_percentage": 1},
    "exceeds_200k_tokens": False,
}
ANSWER = {
    "provider": "anthropic",
    "key": "team-a",
    "model": "claude-opus-5-5",
    "session_micros": 13_840_000,
    "today_billed_micros": 17_540_000,
    "today_plan_micros": 0,
    "cache_hit": 0.94,
    "windows": [],
    "room": 0.94,
    "trouble": None,
}
LINE = "opus-5-5 @ anthropic/team-a · room 94% · $13.84 · cache 94% · today $17.54"


def status_line(folder: Path, text: str | None = None, **env: str) -> tuple[str, float]:
    """The line, and how long it took, seconds. `text`: standard input; None: it stays open."""
    began = time.monotonic()
    with subprocess.Popen(
        [*PROGRAM, "statusline"],
        env=environment(folder, COLUMNS="120", TERM="xterm", **env),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        if text is not None:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.write(text)
                child.stdin.close()
        line = child.stdout.read()
        took_s = time.monotonic() - began
        child.wait(PATIENCE_S)
        assert (child.returncode, child.stderr.read()) == (0, "")
    return line, took_s


@contextlib.contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """A socket that sends some bytes to who connects, and then says nothing more.

    None: it does not even accept.
    """
    with (
        tempfile.TemporaryDirectory(prefix="cc-") as folder,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        path = f"{folder}/s"
        listener.bind(path)
        listener.listen(0 if answer is None else 16)
        held: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    held.append(sock)
                    sock.sendall(answer or b"")

        if answer is not None:
            threading.Thread(target=serve, daemon=True).start()
        else:
            for _ in range(4):  # its backlog is full
                held.append(socket.socket(socket.AF_UNIX))
                held[-1].setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    held[-1].connect(path)
        try:
            yield path
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for sock in held:
                sock.close()


HALF = b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n" + json.dumps(ANSWER).encode()[:80]


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def served(tmp_path: Path, asked: list[str]) -> Iterator[Served]:
    async def answer(request: HttpRequest) -> HttpResponse:
        asked.append(request.query)
        return HttpResponse(json.dumps(ANSWER).encode(), content_type="application/json")

    made = Served(tmp_path, behaviours(), routes={"/statusline": answer})
    try:
        yield made
    finally:
        made.close()


def test_the_line_of_a_session(tmp_path: Path, served: Served, asked: list[str]) -> None:
    env = {"CCRELAY_SOCKET": str(served.path)}
    line, _ = status_line(tmp_path, json.dumps(TOLD), **env)
    assert line == f"{LINE}\n"
    assert asked == [f"session={SESSION}"]


def test_without_input_it_is_the_line_of_no_session(
    tmp_path: Path, served: Served, asked: list[str]
) -> None:
    env = {"CCRELAY_SOCKET": str(served.path)}
    for text in ("", "{", "[]", '{"session_id": "a b"}', None):
        line, _ = status_line(tmp_path, text, **env)
        assert line == f"{LINE}\n"
    assert set(asked) == {"session="}


CASES = ["no socket", "dead socket", "never accepts", "never answers", "half an answer", "an error"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("text", [json.dumps(TOLD), None], ids=["input", "no input"])
def test_it_is_silent_in_time(tmp_path: Path, case: str, text: str | None) -> None:
    with contextlib.ExitStack() as stack:
        path = str(tmp_path / "none")
        if case == "dead socket":
            # The whole path may be too long for an address.
            with socket.socket(socket.AF_UNIX) as sock, contextlib.chdir(tmp_path):
                sock.bind("dead")
            path = "dead"
        elif case != "no socket":
            answers = {
                "never accepts": None,
                "never answers": b"",
                "half an answer": HALF,
                "an error": b"HTTP/1.1 403 \r\ncontent-length: 0\r\n\r\n",
            }
            path = stack.enter_context(listening(answers[case]))
        status_line(tmp_path, text, CCRELAY_SOCKET=path)  # compiles
        taken: list[tuple[float, float]] = []
        # One in time proves it: others use this machine, too. Where they slow down all that runs, a
        # bare interpreter that is started next says by how much.
        while not any(took < most for took, most in taken) and len(taken) < 30:
            line, took_s = status_line(tmp_path, text, CCRELAY_SOCKET=path)
            assert line == "\n"
            began = time.monotonic()
            subprocess.run(
                [sys.executable, "-c", "0"], env=environment(tmp_path), check=True, timeout=60
            )
            bare_s = time.monotonic() - began
            taken.append((took_s, max(SILENT_S, LIMIT_S + INTERPRETERS * bare_s)))
        assert any(took < most for took, most in taken), taken


def test_it_costs_less_than_50_ms_of_cpu(tmp_path: Path, served: Served) -> None:
    env = {"CCRELAY_SOCKET": str(served.path)}
    status_line(tmp_path, "{}", **env)  # compiles
    spent: list[float] = []
    bare: list[float] = []
    while len(spent) < 3 or (min(spent) >= CPU_MS and len(spent) < 20):
        bare.append(cpu_ms(tmp_path, "-c", "0", env={}, program=[sys.executable]))
        spent.append(cpu_ms(tmp_path, "statusline", env=env))
    assert min(spent) < max(CPU_MS, INTERPRETERS * min(bare)), (spent, bare)


def test_it_loads_nothing_that_is_slow(tmp_path: Path, served: Served) -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\nfrom ccrelay.cli.entry import main\n"
        "sys.argv[1:] = ['statusline']\nmain()\n"
        "print(*set(sys.modules) - before, file=sys.stderr)"
    )
    ended = subprocess.run(
        # Without `site`, which may have loaded anything.
        [sys.executable, "-S", "-c", code],
        env=environment(tmp_path, CCRELAY_SOCKET=str(served.path)),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    loaded = set(ended.stderr.split())
    slow = {"click", "typing", "pathlib", "asyncio", "urllib.parse", "http.client", "ssl"}
    assert loaded & slow == set()
    assert {name for name in loaded if name.startswith("ccrelay")} == {
        *("ccrelay", "ccrelay.cli", "ccrelay.cli.entry", "ccrelay.money"),
        *("ccrelay.cli.statusline", "ccrelay.cli.statusline_text"),
    }


def test_a_reader_that_is_gone_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [*PROGRAM, "statusline"], env=environment(tmp_path), stdin=subprocess.DEVNULL,
            stdout=writing, stderr=subprocess.PIPE, timeout=PATIENCE_S,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")
