"""GET /v1/models: what is configured, what providers tell, and who has to wait for it."""

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccrelay.config.model import Auth, Model
from ccrelay.demo.server import DemoServer, start_demo
from ccrelay.relay import model_discovery as discovery
from ccrelay.upstream import tls
from tests.loopback.relay.harness import KEY, Lab, eventually, provider, server
from tests.loopback.relay.listings import (
    CANARY,
    MODELS,
    ask,
    discovering,
    gated,
    get,
    ids,
    is_known,
    listing,
)
from tests.loopback.relay.scripts import always, deaf, once, refused_url
from tests.loopback.relay.wires import Request, response

HOLD_S = discovery.HOLD_S  # as it is outside of tests


@pytest.fixture
def short_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients wait for a tenth of a second only."""
    monkeypatch.setattr(discovery, "HOLD_S", 0.1)


@pytest.fixture
def demo(runner: asyncio.Runner) -> Iterator[DemoServer]:
    """Stands before `lab` in a test: uvloop opens a descriptor for itself when it first listens."""
    server = runner.run(start_demo())
    yield server
    runner.run(server.close())


# ---- who is asked


async def test_without_discovery_nobody_is_asked(lab: Lab) -> None:
    upstream = lab.upstream(deaf)
    lab.start(provider(upstream, models=["glm-5", "*"]))
    assert ids(await ask(lab)) == ["glm-5"]
    assert upstream.connections == 0


async def test_configured_models_come_first_and_win_over_discovered_ones(lab: Lab) -> None:
    configured = [Model(id="m-1", display_name="Mine"), "*"]
    first = lab.upstream(always(listing("m-1", "m-2")))
    second = lab.upstream(always(listing("m-2", "m-3")))
    lab.start(
        discovering(first, models=configured),
        discovering(second, "second"),
        provider(second, "third", models=["m-4"]),
    )
    answer = await ask(lab)
    assert ids(answer) == ["m-1", "m-4", "m-2", "m-3"]
    assert answer.json()["data"][0]["display_name"] == "Mine"


async def test_the_provider_sees_its_key_and_nothing_of_the_client(lab: Lab) -> None:
    asked: list[Request] = []
    upstream = lab.upstream(always(listing("m-1"), into=asked))
    lab.start(
        discovering(f"{upstream.url}/api", auth="bearer", headers={"X-Team": "blue"}),
        server=server(auth=Auth(tokens=["relay-token-1"])),
    )
    await ask(lab, MODELS + b"?limit=5", (b"x-api-key", b"relay-token-1"), (b"cookie", b"c=1"))
    (one,) = asked
    assert one.line == b"GET /api/v1/models?limit=1000 HTTP/1.1"
    assert one.get(b"host") == upstream.url.removeprefix("http://").encode()
    assert one.all(b"authorization") == [b"Bearer " + KEY.encode()]
    assert one.get(b"x-team") == b"blue"
    assert one.get(b"anthropic-version") == b"2023-06-01"
    assert one.get(b"accept-encoding") == b"identity"
    assert b"relay-token-1" not in one.raw_head
    assert one.get(b"cookie") is None


async def test_discovery_needs_the_relay_token_too(lab: Lab) -> None:
    upstream = lab.upstream(always(listing("m-1")))
    lab.start(discovering(upstream), server=server(auth=Auth(tokens=["relay-token-1"])))
    assert (await ask(lab)).status == 401
    assert upstream.connections == 0


# ---- the shape


async def test_the_demo_provider_s_list_has_the_shape_that_claude_code_discovers(
    demo: DemoServer, lab: Lab
) -> None:
    lab.start(discovering(demo.url, models=["claude-*", "extra"]))
    answer = await ask(lab, MODELS + b"?limit=1000")
    await eventually(lambda: demo.open_connections == 0)
    page = answer.json()
    assert set(page) == {"data", "has_more", "first_id", "last_id"}
    assert ids(answer)[:2] == ["extra", "claude-opus-5-5"]
    assert page["has_more"] is False
    assert (page["first_id"], page["last_id"]) == ("extra", "claude-haiku-4-5-20251001")
    for model in page["data"]:
        assert {"type", "id", "display_name", "created_at"} <= set(model)
    # What a provider says of its models goes out as it came.
    assert page["data"][1]["max_input_tokens"] == 1_000_000


async def test_pages_run_over_configured_and_discovered_models(lab: Lab) -> None:
    upstream = lab.upstream(always(listing("m-2", "m-3", "m-4")))
    lab.start(discovering(upstream, models=["m-1", "*"]))
    seen: list[str] = []
    query = b"?limit=2"
    for _ in range(2):
        page = await ask(lab, MODELS + query)
        seen += ids(page)
        query = b"?limit=2&after_id=" + page.json()["last_id"].encode()
    assert seen == ["m-1", "m-2", "m-3", "m-4"]
    assert page.json()["has_more"] is False
    assert ids(await ask(lab, MODELS + b"?limit=1&before_id=m-4")) == ["m-3"]


async def test_one_model_is_found_by_its_name_with_and_without_the_window_mark(lab: Lab) -> None:
    upstream = lab.upstream(always(listing("org/m-2")))
    lab.start(discovering(upstream))
    for path in (b"/org/m-2", b"/org/m-2[1m]", b"/org/m-2%5B1m%5D"):
        answer = await ask(lab, MODELS + path)
        assert (answer.status, answer.json()["id"]) == (200, "org/m-2")


async def test_an_unknown_model_is_a_404_that_names_the_discovered_ones(lab: Lab) -> None:
    upstream = lab.upstream(always(listing("m-2")))
    lab.start(discovering(upstream))
    client = await lab.client()
    answer = await client.ask(get(MODELS + b"/m-9"), method="GET")
    assert answer.status == 404
    assert "'m-9'" in answer.error["message"]
    assert "m-2" in answer.error["message"]
    assert ids(await client.ask(get(), method="GET")) == ["m-2"], "the connection is still good"


async def test_a_head_request_gets_the_head_alone(lab: Lab) -> None:
    upstream = lab.upstream(always(listing("m-1")))
    lab.start(discovering(upstream))
    client = await lab.client()
    for _ in range(2):  # asked for, then known
        answer = await client.ask(get(method=b"HEAD"), method="HEAD")
        assert (answer.status, answer.body) == (200, b"")
    whole = await client.ask(get(), method="GET")
    assert answer.get(b"content-length") == b"%d" % len(whole.body)


async def test_only_models_that_would_be_routed_there_are_listed(lab: Lab) -> None:
    upstream = lab.upstream(always(listing("glm-5", "embedding-1")))
    lab.start(discovering(upstream, models=["glm-*"]))
    assert ids(await ask(lab)) == ["glm-5"]


async def test_a_longer_path_that_only_begins_alike_is_no_list(lab: Lab) -> None:
    lab.start(provider(lab.upstream(deaf), models=["m-1"]))
    assert (await ask(lab, b"/v1/modelsx")).status == 404


# ---- over TLS


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A self-signed certificate for localhost with its key, trusted by the relay."""
    openssl = shutil.which("openssl")
    assert openssl is not None, "this test needs the openssl program"
    command = f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", "/CN=test", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "crt")]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_bytes((tmp_path / "key").read_bytes() + (tmp_path / "crt").read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "crt"))
    tls.context.cache_clear()
    yield both
    tls.context.cache_clear()


