"""`python -m bench.instructions`: instructions per small request, counted by valgrind's callgrind.

Seconds drift on a shared machine by more than two commits differ; instructions do not. What they
leave out is as real: the kernel's part, and how well caches and branch predictors like the code. So
they tell whether a change made the code do less, not how fast it is.

`--checkout DIR` measures another checkout of ccrelay, built in place, with this interpreter.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

from bench.instructions import ceiling
from bench.instructions.measure import Measured, measure
from bench.loopback import machine, peer, programs, report, spec

ROOT = Path(__file__).parents[2]
README = ROOT / "bench" / "README.md"
RESULT = ROOT / "bench" / "results" / "instructions.json"
PEERS = ("ccrelay_one", "ccrelay_managed", "ccrelay", "ccrelay_many")


def main() -> int:
    """Measure and print a line per peer.

    Returns:
        0; 1 when a figure is above its ceiling (`--check`); 2 without valgrind.
    """
    options = _options()
    if shutil.which("vgdb") is None:
        print("bench: valgrind is not installed: install the package valgrind", file=sys.stderr)
        return 2
    programs.build()
    figures: dict[str, float] = {}
    for name in options.peers:
        found = measure(name, options.checkout, options.python)
        figures[name] = found.per_request
        print(ceiling.sentence(name, found.per_request), flush=True)
        _print_top(found, options.top)
        _print_calls(found, options.calls)
    here = ceiling.conditions(options.python)
    if options.save:
        _save(figures, here, machine.commit(options.checkout))
    if not options.check:
        return 0
    is_below, lines = ceiling.check(ceiling.load(RESULT), here, figures)
    print("\n".join(f"bench.instructions: {line}" for line in lines))
    return 0 if is_below else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("--peers", default=",".join(PEERS), help="of bench/loopback/peers")
    parser.add_argument("--python", default=sys.executable, help="with what ccrelay needs")
    parser.add_argument("--checkout", type=Path, default=peer.ROOT, help="default: this one")
    parser.add_argument("--top", type=int, default=0, metavar="N", help="the N costliest functions")
    parser.add_argument("--calls", type=int, default=0, metavar="N", help="ours most called")
    parser.add_argument("--check", action="store_true", help="fail above the committed ceiling")
    parser.add_argument("--save", action="store_true", help=f"write {RESULT.name} and the page")
    options = parser.parse_args()
    options.peers = options.peers.split(",")
    for name in options.peers:
        try:
            spec.built_in(name)
        except spec.SpecError as error:
            parser.error(str(error))
    if options.save and set(options.peers) != set(PEERS):
        parser.error("--save needs the figures of all peers: leave --peers out")
    return options


def _print_top(found: Measured, top: int) -> None:
    for name, n in sorted(found.functions.items(), key=lambda item: -item[1])[:top]:
        print(f"  {n:>10,.0f}  {n / found.per_request:>5.1%}  {name}")


def _print_calls(found: Measured, top: int) -> None:
    # Functions of ccrelay have its name in theirs: Cython names C functions after their modules.
    ours = [item for item in found.calls.items() if "7ccrelay" in item[0]]
    for name, n in sorted(ours, key=lambda item: -item[1])[:top]:
        print(f"  {n:>6.1f} calls  {name}")


def _save(figures: ceiling.Figures, here: dict[str, str], commit: str) -> None:
    record: ceiling.Record = {
        "commit": commit,
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "conditions": here,
        "figures": {name: round(figure) for name, figure in figures.items()},
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    report.replace_between(README, ceiling.BEGIN, ceiling.END, ceiling.markdown(record))
    print(f"bench.instructions: saved in {RESULT.relative_to(ROOT)} and {README.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(main())
