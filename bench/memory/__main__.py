"""`python -m bench.memory`: the memory table alone, in about half a minute per peer."""

import sys

from bench.loopback import machine, peer, programs, report, run
from bench.memory import measure


def main() -> int:
    """Measure and print; 0."""
    programs.build()
    names = [name for name in ("nginx", "ccrelay") if not peer.missing_program(name)]
    plan = run.Plan((), tuple(names), rounds=1, tls=False)
    with run.session(plan, machine.find_precautions()) as session:
        print(report.table(measure.measure(session)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
