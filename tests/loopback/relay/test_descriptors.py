"""Connections of nobody in particular; a machine that has no more descriptors, ports, memory."""

import asyncio
import errno
import os
import resource
import socket
import time
from collections.abc import Iterator

import pytest

from ccrelay.config.model import Auth
from ccrelay.upstream import dial, exhaustion, race
from tests.loopback.relay.harness import Client, Ended, Lab, eventually, provider, server
from tests.loopback.relay.scripts import JSON, always
from tests.loopback.relay.wires import post, request

HEALTH = request(b"GET", b"/health")
MINE = [(b"X-Api-Key", b"test-token-1")]
GUARDED = Auth(tokens=["test-token-1"])


# ---- connections without an admitted request


async def closed(client: Client) -> bool:
    return await client.rest(1) == b"" and client.end is not None


async def test_one_address_has_so_many_connections_until_they_are_admitted(lab: Lab) -> None:
    relay = lab.start(
        lab.upstream(always(JSON)), server=server(auth=GUARDED, unadmitted_per_address_max=3)
    )
    first = [await lab.client() for _ in range(3)]
    await eventually(lambda: len(relay.dispatcher.connections) == 3)
    assert await closed(await lab.client())
    # Neither an answer without a token nor a refusal admits.
    for client, wire in ((first[0], HEALTH), (first[1], post())):
        assert (await client.ask(wire)).status in (200, 401)
    assert await closed(await lab.client())
    # An admitted request does: its connection counts no more.
    assert (await first[2].ask(post(headers=MINE))).status == 200
    fourth = await lab.client()
    assert (await fourth.ask(post(headers=MINE))).status == 200
    fifth = await lab.client()
    assert (await fifth.ask(HEALTH, method="GET")).status == 200
    assert await closed(await lab.client())
    # One that goes makes room, once.
    first[0].close()
    await eventually(lambda: len(relay.dispatcher.connections) == 4)
    sixth = await lab.client()
    assert (await sixth.ask(HEALTH, method="GET")).status == 200
    assert await closed(await lab.client())
    assert [fields["times"] for fields in lab.sink.named("connections_refused")] == [1]


async def test_without_tokens_a_request_that_is_routed_admits(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(unadmitted_per_address_max=1))
    for wire in (post(), request(b"GET", b"/v1/models")):
        client = await lab.client()
        assert (await client.ask(wire)).status == 200
    last = await lab.client()
    assert (await last.ask(request(b"GET", b"/nowhere"), method="GET")).status == 404
    assert await closed(await lab.client())


async def test_a_connection_without_an_admitted_request_is_not_kept_idle(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(auth=GUARDED, head_s=0.3, keepalive_s=30))
    clients = {}
    for name, wire in (
        ("nothing", b""),
        ("health", HEALTH),
        ("refused", request(b"GET", b"/v1/models")),
        ("admitted", post(headers=MINE)),
    ):
        clients[name] = client = await lab.client()
        if wire:
            await client.ask(wire)
    await asyncio.sleep(0.2)
    for name, client in clients.items():
        if name != "admitted":
            assert await client.rest(1) == b"", name
            assert client.end is Ended.CLOSED
    assert (await clients["admitted"].ask(post(headers=MINE))).status == 200


# ---- out of descriptors


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_descriptors_accepting_pauses_without_spinning_and_goes_on(
    lab: Lab, few_descriptors: None
) -> None:
    relay = lab.start(lab.upstream(always(JSON)))
    await asyncio.sleep(0.02)  # the scripted provider listens
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    clients = []
    for _ in range(4):
        sock = socket.socket()
        sock.setblocking(False)
        clients.append(Client(sock))
    lab.clients += clients
    used = max(int(name) for name in os.listdir("/proc/self/fd") if name.isdigit()) + 1
    spare = [os.dup(0) for _ in range(used - len(os.listdir("/proc/self/fd")) + 1)]
    used = max(max(spare), used - 1) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
    try:
        began_at, cpu = time.monotonic(), time.process_time()
        for client in clients:
            await asyncio.get_running_loop().sock_connect(client.sock, lab.address)
            await client.send(HEALTH)
        await asyncio.sleep(0.6)
        assert time.process_time() - cpu < 0.5 * (time.monotonic() - began_at), "it spins"
        assert not relay.dispatcher.connections
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 64, hard))
        for fd in spare:
            os.close(fd)
    for client in clients:
        assert (await client.answer("GET")).status == 200
    (told,) = lab.sink.named("resources_exhausted")
    assert told["what"] == "accept"
    assert "ulimit -n" in str(told["hint"])


OWN = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL]


class Broken:
    """A socket that cannot be connected."""

    def __init__(self, code: int) -> None:
        self._code = code

    def connect_ex(self, _address: object) -> int:
        return self._code

    def close(self) -> None:
        pass


@pytest.mark.parametrize("at", ["socket", "connect"])
@pytest.mark.parametrize("code", OWN, ids=lambda code: errno.errorcode[code])
async def test_what_this_machine_lacks_blames_no_provider(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, code: int, at: str
) -> None:
    relay = lab.start(provider(lab.upstream(always(JSON)), "first"))

    def make(_family: int) -> Broken:
        if at == "socket":
            raise OSError(code, os.strerror(code))
        return Broken(code)

    with monkeypatch.context() as patch:
        patch.setattr(race, "_new_socket", make)
        for _ in range(12):  # a breaker opens after five
            answer = await lab.ask(post())
            assert (answer.status, answer.error["type"]) == (529, "overloaded_error")
            assert os.strerror(code) in answer.error["message"]
            assert exhaustion.next_step(code) in answer.error["message"]
            assert answer.get(b"retry-after") == b"1"
    assert (await lab.ask(post())).status == 200  # at once: nothing is open or cools down
    assert relay.providers[0].key_pool.in_flight == 0
    for name in ("breaker", "connect_failed", "failover", "key_cooldown"):
        assert not lab.sink.named(name)
    (told,) = lab.sink.named("resources_exhausted")
    assert told["what"] == "connect"


async def test_a_lookup_that_fails_for_want_of_descriptors_blames_no_provider(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.start(provider("http://provider.invalid:80", "first"))

    async def fails(*_: object) -> list[race.Address]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(dial.Dialer, "_resolve", fails)
    monkeypatch.setattr(dial, "descriptors_left", lambda: errno.EMFILE)
    for _ in range(12):
        assert (await lab.ask(post())).status == 529
    assert not lab.sink.named("breaker")


@pytest.mark.parametrize("code", [errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH])
async def test_what_the_provider_lacks_is_the_providers(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    lab.start(provider(lab.upstream(always(JSON)), "first"))
    monkeypatch.setattr(race, "_new_socket", lambda _: Broken(code))
    for _ in range(12):
        assert (await lab.ask(post())).status in (502, 529)
    assert lab.sink.named("breaker")
    assert lab.sink.named("connect_failed")
