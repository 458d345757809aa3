"""`ccrelay serve` with the real data plane: worker crashes, drain, shutdown, logs."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.process.serving import (
    ENVIRONMENT,
    PATIENCE_S,
    PROVIDER_KEY,
    RELAY_TOKEN,
    Client,
    Serve,
    eventually,
    is_alive,
    is_complete,
    message,
    run,
    serving,
)

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

LONG = "demo:deltas=600 demo:gap_ms=50"


async def streams(relay: Serve, count: int, prompt: str) -> list[Client]:
    """That many streams under way."""
    clients = []
    for _ in range(count):
        clients.append(await relay.client())
        await clients[-1].send(message(prompt))
    for client in clients:
        await client.until(b"content_block_delta")
    return clients


async def is_refused(relay: Serve) -> bool:
    """Whether a connection is refused, or closed without a word."""
    try:
        client = await relay.client()
    except ConnectionError:
        return True
    with contextlib.suppress(ConnectionError):
        await client.send(message())
    while await client.more():
        pass
    assert client.raw == b"", "a draining relay answered a new connection"
    return True


# ---- a worker dies


def test_a_killed_worker_loses_only_its_own_streams(tmp_path: Path) -> None:
    async def newcomer(relay: Serve, until: float) -> int:
        count = 0
        while time.monotonic() < until:
            assert is_complete(await relay.ask(message("demo:deltas=1 demo:gap_ms=0")))
            count += 1
            await asyncio.sleep(0.02)  # the provider remembers its last 1000 requests
        return count

    async def scenario() -> None:
        async with serving(tmp_path) as (relay, demo):
            clients = await streams(relay, 50, "demo:deltas=40 demo:gap_ms=100")
            owners = relay.owners()
            victim = owners[clients[0].port]
            lost = [client for client in clients if owners[client.port] == victim]
            kept = [client for client in clients if owners[client.port] != victim]
            assert len(kept) > 5
            killed_at = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            lanes = [newcomer(relay, killed_at + 2.0) for _ in range(4)]
            counting = asyncio.gather(*lanes)
            await relay.event("worker_ready", 3)
            assert time.monotonic() - killed_at < 3.0, "0.2 s on an idle machine"
            newcomers = sum(await counting)
            assert newcomers > 20
            for client in lost:
                assert not is_complete(await client.answer())
            for client in kept:
                assert is_complete(await client.answer())
            died = await relay.event("worker_died")
            assert (died["pid"], died["exit_status"]) == (victim, "killed by SIGKILL")
            assert died["released"] == len(lost)

            # Every exchange of a surviving worker is logged once; the others closed upstream too.
            total = len(kept) + newcomers
            await relay.event("exchange", total)
            lines = relay.events("exchange")
            assert len({line["id"] for line in lines}) == len(lines) == total
            assert {line["ending"] for line in lines} == {"complete"}
            left = [request for request in demo.requests if request.outcome == "left"]
            assert len(left) == len(lost)
            assert relay.events("internal_error") == []

            relay.send(signal.SIGTERM)
            assert await relay.wait() == 0
            assert [event["cut"] for event in relay.events("worker_exited")] == [0, 0]

    run(scenario())


def test_a_replacement_serves_the_slot_of_a_killed_worker(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (relay, _):
            before = relay.workers()
            os.kill(before[0], signal.SIGKILL)
            await relay.event("worker_ready", 3)
            after = relay.workers()
            assert (after[0] != before[0], after[1]) == (True, before[1])
            clients = await streams(relay, 30, "demo:deltas=5 demo:gap_ms=50")
            assert set(relay.owners().values()) == set(after.values())
            for client in clients:
                assert is_complete(await client.answer())

    run(scenario())


def test_workers_exit_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (relay, _):
            clients = await streams(relay, 4, LONG)
            pids = list(relay.workers().values())
            relay.send(signal.SIGKILL)
            await eventually(lambda: not any(map(is_alive, pids)), "orphaned workers keep running")
            for client in clients:
                assert not is_complete(await client.answer())

    run(scenario())


# ---- shutdown


def test_a_drain_lets_streams_finish_and_pings_silent_ones(tmp_path: Path) -> None:
    async def scenario() -> None:
        routing = {"ping_s": 0.3, "early_head_s": 0.3}
        async with serving(tmp_path, routing=routing) as (relay, _):
            idle = await relay.client()
            await idle.send(message("demo:gap_ms=0", stream=False))
            assert (await idle.answer())[0] == 200
            steady = await streams(relay, 10, "demo:deltas=30 demo:gap_ms=50")
            silent = await streams(relay, 4, "demo:deltas=2 demo:gap_ms=1500")
            waiting = await relay.client()
            await waiting.send(message("demo:fault=slow_head,seconds=2"))
            before = [client.raw.count(b"event: ping") for client in silent]
            relay.send(signal.SIGTERM)
            await relay.event("draining")
            assert await is_refused(relay)
            while await idle.more():
                pass
            assert idle.closed_cleanly
            for client in [*steady, *silent, waiting]:
                assert is_complete(await client.answer())
            for client, pings in zip(silent, before, strict=True):
                assert client.raw.count(b"event: ping") >= pings + 2
            assert waiting.raw.count(b"event: ping") >= 3
            assert await relay.wait() == 0
            assert [event["cut"] for event in relay.events("worker_exited")] == [0, 0]
            assert {line["ending"] for line in relay.events("exchange")} == {"complete"}

    run(scenario())


def test_streams_cut_by_the_drain_limit_have_no_message_stop(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, server={"timeouts": {"drain_s": 0.5}}) as (relay, _):
            clients = await streams(relay, 6, LONG)
            began = time.monotonic()
            relay.send(signal.SIGTERM)
            assert await relay.wait() == 0
            assert 0.4 < time.monotonic() - began < 4.0
            for client in clients:
                status, body, _ = await client.answer()
                assert (status, b"message_stop" in body) == (200, False)
            assert sum(event["cut"] for event in relay.events("worker_exited")) == 6
            assert len(relay.events("exchange")) == 6

    run(scenario())


def test_a_second_sigterm_cuts_streams_and_exits_1(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (relay, _):
            clients = await streams(relay, 4, LONG)
            relay.send(signal.SIGTERM)
            await relay.event("draining")
            began = time.monotonic()
            relay.send(signal.SIGTERM)
            assert await relay.wait() == 1
            assert time.monotonic() - began < 3.0
            for client in clients:
                assert not is_complete(await client.answer())

    run(scenario())


def test_sighup_to_the_process_group_keeps_workers_and_streams(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (relay, _):
            (client,) = await streams(relay, 1, "demo:deltas=20 demo:gap_ms=50")
            before = relay.workers()
            os.killpg(relay.process.pid, signal.SIGHUP)
            assert (await relay.event("reload_unchanged"))["trigger"] in ("signal", "file")
            assert is_complete(await client.answer())
            assert is_complete(await relay.ask(message()))
            assert (relay.process.poll(), relay.workers()) == (None, before)

    run(scenario())


# ---- startup


def ended(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ccrelay", "serve", *arguments],
        env=ENVIRONMENT,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def test_an_invalid_file_exits_2_with_the_position(tmp_path: Path) -> None:
    (tmp_path / "ccrelay.yaml").write_text(
        "server:\n  listen: 127.0.0.1:0\n  wrokers: 2\nproviders:\n  - {name: a, type: ollama}\n"
    )
    failed = ended(tmp_path, "--config", "ccrelay.yaml")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert "ccrelay.yaml:3:3: " in failed.stderr
    assert "wrokers" in failed.stderr
    assert "Traceback" not in failed.stderr


# ---- while it runs


def test_connections_are_balanced_over_both_workers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (relay, demo):
            clients = await streams(relay, 200, "demo:deltas=40 demo:gap_ms=100")
            owners = relay.owners()
            shares = Counter(owners[client.port] for client in clients)
            assert len(shares) == 2
            assert min(shares.values()) > 50, "the kernel deals them out evenly"
            for client in clients:
                assert is_complete(await client.answer())
            assert demo.connections >= 200

    run(scenario())


def shown_by_processes(relay: Serve) -> list[bytes]:
    """What any process of this user may read about the relay's."""
    workers = list(relay.workers().values())
    assert len(workers) == 2
    files = [f"/proc/{pid}/environ" for pid in workers]
    files += [f"/proc/{pid}/cmdline" for pid in (relay.process.pid, *workers)]
    return [Path(file).read_bytes() for file in files]


