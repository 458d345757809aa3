"""`buf curl` on the doors of the management API: gRPC with reflection, and gRPC-web."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.control.errors import Refused
from ccrelay.v1 import relay_pb2
from tests.loopback.control.harness import TOKEN, Served, serve

pytestmark = pytest.mark.client

ROOT = Path(__file__).parents[2]
INSTALLED = Path(".work/buf/node_modules/.bin/buf")  # by .ci/run
NO_BUF = """\
buf is needed for these tests. Install it once:

  npm install --prefix .work/buf --ignore-scripts @bufbuild/buf@1.75.0

or name an installed one: CCRELAY_BUF=/path/to/buf"""
BEARER = f"Authorization: Bearer {TOKEN}"
NATIVE = ("--http2-prior-knowledge", "--protocol", "grpc")
WEB = ("--protocol", "grpcweb", "--schema", str(ROOT / "proto"))


@pytest.fixture(scope="session")
def buf() -> Path:
    binary = Path(os.environ.get("CCRELAY_BUF") or ROOT / INSTALLED)
    if not binary.exists():
        pytest.fail(f"{binary} is missing. {NO_BUF}", pytrace=False)
    return binary


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    async def get(request: Any, context: Any) -> Any:
        return relay_pb2.GetStatusResponse(
            status=relay_pb2.Status(version="1.2.3", started_at_ms=2**53 + 1)
        )

    async def watch(request: Any, context: Any) -> Any:
        for number in range(3):
            yield relay_pb2.WatchStatusResponse(whole=number == 0)

    async def level(request: Any, context: Any) -> Any:
        raise Refused("INVALID_ARGUMENT", f"No level \u00fc{request.level}.")

    behaviours = {"GetStatus": get, "WatchStatus": watch, "SetLogLevel": level}
    with serve(tmp_path, {f"Relay/{name}": each for name, each in behaviours.items()}) as served:
        yield served


def curl(
    buf: Path, served: Served, method: str, *options: str, data: str = "{}", unix: bool = False
) -> tuple[str, str]:
    door = ("--unix-socket", str(served.path)) if unix else ()
    url = f"http://{served.address}/ccrelay.v1.Relay/{method}"
    command = [str(buf), "curl", *options, *door, "--data", data, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout, done.stderr


@pytest.mark.parametrize("protocol", [NATIVE, WEB], ids=["grpc", "grpcweb"])
@pytest.mark.parametrize("unix", [True, False], ids=["unix", "tcp"])
def test_buf_curl(buf: Path, served: Served, protocol: tuple[str, ...], unix: bool) -> None:
    options = protocol if unix else (*protocol, "-H", BEARER)
    if not unix and protocol is NATIVE:
        options = (*options, "--reflect-header", BEARER)
    out, err = curl(buf, served, "GetStatus", *options, unix=unix)
    status = json.loads(out or "{}").get("status")
    assert status == {"version": "1.2.3", "startedAtMs": str(2**53 + 1)}, err
    out, err = curl(buf, served, "WatchStatus", *options, unix=unix)
    assert out.count("{") == 3, err
    out, err = curl(buf, served, "SetLogLevel", *options, data='{"level": "x"}', unix=unix)
    assert json.loads(err) == {"code": "invalid_argument", "message": "No level \u00fcx."}


@pytest.mark.parametrize("protocol", [NATIVE, WEB], ids=["grpc", "grpcweb"])
def test_buf_curl_without_the_token(buf: Path, served: Served, protocol: tuple[str, ...]) -> None:
    schema = ("--schema", str(ROOT / "proto")) if protocol is NATIVE else ()
    out, err = curl(buf, served, "GetStatus", *protocol, *schema)
    assert out == ""
    assert json.loads(err)["code"] == "unauthenticated"
    out, err = curl(buf, served, "GetStatus", *NATIVE)
    assert out == ""  # neither does reflection tell anything
    assert "ccrelay.v1.Relay" in err
