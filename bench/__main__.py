"""`python -m bench`: measure ccrelay beside nginx on this machine and print the tables.

`--smoke` only shows whether everything arrives, in less than a minute, without any privilege.
`--render` writes the tables of a recorded run into `bench/README.md`.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from bench.loopback import machine, peer, programs, report, run
from bench.loopback.scenarios import PEERS, SCENARIOS
from bench.memory import measure

HERE = Path(__file__).parent
RESULTS = HERE / "results"
NO_NGINX = "nginx is not installed: install the package nginx-light (or nginx)"
NO_TLS = "no TLS scenarios: they need openssl and its headers (packages openssl and libssl-dev)"


def main() -> int:
    """Exit status: 0; 1 when anything went wrong on the way; 2 when nothing could be measured."""
    options = _options()
    if options.render is not None:
        report.render(HERE / "README.md", report.Record(_recorded(options.render)))
        return 0
    if sys.platform != "linux":
        print("bench: Linux only (epoll and /proc)", file=sys.stderr)
        return 2
    tls = programs.build()
    plan = _plan(options, tls=tls)
    if plan is None:
        return 2
    return _smoke(plan) if plan.smoke else _measure(plan)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="only check that everything arrives")
    parser.add_argument(
        "--render",
        nargs="?",
        const="",
        metavar="COMMIT",
        help="tables into README (newest record)",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="default: all")
    parser.add_argument("--peers", default=",".join(PEERS), help="also: haproxy, haproxy_tls")
    options = parser.parse_args()
    for name in options.scenarios.split(","):
        if name not in SCENARIOS:
            parser.error(f"no scenario {name}: there are {', '.join(SCENARIOS)}")
    return options


def _plan(options: argparse.Namespace, *, tls: bool) -> run.Plan | None:
    """What can be run here; says what cannot."""
    peers, scenarios = options.peers.split(","), options.scenarios.split(",")
    if not tls:
        print(NO_TLS)
        peers = [name for name in peers if not name.endswith("_tls")]
        scenarios = [name for name in scenarios if not SCENARIOS[name].tls]
    for name in list(peers):
        if program := peer.missing_program(name):
            peers.remove(name)
            if program == "nginx" and not options.smoke:
                print(f"bench: {NO_NGINX}; all ratios are against it", file=sys.stderr)
                return None
            if not name.endswith("_tls"):
                print(NO_NGINX if program == "nginx" else f"{program} is not installed")
    rounds = 1 if options.smoke else options.rounds
    return run.Plan(tuple(scenarios), tuple(peers), rounds, options.smoke, tls)


def _smoke(plan: run.Plan) -> int:
    """Everything complete, no errors, bytes and CRC right? Nothing is said about speed."""
    print("smoke: no pinning, no real-time priorities, no figures; only whether everything arrives")
    bad = 0
    with run.session(plan, machine.Precautions()) as session:
        for result in session.run():
            bad += bool(result["figures"]["errors"])
        notes = _notes(session)
    for note in notes:
        print(f"smoke: {note}")
    ended_well = not bad and not notes
    print("smoke: all is well" if ended_well else f"smoke: {bad} runs went wrong")
    return 0 if ended_well else 1


def _measure(plan: run.Plan) -> int:
    """The full run: prints the tables and keeps the record."""
    precautions = machine.find_precautions()
    for sentence in precautions.sentences():
        run.say(f"bench: {sentence}")
    record: dict[str, Any] = {
        "commit": machine.commit(HERE.parent),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "rounds": plan.rounds,
        "machine": machine.facts(),
        "precautions": precautions.sentences(),
    }
    with run.session(plan, precautions) as session:
        # As with cold starts: before anything else is up.
        record["memory"] = measure.measure(session) if "M1" in plan.scenarios else []
        record["runs"] = list(session.run())
        record["notes"] = _notes(session)
    return _keep(record)


def _notes(session: run.Session) -> list[str]:
    return [trouble for one in session.peers if (trouble := one.log_trouble())]


def _keep(record: dict[str, Any]) -> int:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{record['commit']}.json"
    runs = ",\n".join(json.dumps(one) for one in record["runs"])  # one line each: diffs stay small
    head = json.dumps({k: v for k, v in record.items() if k != "runs"}, indent=1)
    path.write_text(f'{head[:-2]},\n "runs": [\n{runs}\n]\n}}\n')
    done = report.Record(record)
    print(report.markdown(done))
    run.say(f"bench: recorded in {path.relative_to(HERE.parent)}")
    return 1 if done.all_errors() or record["notes"] else 0


def _recorded(commit: str) -> dict[str, Any]:
    """The record of a commit, or the newest."""
    paths = [RESULTS / f"{commit}.json"] if commit else list(RESULTS.glob("[0-9a-f]*.json"))
    records: list[dict[str, Any]] = [json.loads(path.read_text()) for path in paths]
    if not records:
        raise SystemExit("bench: nothing is recorded yet: run `python -m bench` first")
    return max(records, key=lambda record: record["date"])


if __name__ == "__main__":
    sys.exit(main())
