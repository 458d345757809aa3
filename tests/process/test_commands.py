"""The real command: exit codes, closed outputs, Ctrl-C, encodings, and what it costs."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccrelay.v1 import exchanges_pb2
from tests.loopback.control.harness import Served
from tests.process.commands import PROGRAM, cpu_ms, environment, relay, run, streaming
from tests.process.serving import PATIENCE_S
from tests.unit.cli import examples
from tests.unit.cli.test_status_view import AT_80

pytestmark = pytest.mark.process
STATUS_CPU_MS = 150
STATUS_INTERPRETERS = 5  # a bare start of Python takes 21 ms where a status takes 70


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with relay(tmp_path) as running:
        yield running


@pytest.fixture
def env(served: Served) -> dict[str, str]:
    return {"CCRELAY_SOCKET": str(served.path), "COLUMNS": "80"}


LOOKS = [
    ["status"],
    ["providers"],
    ["keys"],
    ["exchanges"],
    ["exchange", "07f3a1c"],
    ["usage", "--by", "model", "--since", "7d"],
    ["prices"],
    ["sessions"],
    ["route", "rules"],
    ["route", "explain", "--model", "claude-opus-5-5"],
    ["config", "revisions"],
    ["reload"],
]


@pytest.mark.parametrize("command", LOOKS, ids=" ".join)
def test_every_look_has_a_text_and_json(
    tmp_path: Path, env: dict[str, str], command: list[str]
) -> None:
    text = run(tmp_path, *command, env=env)
    assert (text.returncode, text.stderr) == (0, "")
    assert text.stdout
    assert max(map(len, text.stdout.splitlines())) <= 80
    shown = run(tmp_path, *command, "--json", env=env)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert isinstance(json.loads(shown.stdout), dict)


@pytest.mark.parametrize("command", [*LOOKS, ["drain"], ["stop"], ["overrides"]], ids=" ".join)
def test_without_a_relay_the_exit_code_is_3_with_what_to_do(
    tmp_path: Path, command: list[str]
) -> None:
    ended = run(tmp_path, *command, "--socket", str(tmp_path / "none.sock"))
    assert ended.returncode == 3
    assert ended.stdout == ""
    assert ended.stderr.startswith("No relay runs. Start one: ccrelay serve")


def test_a_relay_is_found_without_being_named(tmp_path: Path, served: Served) -> None:
    folder = tmp_path / "runtime" / "ccrelay"
    folder.mkdir(parents=True)
    os.link(served.path, folder / "relay.sock")
    env = {"XDG_RUNTIME_DIR": str(tmp_path / "runtime"), "COLUMNS": "80"}
    assert run(tmp_path, "status", env=env).returncode == 0


def test_the_status_is_that_of_the_design(tmp_path: Path, env: dict[str, str]) -> None:
    lines = run(tmp_path, "status", env=env).stdout.splitlines()
    assert lines[:15] == AT_80.splitlines()[:15]


# ---- outputs


def test_a_reader_that_went_away_is_quiet(tmp_path: Path, env: dict[str, str]) -> None:
    for command in (["status"], ["exchanges", "--json"], ["usage", "--export", "csv"], ["--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        try:
            ended = run(
                tmp_path, *command, env=env, capture_output=False, stdout=writer,
                stderr=subprocess.PIPE,
            )  # fmt: skip
        finally:
            os.close(writer)
        assert (ended.returncode, ended.stderr) == (141, ""), command


def test_a_reader_that_leaves_in_the_middle_is_quiet(tmp_path: Path, env: dict[str, str]) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "usage", "--export", "csv"],
        env=environment(tmp_path, **env), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(4) == b"id\r\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(PATIENCE_S) == 141
    process.stderr.close()


def test_a_closed_output_is_quiet(tmp_path: Path, env: dict[str, str]) -> None:
    for command in (["status"], ["keys", "--json"], ["exchanges"], ["--help"]):
        ended = subprocess.run(
            ["sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM, *command],
            env=environment(tmp_path, **env), stderr=subprocess.PIPE, check=False, timeout=60,
        )  # fmt: skip
        assert (ended.returncode, ended.stderr) == (0, b""), command


@pytest.mark.parametrize(
    ("closed", "command", "code", "said"),
    [
        (">&-", ["doctor"], 1, b""),
        ("<&-", ["config", "apply", "-"], 1, b"standard input is closed"),
        ("<&-", ["config", "trust"], 2, b"not a terminal"),
        ("<&-", ["keys", "set", "a"], 2, b"no key on standard input"),
    ],
)
def test_a_closed_stream_is_no_traceback(
    tmp_path: Path, env: dict[str, str], closed: str, command: list[str], code: int, said: bytes
) -> None:
    (tmp_path / "ccrelay.yaml").write_text("providers: []\n")
    ended = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *PROGRAM, *command],
        cwd=tmp_path, env=environment(tmp_path, **env), capture_output=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert ended.returncode == code, ended.stderr
    assert said in ended.stderr
    assert b"Traceback" not in ended.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has /dev/full")
@pytest.mark.parametrize("command", [["status"], ["status", "--json"], ["--help"]], ids=" ".join)
def test_a_full_disk_is_one_sentence(
    tmp_path: Path, env: dict[str, str], command: list[str]
) -> None:
    with open("/dev/full", "w") as full:
        ended = run(
            tmp_path, *command, env=env, capture_output=False, stdout=full, stderr=subprocess.PIPE
        )
    assert ended.returncode == 1
    assert ended.stderr == "The output cannot be written: No space left on device.\n"


@pytest.mark.parametrize(
    "command",
    [["status", "--watch"], ["status", "--watch", "--json"], ["exchanges", "--follow"],
     ["exchanges", "--follow", "--json"], ["usage", "--watch"]],
    ids=" ".join,
)  # fmt: skip
def test_ctrl_c_ends_quietly_with_130(
    tmp_path: Path, env: dict[str, str], command: list[str]
) -> None:
    process = subprocess.Popen(
        [*PROGRAM, *command], env=environment(tmp_path, **env),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert errors.strip() == ""


def test_following_goes_on_over_a_manager_that_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    env = {"CCRELAY_SOCKET": str(folder / "relay.sock"), "COLUMNS": "80"}
    with relay(folder):
        process = subprocess.Popen(
            [*PROGRAM, "exchanges", "--follow", "--json"],
            env=environment(tmp_path, **env),
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        first = [json.loads(process.stdout.readline())["id"] for _ in range(32)]
    os.unlink(folder / "relay.sock")
    later = exchanges_pb2.Exchange(id="req_ccrelay_0later")
    known = examples.exchanges()[::-1]
    tail = streaming([exchanges_pb2.TailResponse(exchanges=[*known, later])], 60.0)
    with relay(folder, {"Exchanges/Tail": tail}):
        line = json.loads(process.stdout.readline())
        assert line["id"] == later.id
        assert line["id"] not in first
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
    process.stdout.close()


@pytest.mark.parametrize("locale", ["ascii", "latin-1"])
def test_another_encoding_gets_what_it_has(
    tmp_path: Path, env: dict[str, str], locale: str
) -> None:
    ended = run(tmp_path, "usage", env={**env, "PYTHONIOENCODING": locale}, text=False)
    assert ended.returncode == 0
    assert b"-" * 40 in ended.stdout
    assert ended.stdout.isascii()


@pytest.mark.parametrize(
    ("more", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colour_is_asked_for(
    tmp_path: Path, env: dict[str, str], more: dict[str, str], coloured: bool
) -> None:
    assert ("\x1b[" in run(tmp_path, "status", env={**env, **more}).stdout) is coloured


def test_wrong_usage_is_2_and_suggests(tmp_path: Path) -> None:
    ended = run(tmp_path, "stauts")
    assert ended.returncode == 2
    assert ended.stderr.endswith("Error: No such command 'stauts'. Did you mean 'status'?\n")


# ---- what it costs


def modules(tmp_path: Path, env: dict[str, str], *arguments: str) -> set[str]:
    """Modules that a command has loaded at its end."""
    code = (
        "import sys\nfrom ccrelay.cli.main import run\n"
        "sys.argv[1:] = sys.argv[2:]\ncode = run()\n"
        "print(*sys.modules, file=sys.stderr)\nsys.exit(code)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "-", *arguments],
        env=environment(tmp_path, **env), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return set(ended.stderr.split())


def test_a_status_loads_nothing_that_is_slow(tmp_path: Path, env: dict[str, str]) -> None:
    loaded = modules(tmp_path, env, "status")
    slow = {"rich", "grpc", "asyncio", "ssl", "http.client", "email", "yaml", "msgspec", "uvloop"}
    assert loaded & slow == set()
    own = {name for name in loaded if name.startswith("ccrelay.config")}
    light = {"ccrelay.config", "ccrelay.config.letters", "ccrelay.config.places"}
    assert own <= light  # which load nothing else


def test_the_overview_loads_no_command(tmp_path: Path) -> None:
    loaded = {name for name in modules(tmp_path, {}, "--help") if name.startswith("ccrelay")}
    assert loaded == {
        *("ccrelay", "ccrelay.cli", "ccrelay.cli.main", "ccrelay.cli.exit_codes"),
        "ccrelay.cli.groups",
    }


def test_a_status_costs_less_than_150_ms_of_cpu(tmp_path: Path, env: dict[str, str]) -> None:
    run(tmp_path, "status", env=env)  # compiles
    spent: list[float] = []
    bare: list[float] = []
    # The best of several: others use this machine, too. Where they slow down all that runs, a bare
    # interpreter says by how much. `python -m bench.status_cost` prints more.
    while len(spent) < 3 or (min(spent) >= STATUS_CPU_MS and len(spent) < 20):
        bare.append(cpu_ms(tmp_path, "-c", "0", env={}, program=[sys.executable]))
        spent.append(cpu_ms(tmp_path, "status", env=env))
    assert min(spent) < max(STATUS_CPU_MS, STATUS_INTERPRETERS * min(bare)), (spent, bare)
