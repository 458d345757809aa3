"""Requests to a cloud through the real relay, while its credentials process dies, hangs or fails.

The cloud is the mock, which checks signatures; the source is a container's endpoint on loopback.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ccrelay.demo.cloud import Accepted, AccessKey, Cloud
from ccrelay.demo.server import DemoServer, start_demo
from tests.process.serving import Serve, eventually, is_alive, is_complete, message, run
from tests.unit.credentials.services import Answer, Asked, Service, container

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

SECRET = "test-secret-1"
SESSION = "test-session-1"
PROMPT = "demo:deltas=2 demo:gap_ms=0"


class Endpoint:
    """Gives keys that the cloud accepts, unless the test says otherwise."""

    def __init__(self) -> None:
        self.session = SESSION
        self.is_silent = False
        self.service = Service(self)

    def __call__(self, asked: Asked) -> Answer:
        if self.is_silent:
            return Answer(wait=self.service.released)
        return container(3600.0, ("AKIDEXAMPLE", SECRET, self.session))(asked)


def accepting(*sessions: str, expired: str = "") -> Cloud:
    keys = tuple(AccessKey("AKIDEXAMPLE", SECRET, session) for session in sessions)
    accepted = Accepted(access_keys=keys, expired=(expired,) if expired else ())
    return Cloud(dialect="claude-aws", accepted=accepted, region="us-east-1")


@contextlib.asynccontextmanager
async def relay(folder: Path) -> AsyncIterator[tuple[Serve, DemoServer, Endpoint]]:
    endpoint = Endpoint()
    mock = await start_demo(cloud=accepting(SESSION))
    provider = {
        "name": "cloud",
        "type": "claude-aws",
        "base_url": mock.url,
        "region": "us-east-1",
        "workspace": "wrkspc_test1",
        "keys": [{"name": "team", "credential": {"source": "container"}}],
        "model_mapping": {"claude-test-1": "claude-sonnet-4-6"},  # the mock knows real names only
    }
    server = {"listen": "127.0.0.1:0", "workers": 2, "auth": {"tokens": ["${CANARY_RELAY}"]}}
    serve = Serve(folder, server=server, providers=[provider])
    try:
        await serve.start(
            AWS_CONTAINER_CREDENTIALS_FULL_URI=f"{endpoint.service.url}/creds",
            AWS_EC2_METADATA_DISABLED="true",
            AWS_SECRET_ACCESS_KEY="test-secret-of-the-shell",
            NO_PROXY="127.0.0.1",
        )
        try:
            yield serve, mock, endpoint
        finally:
            await serve.clear()
    finally:
        await mock.close()
        await asyncio.to_thread(endpoint.service.close)


async def is_answered(serve: Serve) -> bool:
    return is_complete(await serve.ask(message(PROMPT)))


def test_the_first_requests_wait_for_the_first_credential(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with relay(tmp_path) as (serve, mock, _):
            answers = await asyncio.gather(*(is_answered(serve) for _ in range(8)))
            assert all(answers)
            signed = dict(mock.requests[-1].headers)
            assert signed["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
            assert signed["x-amz-security-token"] == SESSION

    run(scenario())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_requests_go_on_while_the_process_is_gone(tmp_path: Path, number: signal.Signals) -> None:
    async def scenario() -> None:
        async with relay(tmp_path) as (serve, _, endpoint):
            assert await is_answered(serve)
            pid = (await serve.event("credentials_started"))["pid"]
            endpoint.is_silent = True
            os.kill(pid, number)
            while not serve.events("credentials_died"):
                assert await is_answered(serve)
            assert (await serve.event("credentials_started", 2))["pid"] != pid
            assert all(await asyncio.gather(*(is_answered(serve) for _ in range(8))))
            await eventually(lambda: not is_alive(pid))

    run(scenario())


def test_an_expired_session_is_renewed_under_a_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with relay(tmp_path) as (serve, mock, endpoint):
            assert await is_answered(serve)
            endpoint.session = "test-session-2"
            mock.cloud = accepting("test-session-2", expired=SESSION)
            assert all(await asyncio.gather(*(is_answered(serve) for _ in range(6))))
            assert len(serve.events("credential_refused")) == 1

    run(scenario())


def test_secrets_are_in_no_log_and_no_worker(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with relay(tmp_path) as (serve, _, _):
            assert await is_answered(serve)
            log = serve.log.read_bytes()
            for secret in (SECRET, SESSION, "test-secret-of-the-shell"):
                assert secret.encode() not in log
                for pid in serve.workers().values():
                    for file in ("environ", "cmdline"):
                        assert secret.encode() not in Path(f"/proc/{pid}/{file}").read_bytes()

    run(scenario())
