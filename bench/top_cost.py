"""What `ccrelay top` costs: start, CPU and memory, alone and with 500 exchanges a second.

    python -m bench.top_cost [--runs 5] [--seconds 20] [--rate 500] [--size 80x24]

Starts a management API with the design's data in this process and the dashboard as a child in a
pseudo-terminal. The start is from the spawn until the first figures are written to the terminal.
"""

import argparse
import asyncio
import fcntl
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MESSAGES_A_SECOND = 10
FIRST_FIGURES = b"Answering."


class Top:
    """`ccrelay top` in a pseudo-terminal of its own."""

    def __init__(self, env: dict[str, str], columns: int, lines: int) -> None:
        self._terminal, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.began_at = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ccrelay", "top"], env={**env, "TERM": "xterm-256color"},
            stdin=inner, stdout=inner, stderr=inner, start_new_session=True,
        )  # fmt: skip
        os.close(inner)
        self.written = 0

    def read(self, limit_s: float) -> bytes:
        """Return what it wrote within a time; counts it."""
        ends_at = time.monotonic() + limit_s
        found = b""
        while (left_s := ends_at - time.monotonic()) > 0:
            ready, _, _ = select.select([self._terminal], [], [], left_s)
            if not ready:
                break
            try:
                data = os.read(self._terminal, 65536)
            except OSError:  # it has ended
                break
            self.written += len(data)
            found += data
            if FIRST_FIGURES in found and limit_s > 60:
                break
        return found

    def until_first_figures(self) -> float:
        """Return the seconds from the spawn to the first figures."""
        if FIRST_FIGURES not in self.read(61.0):
            raise SystemExit("ccrelay top showed no figures within a minute")
        return time.monotonic() - self.began_at

    def cpu_s(self) -> float:
        """Return the CPU that it has used, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Return its memory, resident."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def end(self) -> None:
        """Press q, and wait for its end."""
        os.write(self._terminal, b"q")
        ends_at = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < ends_at:
            self.read(0.05)
            time.sleep(0.01)
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)


def behaviours(rate: float) -> dict[str, Any]:
    """Return streams as of a relay where so many exchanges end each second."""
    from ccrelay.v1 import exchanges_pb2, relay_pb2
    from tests.process.commands import streaming
    from tests.unit.cli import examples
    from tests.unit.cli.served import status

    async def tail(request: Any, context: Any) -> Any:
        yield exchanges_pb2.TailResponse(exchanges=examples.exchanges()[::-1])
        number = 0
        while True:
            await asyncio.sleep(1 / MESSAGES_A_SECOND)
            if not rate:
                continue
            made = []
            for _ in range(int(rate / MESSAGES_A_SECOND)):
                number += 1
                one = examples.exchange(number + 0x100000, "14:32:08", "load", "zai/plan")
                one.started_at_ms = int(time.time() * 1000) - 2_000
                made.append(one)
            yield exchanges_pb2.TailResponse(exchanges=made)

    whole = relay_pb2.WatchStatusResponse(status=status(), whole=True)
    return {"Relay/WatchStatus": streaming([whole], 3600.0), "Exchanges/Tail": tail}


@contextmanager
def running(folder: Path, rate: float, columns: int, lines: int) -> Iterator[Top]:
    """`ccrelay top` of a relay with such a rate."""
    from tests.process.commands import environment, relay

    with relay(folder, behaviours(rate)) as served:
        top = Top(environment(folder, CCRELAY_SOCKET=str(served.path)), columns, lines)
        try:
            yield top
        finally:
            top.end()


def measure(runs: int, seconds: float, rate: float, columns: int, lines: int) -> None:
    """Print what it costs."""
    starts, cpus = [], []
    for number in range(runs + 1):  # the first one compiles
        with (
            tempfile.TemporaryDirectory() as folder,
            running(Path(folder), 0, columns, lines) as top,
        ):
            taken = top.until_first_figures()
            if number:
                starts.append(taken)
                cpus.append(top.cpu_s())
    print(f"{columns}x{lines}, {seconds:g} s each")
    print(f"start to first figures: {min(starts):.2f} s best, {statistics.median(starts):.2f} s "
          f"median; CPU {min(cpus):.2f} s")  # fmt: skip
    print(f"{'':24}{'CPU':>8}{'memory':>10}{'after':>10}{'terminal':>12}")
    for name, each in (("nothing happens", 0.0), (f"{rate:g} exchanges/s", rate)):
        with (
            tempfile.TemporaryDirectory() as folder,
            running(Path(folder), each, columns, lines) as top,
        ):
            top.until_first_figures()
            top.read(3.0)
            cpu, memory, written = top.cpu_s(), top.memory_mb(), top.written
            top.read(seconds)
            share = (top.cpu_s() - cpu) / seconds
            sent = (top.written - written) / seconds / 1e3
            print(f"{name:24}{share:8.1%}{memory:7.0f} MB{top.memory_mb():7.0f} MB{sent:7.1f} kB/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--size", default="80x24")
    given = parser.parse_args()
    columns, lines = map(int, given.size.split("x"))
    with tempfile.TemporaryDirectory(prefix="ccrelay-bench-") as name:
        os.environ["XDG_STATE_HOME"] = name  # read while the tests' modules are imported
        measure(given.runs, given.seconds, given.rate, columns, lines)


if __name__ == "__main__":
    main()
