"""`python -m bench.management [--rounds N]`: start, idle memory, and the manager's end under load.

    start     from the start of `serve` to its first answer, with and without the management plane,
              in turns; the median of the differences of each round
    memory    proportional set size of every process three seconds after the start
    trouble   requests that failed while the manager is killed, stopped, or gets no more memory, and
              when another one was ready; nan: it went on with what it had

    load      what records cost a request, and readers of the management API cost a stream
              (`load`); `--load-rounds N`

Exit status 1 when a request failed.
"""

import argparse
import contextlib
import math
import os
import resource
import signal
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.loopback import processes
from bench.management import load
from bench.management.rig import Load, Program, Relay, short_folder, until

IDLE_S = 3.0
DEATH_WAIT_S = 5.0
LOAD_S = 1.0  # before and after the trouble


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--load-rounds", type=int, default=5)
    parser.add_argument("--start-only", action="store_true")
    options = parser.parse_args()
    with short_folder() as name:
        folder = Path(name)
        folder.chmod(0o700)
        upstream = Program(folder, "mock", "mock", "--listen", "127.0.0.1:0")
        try:
            port = upstream.port()
            start(folder, port, options.rounds)
            if options.start_only:
                return 0
            memory(folder, port)
            failed = trouble(folder, port)
        finally:
            upstream.end()
    return load.measure(options.load_rounds) or failed


def start(folder: Path, upstream: int, rounds: int) -> None:
    """Print the time to the first answer."""
    found: dict[bool, list[float]] = {False: [], True: []}
    cpu: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(rounds):
        for is_managed in (False, True) if turn % 2 else (True, False):
            relay = Relay(folder, upstream, is_managed=is_managed)
            try:
                found[is_managed].append(relay.first_answer_ms())
                cpu[is_managed].append(_cpu_ms(relay.process.pid))
            finally:
                relay.end()
    off, on = found[False], found[True]
    added = [b - a for a, b in zip(off, on, strict=True)]
    print("start of serve to the first answer, ms (median, least):")
    print(f"  management off  {statistics.median(off):6.0f} {min(off):6.0f}")
    print(f"  management on   {statistics.median(on):6.0f} {min(on):6.0f}")
    ratio = statistics.median(on) / statistics.median(off)
    print(
        f"  added by it     {statistics.median(added):6.1f} {min(on) - min(off):6.1f} {ratio:6.3f}x"
    )
    less, more = (statistics.median(cpu[is_managed]) for is_managed in (False, True))
    print(f"CPU of all processes until then, ms (median): off {less:.1f}, on {more:.1f}")


def _cpu_ms(pid: int) -> float:
    """Of the whole tree: what was done until the first answer, on a machine that is never quiet."""
    files = [Path(f"/proc/{one}/task/{one}/schedstat") for one in processes.tree(pid)]
    return sum(int(file.read_text().split()[0]) for file in files) / 1e6


def memory(folder: Path, upstream: int) -> None:
    """Print the memory of all processes."""
    print("idle memory, MB (proportional, resident):")
    for is_managed in (False, True):
        relay = Relay(folder, upstream, is_managed=is_managed)
        try:
            relay.first_answer_ms()
            manager = relay.manager() if is_managed else 0
            time.sleep(IDLE_S)
            total = 0.0
            print(f"  management {'on' if is_managed else 'off'}")
            for pid in processes.tree(relay.process.pid):
                sizes = (_kb(pid, "Pss") / 1024, _kb(pid, "Rss") / 1024)
                kind = "worker"
                if pid in (relay.process.pid, manager):
                    kind = "manager" if pid == manager else "supervisor"
                print(f"    {kind:<10} {sizes[0]:6.1f} {sizes[1]:6.1f}")
                total += sizes[0]
            print(f"    {'all':<10} {total:6.1f}")
        finally:
            relay.end()


def _kb(pid: int, name: str) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line for line in text.splitlines() if line.startswith(f"{name}:")).split()[1])


def trouble(folder: Path, upstream: int) -> int:
    """Print what the end of the manager costs; 1 when any request failed."""
    kinds: dict[str, Callable[[int], None]] = {
        "kill -9": lambda pid: os.kill(pid, signal.SIGKILL),
        "stopped": lambda pid: os.kill(pid, signal.SIGSTOP),
        "no memory": _take_memory,
    }
    print("the end of the manager under load: requests, failed, s until another one was ready:")
    failed = 0
    for name, harm in kinds.items():
        relay = Relay(folder, upstream, is_managed=True)
        try:
            relay.first_answer_ms()
            pid = relay.manager()
            requests = Load(relay.listens_at)
            time.sleep(LOAD_S)
            began_at = time.monotonic()
            harm(pid)
            took_s = math.nan
            with contextlib.suppress(TimeoutError):
                until(lambda relay=relay: relay.events("manager_died"), DEATH_WAIT_S)
                relay.manager(2)
                took_s = time.monotonic() - began_at
            time.sleep(LOAD_S)
            requests.stop()
        finally:
            relay.end()
        failed += len(requests.failures)
        print(f"  {name:<10} {requests.answers:6} {len(requests.failures):6} {took_s:8.2f}")
        for failure in requests.failures[:3]:
            print(f"    {failure}")
    return 1 if failed else 0


def _take_memory(pid: int) -> None:
    """Forbid it any more address space, and freeze nothing: it notices with its next need."""
    resource.prlimit(pid, resource.RLIMIT_AS, (1 << 20, 1 << 20))


if __name__ == "__main__":
    sys.exit(main())
