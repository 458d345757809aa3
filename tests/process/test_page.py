"""The web page of the real relay: signed in by the banner's link, while managers come and go."""

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.process.serving import ENVIRONMENT, PATIENCE_S, Serve, eventually, run, serving

pytestmark = [pytest.mark.process, pytest.mark.skipif(sys.platform != "linux", reason="/proc")]

MANAGEMENT = {"listen": "127.0.0.1:0"}
GRPC = {"content-type": "application/grpc-web+proto"}
EMPTY = b"\0\0\0\0\0"


class Signed(NamedTuple):
    """A browser that is signed in."""

    address: str
    headers: dict[str, str]
    is_read_only: bool

    async def status(self) -> int:
        """What `GET /session` is answered with."""
        return (await ask(self.address, "GET", "/session", headers=self.headers))[0]

    async def call(self, method: str) -> bytes:
        """The answer of a method, trailers included."""
        path = f"/ccrelay.v1.{method}"
        return (await ask(self.address, "POST", path, EMPTY, GRPC | self.headers))[1]


async def ask(
    address: str, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes, str]:
    """Status, body and cookie of an answer; waits for a manager."""

    def once() -> tuple[int, bytes, str]:
        client = http.client.HTTPConnection(address, timeout=PATIENCE_S)
        try:
            client.request(method, path, body or None, headers or {})
            response = client.getresponse()
            cookie = (response.headers.get("set-cookie") or "").partition(";")[0]
            return response.status, response.read(), cookie
        finally:
            client.close()

    for _ in range(100):
        try:
            return await asyncio.to_thread(once)
        except (ConnectionError, http.client.HTTPException):  # that manager was killed meanwhile
            await asyncio.sleep(0.1)
    return await asyncio.to_thread(once)


async def sign_in(link: str) -> Signed | None:
    """Do as the page does with a link; None: it is refused."""
    parts = urlsplit(link)
    code = parts.fragment.removeprefix("k=")
    headers = {"content-type": "application/json", "x-ccrelay-page": "1"}
    body = json.dumps({"code": code}).encode()
    status, answer, cookie = await ask(parts.netloc, "POST", "/session", body, headers)
    if status != 200:
        assert status == 401, answer
        return None
    told = json.loads(answer)
    key = {"cookie": cookie, "x-ccrelay-page": told["page_key"]}
    return Signed(parts.netloc, key, told["read_only"])


async def banner_link(relay: Serve) -> str:
    """The link that `serve` prints."""
    assert relay.process.stdout is not None
    while "/#k=" not in relay.output:
        line = await asyncio.to_thread(relay.process.stdout.readline)
        assert line, relay.output
        relay.output += line
    return next(word for word in relay.output.split() if "/#k=" in word)


def reloads(relay: Serve) -> int:
    """How many reloads were asked for; not those of a file that was seen."""
    return [event["trigger"] for event in relay.events("reload_unchanged")].count("signal")


@asynccontextmanager
async def page(tmp_path: Path) -> AsyncIterator[tuple[Serve, dict[str, str]]]:
    """A relay with a page, and the environment of commands for it."""
    with tempfile.TemporaryDirectory(prefix="cc-") as folder:
        environment = {"XDG_RUNTIME_DIR": folder, "XDG_STATE_HOME": str(tmp_path / "state")}
        async with serving(tmp_path, environment=environment, management=MANAGEMENT) as (relay, _):
            socket = f"{folder}/ccrelay/{relay.address[1]}.sock"  # others may run beside it
            yield relay, {**ENVIRONMENT, **environment, "CCRELAY_SOCKET": socket}


def test_the_link_of_the_banner_signs_in_once_and_the_session_outlives_managers(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with page(tmp_path) as (relay, _):
            link = await banner_link(relay)
            browser = await sign_in(link)
            assert browser is not None
            assert not browser.is_read_only
            assert b"grpc-status: 0" in await browser.call("Relay/GetStatus")
            pid = (await relay.event("manager_started"))["pid"]
            os.kill(pid, signal.SIGKILL)
            await relay.event("manager_started", 2)
            assert await browser.status() == 200
            assert await sign_in(link) is None  # the next manager was told the code, too
            relay.send(signal.SIGUSR2)
            await relay.event("manager_started", 3)
            assert await browser.status() == 200
            assert b"grpc-status: 0" in await browser.call("Relay/GetStatus")
            code = urlsplit(link).fragment.removeprefix("k=")
            assert code not in relay.log.read_text()
            secrets = browser.headers.values()
            files = [path.read_bytes() for path in (tmp_path / "state").rglob("*.json")]
            assert files
            for text in [relay.log.read_bytes(), relay.stderr.encode(), *files]:
                assert not any(value.rpartition("=")[2].encode() in text for value in secrets)

    run(scenario())


def test_the_command_makes_links_that_may_only_look(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with page(tmp_path) as (relay, environment):
            await relay.event("manager_started")
            command = [sys.executable, "-m", "ccrelay", "open", "--print"]

            def opened(*more: str) -> str:
                done = subprocess.run(
                    [*command, *more],
                    env=environment,
                    cwd=tmp_path,  # not that of the tests, whose ccrelay may be unbuilt
                    capture_output=True,
                    text=True,
                    check=True,
                    timeout=PATIENCE_S * 2,
                )
                return done.stdout.strip()

            looking = await sign_in(await asyncio.to_thread(opened, "--read-only"))
            acting = await sign_in(await asyncio.to_thread(opened))
            assert looking is not None
            assert acting is not None
            assert (looking.is_read_only, acting.is_read_only) == (True, False)
            assert b"grpc-status: 0" in await looking.call("Relay/GetStatus")
            assert b"grpc-status: 7" in await looking.call("Relay/Reload")
            assert reloads(relay) == 0
            assert b"grpc-status: 0" in await acting.call("Relay/Reload")
            await eventually(lambda: reloads(relay) == 1)

    run(scenario())
