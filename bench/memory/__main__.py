"""`python -m bench.memory`: the memory table alone, in about half a minute per peer."""

import sys

from bench.loopback import machine, programs, report, run, spec
from bench.memory import measure


def main() -> int:
    """Measure and print; 0."""
    programs.build()
    peers = [
        peer for name in ("nginx", "ccrelay") if not (peer := spec.built_in(name)).missing_program
    ]
    plan = run.Plan((), tuple(peers), rounds=1, tls=False)
    with run.session(plan, machine.find_precautions()) as session:
        print(report.table(measure.measure(session)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