def test_no_secret_in_environment_output_log_or_errors(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (relay, demo):
            refused = message("x", b"authorization: Bearer wrong").replace(
                RELAY_TOKEN.encode(), b"test-canary-client-1"
            )
            assert (await relay.ask(refused))[0] == 401
            assert is_complete(await relay.ask(message()))
            echo = message().replace(b"/v1/messages ", b"/v1/files ")
            status, body, _ = await relay.ask(echo)
            assert (status, b"demo_echo" in body) == (200, True)
            sent = {value for name, value in demo.requests[-1].headers if name == "x-api-key"}
            assert sent == {PROVIDER_KEY}
            places = [body, *shown_by_processes(relay)]
            relay.send(signal.SIGTERM)
            await relay.wait()
            places += [relay.output.encode(), relay.stderr.encode(), relay.log.read_bytes()]
            assert not any(b"test-canary" in place for place in places)

    run(scenario())


def environment_of(pid: int) -> set[bytes]:
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return {variable.partition(b"=")[0] for variable in variables}


@pytest.mark.skipif(os.geteuid() != 0, reason="a hardened process hides it from its user")
def test_no_worker_has_a_variable_that_the_configuration_refers_to(tmp_path: Path) -> None:
    async def scenario() -> None:
        own = {"LC_TIME": "canary.example", "LC_NUMERIC": "C", "CCRELAY_MINE": "test-key-1"}
        hosts = {"allowed_hosts": ["${LC_TIME}", "${CCRELAY_MINE}"]}
        async with serving(tmp_path, environment=own, server=hosts) as (relay, _):
            for signal_number, event in ((None, ""), (signal.SIGUSR2, "upgraded")):
                if signal_number is not None:  # its new image resolves them again
                    relay.send(signal_number)
                    await relay.event(event)
                    await eventually(lambda: len(relay.workers()) == 2)
                for pid in relay.workers().values():
                    names = environment_of(pid)
                    assert b"LC_NUMERIC" in names
                    assert not {b"LC_TIME", b"CCRELAY_MINE", b"CANARY_RELAY"} & names
            assert {b"LC_TIME", b"CANARY_RELAY"} <= environment_of(relay.process.pid)
            allowed = message().replace(b"Host: 127.0.0.1", b"Host: canary.example")
            assert is_complete(await relay.ask(allowed))

    run(scenario())


def test_no_process_dumps_a_core_before_and_after_an_upgrade(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, environment={"CCRELAY_DUMPABLE": ""}) as (relay, _):
            before = set(relay.workers().values())
            for pid in (relay.process.pid, *before):
                assert core_limit(pid) == "0"
                assert os.geteuid() == 0 or Path(f"/proc/{pid}/environ").stat().st_uid == 0
            relay.send(signal.SIGUSR2)
            await relay.event("upgraded")
            await eventually(lambda: not before & set(relay.workers().values()))
            for pid in (relay.process.pid, *relay.workers().values()):
                assert core_limit(pid) == "0"
        other = tmp_path / "other"
        other.mkdir()
        async with serving(other, environment={"CCRELAY_DUMPABLE": "1"}) as (relay, _):
            own = core_limit(os.getpid())
            pids = (relay.process.pid, *relay.workers().values())
            assert {core_limit(pid) for pid in pids} == {own}

    run(scenario())


def core_limit(pid: int) -> str:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line.split()[4] for line in lines if line.startswith("Max core file size"))