@pytest.fixture
def secure_url(runner: asyncio.Runner, certificate: Path) -> Iterator[str]:
    """A provider that speaks TLS; stands before `lab` in a test, as `demo` does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(listing("m-1", "m-" + "x" * 100_000))
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = runner.run(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context))
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    runner.run(server.wait_closed())


async def test_a_list_comes_over_tls_as_well(secure_url: str, lab: Lab) -> None:
    lab.start(discovering(secure_url))
    assert ids(await ask(lab)) == ["m-1", "m-" + "x" * 100_000]
    await asyncio.sleep(0.1)  # for the provider to see that its connection is closed


async def test_a_provider_whose_certificate_is_wrong_is_not_told_the_key(
    secure_url: str, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").write_bytes(b"")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "empty"))
    tls.context.cache_clear()
    lab.start(discovering(secure_url, models=["mine", "*"]))
    assert ids(await ask(lab)) == ["mine"]
    ((_, _, told),) = lab.sink.events
    assert "verification failed" in str(told["reason"])
    await asyncio.sleep(0.1)


# ---- time


async def test_a_list_is_asked_for_once_and_shared_by_all_clients(lab: Lab) -> None:
    gate = asyncio.Event()
    upstream = lab.upstream(gated(listing("m-1"), gate))
    lab.start(discovering(upstream))
    clients = [await lab.client() for _ in range(5)]
    for client in clients:
        await client.send(get())
    await eventually(lambda: len(lab.relay.context.active) == 5)
    gate.set()
    answers = [await client.answer("GET") for client in clients]
    answers.append(await ask(lab))
    assert [ids(answer) for answer in answers] == [["m-1"]] * 6
    assert upstream.connections == 1


@pytest.mark.usefixtures("short_hold")
async def test_a_slow_provider_delays_the_list_by_no_more_than_hold_s(lab: Lab) -> None:
    assert HOLD_S <= 2.5, "Claude Code gives up after 3 s"
    gate = asyncio.Event()
    slow = lab.upstream(gated(listing("slow-1"), gate))
    fast = lab.upstream(always(listing("fast-1")))
    lab.start(discovering(slow, models=["mine", "*"]), discovering(fast, "second"))
    began = time.monotonic()
    assert ids(await ask(lab)) == ["mine", "fast-1"]
    assert 0.09 < time.monotonic() - began < 1.0
    gate.set()
    await eventually(lambda: is_known(lab))
    began = time.monotonic()
    assert ids(await ask(lab)) == ["mine", "slow-1", "fast-1"]
    assert time.monotonic() - began < 1.0
    assert slow.connections == 1


@pytest.mark.usefixtures("short_hold")
async def test_a_configured_model_and_other_requests_never_wait(lab: Lab) -> None:
    slow = lab.upstream(deaf)
    lab.start(discovering(slow, models=["mine", "*"]))
    waiting = asyncio.ensure_future(ask(lab))
    await eventually(lambda: len(lab.relay.context.active) == 1)
    assert (await ask(lab, MODELS + b"/mine")).json()["id"] == "mine"
    assert (await ask(lab, b"/health")).status == 200
    assert not waiting.done()
    assert ids(await waiting) == ["mine"]


async def test_a_failure_is_told_once_and_remembered(lab: Lab) -> None:
    upstream = lab.upstream(always(response(500, b"down")))
    lab.start(discovering(upstream, models=["mine", "*"]))
    for _ in range(3):
        assert ids(await ask(lab)) == ["mine"]
    assert upstream.connections == 1
    assert lab.sink.events == [
        (
            "warning",
            "models_unknown",
            {"provider": "first", "reason": "the response has status 500"},
        )
    ]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (response(302, b"", [(b"location", b"http://127.0.0.1:9/")]), "status 302"),
        (b"SSH-2.0-test-canary-key-1\r\n\r\n", "not valid HTTP"),
        (response(200, b"cut", length=10), "incomplete"),
        (response(200, b"<html>test-canary-key-1</html>"), "not a list"),
        (response(200, b"x" * (discovery.LIST_BYTES_MAX + 1)), "longer than"),
        (response(200, b"{}", [(b"content-encoding", b"gzip")]), "not in the coding"),
    ],
)
async def test_what_is_no_list_counts_as_none(lab: Lab, reply: bytes, reason: str) -> None:
    upstream = lab.upstream(once(reply))
    lab.start(discovering(upstream, models=["mine", "*"]))
    assert ids(await ask(lab)) == ["mine"]
    ((_, _, told),) = lab.sink.events
    assert reason in str(told["reason"])
    assert CANARY not in lab.sink.text()
    assert upstream.connections == 1


async def test_a_provider_that_is_not_there_counts_as_none(lab: Lab) -> None:
    lab.start(discovering(url := refused_url(), models=["mine", "*"]))
    assert ids(await ask(lab)) == ["mine"]
    assert lab.relay.providers[0].usable(lab.relay.reactor.clock()), "routing is not affected"
    ((_, name, told),) = lab.sink.events
    assert name == "models_unknown"
    assert url.removeprefix("http://") in str(told["reason"])
