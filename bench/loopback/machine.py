"""The machine: what it is, which precautions against noise it allows, its free ports.

Linux only: the C programs use epoll, and CPU time is read from /proc.
"""

import contextlib
import os
import platform
import random
import resource
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

UPSTREAM_PRIORITY = 5
LOADGEN_PRIORITY = 10  # above the upstream: a stamp must not age in our own run queue
PEER_PRIORITY = 3


@dataclass(frozen=True)
class Precautions:
    """What keeps the figures calm on a noisy machine. None or False: not possible here."""

    ours: int | None = None  # core of the upstream, the load generator and this program
    theirs: int | None = None  # core of the peer under test
    realtime: bool = False

    def sentences(self) -> list[str]:
        """What the reader of the figures should know, one sentence each."""
        pinned, realtime = self.ours is not None, self.realtime
        return [
            f"load generator and mock upstream on core {self.ours}, the peer on core {self.theirs}"
            if pinned
            else "no pinning: fewer than two cores may be used, so figures are rough",
            "real-time priorities (SCHED_FIFO)"
            if realtime
            else "no real-time priorities: not permitted, so latencies are rough",
        ]


def find_precautions() -> Precautions:
    """Those that this machine and this user allow."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return Precautions(realtime=_may_be_realtime())
    ours = cores[0]
    others = [core for core in cores[1:] if core not in _siblings(ours)] or cores[1:]
    return Precautions(ours, others[0], _may_be_realtime())


def _may_be_realtime() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(LOADGEN_PRIORITY))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def _siblings(core: int) -> set[int]:
    """The hardware threads that share a physical core with this one."""
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for part in path.read_text().strip().split(","):
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
    return found


def placed(core: int | None, policy: int | None = None, priority: int = 0) -> Callable[[], None]:
    """For `preexec_fn`: the child is on its core, with its priority, from the first instruction."""

    def place() -> None:
        if core is not None:
            os.sched_setaffinity(0, {core})
        if policy is not None:
            os.sched_setscheduler(0, policy, os.sched_param(priority))

    return place


def raise_open_files(want: int) -> int:
    """The open-file limit that our children get: as near to `want` as the hard limit allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    unlimited = hard == resource.RLIM_INFINITY
    soft = want if unlimited else min(want, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def free_port(taken: set[int]) -> int:
    """A free port below the ephemeral ones, where no outgoing connection can sit down on it."""
    first_ephemeral = 32768
    with contextlib.suppress(OSError):
        ports = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        first_ephemeral = int(ports[0])
    lowest = 10_000 if first_ephemeral > 12_000 else 1024
    for _ in range(1000):
        port = random.randrange(lowest, max(first_ephemeral, lowest + 1000))
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            if port not in taken:
                taken.add(port)
                return port
    raise SystemExit("bench: no free port on 127.0.0.1")


def steal_ticks() -> int:
    """Time that the hypervisor gave to others, ticks of 10 ms since boot, all cores."""
    return int(Path("/proc/stat").read_text().split(None, 9)[8])


def _output(*command: str) -> str:
    """What a program says about itself, first line; "" when it is not there."""
    if not shutil.which(command[0]):
        return ""
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return (said.stdout or said.stderr).strip().partition("\n")[0]


def _field(path: str, name: str) -> str:
    with contextlib.suppress(OSError):
        for line in Path(path).read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return "unknown"


def facts() -> dict[str, str]:
    """Machine and versions, for the head of the report. No host name."""
    memory_kb = int(_field("/proc/meminfo", "MemTotal").split()[0])
    return {
        "CPU": _field("/proc/cpuinfo", "model name"),
        "cores used / present": f"{len(os.sched_getaffinity(0))} / {os.cpu_count()}",
        "memory": f"{memory_kb / 1024**2:.1f} GB",
        "kernel": platform.release(),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "uvloop": _version("uvloop"),
        "nginx": _output("nginx", "-v").removeprefix("nginx version: ") or "not installed",
        "openssl": _output("openssl", "version"),
        "C compiler": _output("cc", "--version"),
    }


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def commit(root: Path) -> str:
    """Short id of the commit that is checked out, with "-dirty" when files differ from it."""
    git = ("git", "-C", str(root))
    found = _output(*git, "rev-parse", "--short=12", "HEAD")
    if not found or found.startswith("fatal"):
        return "unversioned"
    return found + ("-dirty" if _output(*git, "status", "--porcelain", "-uno") else "")
