"""What the management plane costs under load, with and without readers, interleaved.

    requests   CPU of the worker, and of all processes, per small request
    watched    added latency per event of a stream beside 500 small requests a second, with no
               reader, and with 10 readers of the status at 10 Hz and 5 of all exchanges

Ratios are medians over rounds of the ratio within a round.
"""

import contextlib
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.loopback import machine, processes, programs, run, spec
from bench.loopback.peer import TOKEN, Peer
from bench.loopback.scenarios import SMALL_64

OFF, ON = "ccrelay_unmanaged", "ccrelay_managed"
STREAMS = "-m stream -C 32 -n 32 -s n=150,b=60,d=20000 -t 8"
# 8 connections, each with an answer that takes 16 ms: 500 a second.
BACKGROUND = "-m closed -C 8 -n 100000 -B 2048 -s r=1024,f=15500 -t {seconds}"
BACKGROUND_S = 10
WATCHERS, TAILS = 10, 5
IDLE_S = 4.0  # until the manager has started and is idle
MANAGER_WAIT_S = 20.0


def measure(rounds: int) -> int:
    """Measure and print; 0, or 1 when something failed."""
    programs.build()
    peers = tuple(spec.built_in(name) for name in (OFF, ON))
    plan = run.Plan((), peers, rounds=rounds, tls=False)
    with run.session(plan, machine.find_precautions()) as session:
        bench = Bench(session, rounds)
        bench.requests()
        bench.watched()
    print(f"errors: {bench.errors or 'none'}")
    return 1 if bench.errors else 0


class Bench:
    """The two measurements."""

    def __init__(self, session: run.Session, rounds: int) -> None:
        self._session = session
        self._rounds = rounds
        self._peers = {peer.name: peer for peer in session.peers}
        self.errors: list[str] = []

    def _order(self, number: int) -> list[Peer]:
        return self._session.peers if number % 2 == 0 else self._session.peers[::-1]

    # ---- requests

    def requests(self) -> None:
        """CPU per small request."""
        for peer in self._session.peers:
            peer.spawn()
            peer.wait_for_first_answer()
        _socket_of(self._peers[ON])
        worker: dict[str, list[float]] = {OFF: [], ON: []}
        every: dict[str, list[float]] = {OFF: [], ON: []}
        for number in range(2 * self._rounds):
            for peer in self._order(number):
                before = _cpu_s(processes.tree(peer.pid))
                workers = _cpu_s(processes.leaves(peer.pid))
                done = self._load(peer, SMALL_64)
                time.sleep(1.0)  # the manager writes what is left
                if done:
                    spent = _cpu_s(processes.leaves(peer.pid)) - workers
                    worker[peer.name].append(1e6 * spent / done)
                    every[peer.name].append(
                        1e6 * (_cpu_s(processes.tree(peer.pid)) - before) / done
                    )
        _print_ratio("CPU per small request, worker", worker, "us")
        _print_ratio("CPU per small request, all processes", every, "us")

    def _load(self, peer: Peer, args: str) -> int:
        result = self._session.load(peer, args)
        if "failed" in result or any(n for k, n in result["errors"].items() if k != "unfinished"):
            self.errors.append(f"{peer.name}: {result.get('failed') or result['errors']}")
            return 0
        done: int = result["done"]
        return done

    # ---- streams beside readers

    def watched(self) -> None:
        """Latency per event of streams, with and without readers of the management plane."""
        peer = self._peers[ON]
        socket = _socket_of(peer)
        p99: dict[str, list[float]] = {"alone": [], "watched": []}
        read = {"status": 0, "exchanges": 0, "dropped": 0}
        for number in range(2 * self._rounds):
            for name in ("alone", "watched") if number % 2 == 0 else ("watched", "alone"):
                with contextlib.ExitStack() as stack:
                    stack.enter_context(self._background(peer))
                    if name == "watched":
                        stack.enter_context(_watchers(socket, read))
                    result = self._session.load(peer, STREAMS)
                if "failed" in result or any(result["errors"].values()):
                    self.errors.append(f"{name}: {result.get('failed') or result['errors']}")
                else:
                    p99[name].append(result["event_us"]["p99"])
        _print_ratio("p99 per event of a stream", p99, "us")
        print(f"read meanwhile: {read}")

    @contextlib.contextmanager
    def _background(self, peer: Peer) -> Iterator[None]:
        command = [str(programs.LOADGEN), "-p", str(peer.port), "-k", TOKEN]
        command += BACKGROUND.format(seconds=BACKGROUND_S).split()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            time.sleep(0.5)
            try:
                yield
            finally:
                process.terminate()


@contextlib.contextmanager
def _watchers(socket: Path, read: dict[str, int]) -> Iterator[None]:
    command = [sys.executable, "-m", "bench.management.watchers", str(socket)]
    with subprocess.Popen(
        [*command, str(WATCHERS), str(TAILS)], stdout=subprocess.PIPE, text=True
    ) as process:
        time.sleep(1.5)  # until all streams are open
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=20)
            for name, count in json.loads(said).items():
                read[name] += count


def _socket_of(peer: Peer) -> Path:
    folder = peer.around.tmp / f"{peer.name}.state" / "ccrelay" / "run"
    give_up_at = time.monotonic() + MANAGER_WAIT_S
    while time.monotonic() < give_up_at:
        if (found := sorted(folder.glob("*.sock"))) and processes.managers(peer.pid):
            time.sleep(IDLE_S)
            return found[0]
        time.sleep(0.1)
    raise SystemExit(f"bench: no manager of {peer.name} within {MANAGER_WAIT_S:.0f} s")


def _cpu_s(pids: list[int]) -> float:
    """User and system time of these processes, seconds, in nanosecond resolution."""
    total = 0
    for pid in pids:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(path.read_text().split()[0])
    return total / 1e9


def _print_ratio(label: str, figures: dict[str, list[float]], unit: str) -> None:
    (name_a, a), (name_b, b) = figures.items()
    if not a or len(a) != len(b):
        print(f"{label}: not measured")
        return
    ratio = statistics.median(y / x for x, y in zip(a, b, strict=True))
    names = {OFF: "off", ON: "on"}
    print(
        f"{label}: {names.get(name_a, name_a)} {statistics.median(a):.1f} {unit}, "
        f"{names.get(name_b, name_b)} {statistics.median(b):.1f} {unit}, "
        f"{ratio:.3f}x (rounds {min(y / x for x, y in zip(a, b, strict=True)):.2f}"
        f"..{max(y / x for x, y in zip(a, b, strict=True)):.2f})"
    )
