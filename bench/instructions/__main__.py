"""`python -m bench.instructions`: instructions per small request, counted by valgrind's callgrind.

Seconds drift on a shared machine by more than two commits differ; instructions do not. What they
leave out is as real: the kernel's part, and how well caches and branch predictors like the code. So
they tell whether a change made the code do less, not how fast it is.

`--checkout DIR` measures another checkout of ccrelay, built in place, with this interpreter.
"""

import argparse
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.loopback import machine, peer, programs, run, spec

PEERS = ("ccrelay_one", "ccrelay", "ccrelay_many")
# Start and warm-up are in both runs, and drop out of their difference.
SHORT, LONG = 400, 2400
LOAD = "-m closed -C 4 -n {n} -w 0 -B 2048 -s r=1024 -t 60"
START_WAIT_S = 60.0
VALGRIND = """#!/bin/sh
exec valgrind -q --tool=callgrind --trace-children=yes \\
    --callgrind-out-file={folder}/%p.out {python} "$@"
"""


def main() -> int:
    """Measure and print a line per peer; 0, or 2 without valgrind."""
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("--peers", default=",".join(PEERS), help="of bench/loopback/peers")
    parser.add_argument("--python", default=sys.executable, help="with what ccrelay needs")
    parser.add_argument("--checkout", type=Path, default=peer.ROOT, help="default: this one")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("bench: valgrind is not installed: install the package valgrind", file=sys.stderr)
        return 2
    programs.build()
    for name in options.peers.split(","):
        count = partial(instructions, name, options.checkout, options.python)
        short, long = (count(n) for n in (SHORT, LONG))
        print(f"{name}: {(long - short) / (LONG - SHORT) / 1000:,.1f} k instructions per request")
    return 0


def instructions(name: str, checkout: Path, python: str, requests: int) -> int:
    """Instructions of all processes of a peer that starts, answers `requests`, and ends."""
    plan = run.Plan((), (spec.built_in(name),), rounds=1, tls=False)
    with (
        tempfile.TemporaryDirectory(prefix="ccrelay-bench-") as tmp,
        run.session(plan, machine.Precautions()) as session,
    ):
        folder = Path(tmp)
        wrapper = folder / "python"
        wrapper.write_text(VALGRIND.format(folder=folder, python=python))
        wrapper.chmod(0o755)
        (measured,) = session.peers
        measured.python, measured.root = str(wrapper), checkout.resolve()
        measured.ready_wait_s = START_WAIT_S
        measured.spawn()
        measured.wait_for_first_answer()
        result = session.load(measured, LOAD.replace("{n}", str(requests)))
        measured.stop()  # the counts are written at the end of each process
        if "failed" in result or any(result["errors"].values()):
            raise SystemExit(f"bench: {name}: not all requests were answered: {result}")
        return sum(map(counted, folder.glob("*.out*")))


def counted(file: Path) -> int:
    """The sum that callgrind wrote when a process ended."""
    for line in reversed(file.read_text().splitlines()):
        if line.startswith("totals:"):
            return int(line.split()[1])
    raise SystemExit(f"bench: a process did not end by itself, its count is missing: {file.name}")


if __name__ == "__main__":
    sys.exit(main())