def test_each_request_logs_exactly_one_exchange(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as (relay, _):
            quick = "demo:deltas=2 demo:gap_ms=0"
            count = message(quick).replace(b"/v1/messages ", b"/v1/messages/count_tokens ")
            kinds = [
                (message(quick), 200, 10),
                (message(quick, stream=False), 200, 10),
                (count, 200, 5),
                (message(quick, b"x-demo-fault: 529"), 529, 5),
                (message(quick).replace(b'"model"', b'"moddel"'), 400, 5),
            ]
            for request, status, times in kinds:
                answers = await asyncio.gather(*(relay.ask(request) for _ in range(times)))
                assert {answer[0] for answer in answers} == {status}
            one = await relay.client()
            for _ in range(5):
                one.raw = b""
                await one.send(message(quick))
                assert is_complete(await one.answer())
            for client in await streams(relay, 5, LONG):
                client.close()
            await relay.event("exchange", 45)
            relay.send(signal.SIGTERM)
            assert await relay.wait() == 0
            lines = relay.events("exchange")
            assert len({line["id"] for line in lines}) == len(lines) == 45
            assert Counter(line["ending"] for line in lines) == {
                "complete": 35,
                "answered": 5,
                "client_left": 5,
            }
            assert {line["worker"] for line in lines} == {0, 1}

    run(scenario())
