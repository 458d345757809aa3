"""Process trees: who belongs to a peer, what they hold in memory, waking and ending them."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

END_WAIT_S = 8.0  # how long a peer may take to end by itself


def tree(pid: int) -> list[int]:
    """The process and all its descendants, parents first."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += tree(int(child))
    return found


def threads(pid: int) -> Iterator[int]:
    """All threads of the whole tree."""
    for process in tree(pid):
        yield from map(int, os.listdir(f"/proc/{process}/task"))


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to the whole tree."""
    for process in tree(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def proportional_kb(pid: int) -> dict[str, int]:
    """PSS of the whole tree, and the part of it that no file backs, KB; number of processes."""
    sums = {"Pss": 0, "Pss_Anon": 0}
    processes = tree(pid)
    for process in processes:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            key, _, value = line.partition(":")
            if key in sums:
                sums[key] += int(value.split()[0])
    return {"pss": sums["Pss"], "anon": sums["Pss_Anon"], "processes": len(processes)}


def leaves(pid: int) -> list[int]:
    """The processes without children: the workers, not the one that watches them, nor a manager."""
    beside = set(managers(pid))
    return [one for one in tree(pid) if len(tree(one)) == 1 and one not in beside]


def managers(pid: int) -> list[int]:
    """The managers of a ccrelay."""
    found = []
    for process in tree(pid):
        with contextlib.suppress(OSError):
            if b"ccrelay.manager" in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
    return found


def leaf_rss_kb(pid: int) -> int:
    """Resident memory of the workers."""
    page_kb = os.sysconf("SC_PAGE_SIZE") // 1024
    statms = [Path(f"/proc/{leaf}/statm") for leaf in leaves(pid)]
    return sum(int(statm.read_text().split()[1]) * page_kb for statm in statms)


def end(process: subprocess.Popen[bytes], wait_s: float = END_WAIT_S) -> None:
    """Ask the process to end; after `wait_s` make sure that it and all its descendants did."""
    members = tree(process.pid)
    send(process.pid, signal.SIGCONT)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(wait_s)
    # A worker whose parent is gone has another one, so the members are those of before. The session
    # is ours (start_new_session): an id that was given to another process meanwhile is left alone.
    for member in members if process.poll() is None else members[1:]:
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(member) == process.pid:
                os.kill(member, signal.SIGKILL)
    process.wait()
