"""What all exchanges came to, over every worker and image that `serve` ever had."""

import asyncio
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from ccrelay.runtime.control import Drained, StatsReply
from tests.process.running import PATIENCE_S, Running, eventually
from tests.process.serving import ROOT
from tests.process.test_supervisor import FAKE_WORKER, supervisor

pytestmark = pytest.mark.process

SERVE = [sys.executable, "-m", "ccrelay", "serve", "--demo", "--listen", "127.0.0.1:0"]


@pytest.fixture
def start(tmp_path):
    started = []

    def start(**how):
        started.append(Running(tmp_path, **how))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait(PATIENCE_S)
        running.process.stdout.close()


def stopped(running: Running) -> dict[str, object]:
    """The last event."""
    running.wait()
    return running.events("stopped")[0]


def test_drained_workers_tell_their_totals(start):
    running = start(workers=2)
    for _ in range(5):
        running.ask("pid")
    running.send(signal.SIGTERM)
    event = stopped(running)
    assert (event["exchanges"], event["lost"], event["exit_code"]) == (5, 0, 0)
    assert 0.0 < event["seconds"] < PATIENCE_S


def test_workers_that_were_cut_tell_theirs(start):
    running = start()
    running.ask("pid")
    with running.connect("hold 60"):
        running.send(signal.SIGTERM)
        running.await_event("draining")
        running.send(signal.SIGTERM)
        event = stopped(running)
    assert (event["exchanges"], event["exit_code"]) == (1, 1)


def test_without_exchanges_only_the_time_is_told(start):
    running = start()
    running.send(signal.SIGTERM)
    assert stopped(running).keys() == {"at", "level", "event", "exit_code", "seconds"}


def test_totals_and_the_time_go_on_over_upgrades_and_drained_workers(start):
    running = start()
    for _ in range(2):
        running.ask("pid")
    for count in (1, 2):
        running.send(signal.SIGUSR2)
        running.await_event("upgraded", count)
        running.await_event("worker_exited", count)
        running.ask("pid")
    # Handed over while a worker of the image before is still busy: told when it drains.
    with running.connect("hold 1") as busy:
        running.send(signal.SIGUSR2)
        running.await_event("upgraded", 3)
        running.ask("pid")
        busy.recv(100)
    running.await_event("worker_exited", 3)
    before = time.monotonic()
    running.send(signal.SIGTERM)
    event = stopped(running)
    assert event["exchanges"] == 6
    assert event["seconds"] >= 1.0
    assert time.monotonic() - before < PATIENCE_S


async def _totals_after_a_death() -> dict[str, int]:
    ready = asyncio.Event()
    running = supervisor(1, (sys.executable, FAKE_WORKER), ready.set)
    pool = running._pool
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(running.run())
        await ready.wait()
        try:
            address = running._slots[0][0].getsockname()[:2]
            await _ask(address, b"pid")
            await running.stats()
            assert pool.totals()["exchanges"] == 1
            (worker,) = pool.workers
            await _ask(address, b"die")
            await worker.reaped.wait()
            return pool.totals()
        finally:
            running.stop()


async def _ask(address: tuple[str, int], word: bytes) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(word)
    await reader.read(100)
    writer.close()


def test_of_a_worker_that_died_the_last_counts_stay(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    totals = asyncio.run(asyncio.wait_for(_totals_after_a_death(), PATIENCE_S))
    assert totals["exchanges"] == 1


async def _poll(times: int) -> tuple[int, dict[str, int]]:
    ready = asyncio.Event()
    running = supervisor(1, (sys.executable, FAKE_WORKER), ready.set)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(running.run())
        await ready.wait()
        try:
            (worker,) = running._pool.workers
            for _ in range(times):
                running._pool.poll_stats()
            asked = len(worker.pending_stats)
            await asyncio.gather(*worker.pending_stats)
            return asked, running._pool.totals()
        finally:
            running.stop()


def test_a_worker_that_does_not_answer_is_not_asked_again(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    asked, totals = asyncio.run(asyncio.wait_for(_poll(100), PATIENCE_S))
    assert (asked, totals["exchanges"]) == (1, 0)


def test_a_worker_of_an_older_version_tells_none():
    assert (Drained(3).totals, StatsReply({}).totals) == ({}, {})


# ---- lines for people


class Demo:
    """`ccrelay serve --demo`; its output and its log."""

    def __init__(self, folder, *arguments):
        self.log = folder / "stderr"
        with self.log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*SERVE, *arguments],
                env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder)},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        self.said = ""
        while (found := re.search(r"http://127\.0\.0\.1:(\d+) ", self.said)) is None:
            line = self.process.stdout.readline()
            assert line, self.log.read_text()
            self.said += line
        self.address = ("127.0.0.1", int(found[1]))

    def stream(self):
        """A connection with an answer that goes on for seconds."""
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE_S)
        text = "demo:deltas=40 demo:gap_ms=50"
        message = {"role": "user", "content": text}
        body = {"model": "claude-x", "max_tokens": 9, "stream": True, "messages": [message]}
        connection.request(
            "POST", "/v1/messages", json.dumps(body), {"content-type": "application/json"}
        )
        return connection, connection.getresponse()

    def end(self):
        self.said += self.process.stdout.read()
        return self.process.wait(PATIENCE_S)

    def close(self):
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()


@pytest.fixture
def demo(tmp_path):
    made = []

    def demo(*arguments):
        made.append(Demo(tmp_path, *arguments))
        return made[-1]

    yield demo
    for each in made:
        each.close()


def test_what_is_under_way_is_said_and_then_what_it_came_to(demo):
    serve = demo()
    connection, response = serve.stream()
    serve.process.send_signal(signal.SIGTERM)
    assert b"message_stop" in response.read()
    connection.close()
    assert serve.end() == 0
    said = serve.said[serve.said.index("Stopping") :].splitlines()
    assert said[:2] == [
        "Stopping: 1 stream under way, at most 60 s. A second signal cuts them.",
        "",
    ]
    assert re.fullmatch(r"\d+ s, 1 exchange, 0 lost", said[2])
    assert re.match(r"\d+ tokens in, .*\d+ out", said[3])


def test_a_second_signal_is_told_as_well(demo):
    serve = demo()
    connection, response = serve.stream()
    response.read(10)
    serve.process.send_signal(signal.SIGTERM)
    eventually(lambda: "draining" in serve.log.read_text())
    serve.process.send_signal(signal.SIGTERM)
    assert serve.end() == 1
    connection.close()
    assert " 1 exchange, " in serve.said


def test_beside_a_json_log_nothing_is_said(demo):
    serve = demo("--log-format", "json")
    connection, response = serve.stream()
    serve.process.send_signal(signal.SIGTERM)
    response.read()
    connection.close()
    assert serve.end() == 0
    assert "exchange" not in serve.said.split("Start Claude Code")[1]
    assert '"exchanges":1' in serve.log.read_text().splitlines()[-1]


def test_a_reader_that_is_gone_changes_no_exit_code(demo):
    serve = demo()
    serve.process.stdout.close()
    serve.process.send_signal(signal.SIGTERM)
    assert serve.process.wait(PATIENCE_S) == 0
    assert "Exception" not in serve.log.read_text()


def test_a_terminal_that_is_closed_changes_no_exit_code(tmp_path):
    master, slave = os.openpty()
    serve = subprocess.Popen(
        SERVE,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        cwd=tmp_path,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    said = b""
    while b"Ctrl-C finishes" not in said:
        said += os.read(master, 4096)
    os.close(master)
    serve.send_signal(signal.SIGHUP)
    assert serve.wait(PATIENCE_S) == 0
