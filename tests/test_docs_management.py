"""Compares docs/management.md with the code, and runs its examples against a server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ccrelay.control import connections, http, native
from ccrelay.control.authorise import RIGHTS
from ccrelay.manager import revisions
from ccrelay.v1 import providers_pb2, relay_pb2, usage_pb2
from tests.loopback.control.harness import TOKEN, serve
from tests.pages import FENCE, ROOT, rows, section, text_of
from tests.process.commands import answering

PAGE = text_of("management.md")
PROGRAMS = [match[2] for match in FENCE.finditer(PAGE) if match[1] == "python"]
LIMIT_S = 60

STATUS = relay_pb2.Status(
    providers=[
        providers_pb2.Provider(name="zai", keys=[providers_pb2.Key(name="plan", in_flight=2)])
    ]
)
USAGE = usage_pb2.QueryResponse(
    rows=[
        usage_pb2.UsageRow(group=["glm-5.3"], totals=providers_pb2.Totals(billed_micros=1_250_000))
    ]
)
BEHAVIOURS = {
    "Relay/GetStatus": answering(relay_pb2.GetStatusResponse(status=STATUS)),
    "Relay/GetVersion": answering(relay_pb2.GetVersionResponse(version="1.2.3")),
    "Usage/Query": answering(USAGE),
}


def run(program: str, folder: Path) -> str:
    """What a program of the page prints; it must not fail."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_methods_are_those_that_can_be_called_with_their_rights() -> None:
    shown = []
    for row in rows(section(PAGE, "## Methods")):
        service, *cells = row.strip("|").split("|")
        for right, cell in zip(("read", "act"), cells, strict=True):
            names = re.findall(r"`(\w+)`", cell)
            shown += [(f"{service.strip(' `')}/{name}", right) for name in names]
    prefix = "/ccrelay.v1."
    served = {
        name.removeprefix(prefix): right.value
        for name, right in RIGHTS.items()
        if name.startswith(prefix)
    }
    assert len(shown) == len(dict(shown))
    assert dict(shown) == served


def test_the_program_over_the_unix_socket_runs(tmp_path: Path) -> None:
    with serve(tmp_path, BEHAVIOURS) as served:
        folder = tmp_path / "ccrelay"
        folder.mkdir()
        (folder / "8787.sock").symlink_to(served.path)
        assert run(PROGRAMS[0], tmp_path) == "zai/plan: 2 open\nglm-5.3: $1.25\n"


def test_the_program_with_the_token_runs(tmp_path: Path) -> None:
    program = PROGRAMS[1]
    assert '"127.0.0.1:8789"' in program
    folder = tmp_path / ".local/state/ccrelay"
    folder.mkdir(parents=True)
    (folder / "management-token").write_text(f"{TOKEN}\n")
    with serve(tmp_path, BEHAVIOURS) as served:
        assert run(program.replace("127.0.0.1:8789", served.address), tmp_path) == "1.2.3\n"


@pytest.mark.parametrize(
    "words",
    [
        f"room for {connections.CONNECTIONS_MAX} connections, "
        f"a connection for {native.STREAMS_MAX} calls",
        f"a request may have {http.BODY_MAX >> 20} MB",
        f"at most {revisions.KEPT_MAX} of a file",
    ],
)
def test_the_limits_are_those_of_the_code(words: str) -> None:
    assert words in re.sub(r"\s+", " ", PAGE)


def test_every_code_of_an_error_is_one_of_grpc() -> None:
    import grpc

    said = PAGE[PAGE.index("Errors are a code of gRPC") : PAGE.index("## Files")]
    shown = re.findall(r"`([A-Z_]+)`", said)
    assert len(shown) > 8
    assert set(shown) <= set(grpc.StatusCode.__members__)
