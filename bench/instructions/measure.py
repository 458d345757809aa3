"""Instructions per request of a peer's worker, under callgrind.

Start and warm-up run without counting, which is faster by an order of magnitude. Counting is
switched on and dumped through valgrind's gdb server (vgdb). That one would wake a sleeping process
with ptrace, which containers forbid; so it only waits, and a small request wakes the worker.

Only workers are counted. A supervisor works by the clock and not by requests, and a worker here is
slower by some fifty times than it is in life: the supervisor's share would be out of proportion. So
would be what a worker does by the clock, the more the slower the machine is: it is counted without
load, for two spells, and its rate is taken off.
"""

import http.client
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.instructions.callgrind import by_function, calls, counted
from bench.loopback import machine, processes, run, spec
from bench.loopback.peer import Peer

PARTS, REQUESTS = 4, 500  # the cheapest part counts: other work only adds
IDLE_S = (1.0, 6.0)  # two spells: their difference is free of what a dump itself costs
# One at a time: how many events a turn of the loop finds depends on what else the machine does, and
# with four connections that was up to 12 % on a machine with other work.
LOAD = "-m closed -C 1 -n {n} -w 0 -B 2048 -s r=1024 -t 80"
WARM_UP = LOAD.replace("{n}", "400")
START_WAIT_S = 180.0
END_WAIT_S = 60.0
ORDER_WAIT_S = 60.0
WAKE_EACH_S = 0.05
# Hashes of texts are random in life: how they collide changes a figure by some percent.
VALGRIND = """#!/bin/sh
export PYTHONHASHSEED=0
exec valgrind -q --tool=callgrind --trace-children=yes --instr-atstart=no \\
    --vgdb-prefix={folder}/vgdb --vgdb-poll=500 \\
    --callgrind-out-file={folder}/%p.out {python} "$@"
"""


@dataclass(frozen=True)
class Measured:
    """Per request: instructions in all and of each function itself, and calls of each function."""

    per_request: float
    functions: dict[str, float]
    calls: dict[str, float]


def measure(name: str, checkout: Path, python: str) -> Measured:
    """Of a peer of this bench. Raises SystemExit when requests fail or callgrind does not obey."""
    plan = run.Plan((), (spec.built_in(name),), rounds=1, tls=False)
    with (
        tempfile.TemporaryDirectory(prefix="ccrelay-bench-") as tmp,
        run.session(plan, machine.Precautions()) as session,
    ):
        folder = Path(tmp)
        wrapper = folder / "python"
        wrapper.write_text(VALGRIND.format(folder=folder, python=python))
        wrapper.chmod(0o755)
        (peer,) = session.peers
        peer.python, peer.root = str(wrapper), checkout.resolve()
        peer.ready_wait_s, peer.end_wait_s = START_WAIT_S, END_WAIT_S
        peer.spawn()
        peer.wait_for_first_answer()
        _load(session, peer, WARM_UP)
        _order(peer, folder, "instrumentation", "on")
        spells = _Spells(peer, folder)
        spells.end()  # what switching on has cost
        idle = []
        for idle_s in IDLE_S:
            time.sleep(idle_s)
            idle.append(spells.end())
        by_clock = rate(idle[0], idle[1])
        parts = []
        for _ in range(PARTS):
            _load(session, peer, LOAD.replace("{n}", str(REQUESTS)))
            parts.append(per_request(spells.end(), REQUESTS, by_clock))
        return min(parts, key=lambda part: part.per_request)


@dataclass(frozen=True)
class Spell:
    """What callgrind dumped of each worker for a time.

    Args:
        files: of the dump.
        took_s: since the dump before.
    """

    files: list[Path]
    took_s: float

    @property
    def total(self) -> int:
        """Instructions of all workers."""
        return sum(map(counted, self.files))


class _Spells:
    """Dumps of a peer's workers, one after the other."""

    def __init__(self, peer: Peer, folder: Path) -> None:
        self._peer, self._folder = peer, folder
        self._number = 0
        self._began_at = time.monotonic()

    def end(self) -> Spell:
        """Dump what was counted since the dump before."""
        _order(self._peer, self._folder, "dump")
        self._number += 1
        ended_at = time.monotonic()
        took_s, self._began_at = ended_at - self._began_at, ended_at
        pids = processes.leaves(self._peer.pid)
        return Spell([self._folder / f"{pid}.out.{self._number}" for pid in pids], took_s)


def rate(short: Spell, long: Spell) -> float:
    """Instructions per second that are done without any request."""
    return max((long.total - short.total) / (long.took_s - short.took_s), 0.0)


def per_request(spell: Spell, requests: int, by_clock: float) -> Measured:
    """What callgrind dumped, divided by the requests.

    Args:
        spell: while they were made.
        requests: how many.
        by_clock: instructions per second that are not theirs; in the total only.
    """
    return Measured(
        (spell.total - by_clock * spell.took_s) / requests,
        _shares(by_function, spell.files, requests),
        _shares(calls, spell.files, requests),
    )


def _shares(
    read: Callable[[Path], Counter[str]], files: list[Path], requests: int
) -> dict[str, float]:
    found: Counter[str] = sum(map(read, files), Counter())
    return {name: n / requests for name, n in found.items()}


def _load(session: run.Session, peer: Peer, args: str) -> None:
    result = session.load(peer, args)
    if "failed" in result or any(result["errors"].values()):
        raise SystemExit(f"bench: {peer.name}: not all requests were answered: {result}")


def _order(peer: Peer, folder: Path, *words: str) -> None:
    """Have each worker's callgrind do something."""
    for pid in processes.leaves(peer.pid):
        command = ["vgdb", f"--vgdb-prefix={folder}/vgdb", f"--pid={pid}", "--max-invoke-ms=0"]
        with subprocess.Popen(
            [*command, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as vgdb:
            for _ in _until(time.monotonic() + ORDER_WAIT_S):
                if vgdb.poll() is not None:
                    break
                _wake(peer)
            else:
                vgdb.kill()
            said = vgdb.stdout.read() if vgdb.stdout else ""
        if vgdb.returncode:
            raise SystemExit(f"bench: callgrind did not obey {' '.join(words)}:\n{said[-2000:]}")


def _until(give_up_at: float) -> Iterator[None]:
    while time.monotonic() < give_up_at:
        yield
        time.sleep(WAKE_EACH_S)


def _wake(peer: Peer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=ORDER_WAIT_S)
    try:
        connection.request("GET", peer.spec.ready)
        connection.getresponse().read()
    finally:
        connection.close()
