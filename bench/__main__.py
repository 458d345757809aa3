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

from bench.loopback import machine, programs, report, run, spec
from bench.loopback.scenarios import PEERS, SCENARIOS
from bench.loopback.spec import Spec, SpecError
from bench.memory import measure

HERE = Path(__file__).parent
RESULTS = HERE / "results"
OTHERS = HERE / "out"  # records that are no comparison of one commit with the next
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
    parser.add_argument(
        "--peer",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a relay of your own, described by a TOML file (bench/README.md); may be repeated",
    )
    options = parser.parse_args()
    for name in options.scenarios.split(","):
        if name not in SCENARIOS:
            parser.error(f"no scenario {name}: there are {', '.join(SCENARIOS)}")
    try:
        options.peers = [spec.built_in(name) for name in options.peers.split(",")]
        options.peer = [spec.foreign(path) for path in options.peer]
    except SpecError as error:
        parser.error(str(error))
    names = [one.name for one in options.peer]
    if len(set(names)) < len(names):
        parser.error(f"two files of one name: {', '.join(sorted(names))}")
    return options


def _plan(options: argparse.Namespace, *, tls: bool) -> run.Plan | None:
    """What can be run here; says what cannot."""
    peers: list[Spec] = [*options.peers, *options.peer]
    scenarios: list[str] = options.scenarios.split(",")
    if not tls:
        print(NO_TLS)
        peers = [one for one in peers if not one.tls]
        scenarios = [name for name in scenarios if not SCENARIOS[name].tls]
    for one in list(peers):
        if program := one.missing_program:
            peers.remove(one)
            if program == "nginx" and not options.smoke:
                print(f"bench: {NO_NGINX}; all ratios are against it", file=sys.stderr)
                return None
            if not one.tls:
                print(NO_NGINX if program == "nginx" else f"{program} is not installed")
    wanted = [SCENARIOS[name] for name in scenarios]
    peers = [one for one in peers if any(run.plays(one, scenario) for scenario in wanted)]
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
    return _keep(record, _folder(plan))


def _folder(plan: run.Plan) -> Path:
    """Where the record goes: only a whole run, and of this bench's peers, says what a commit is."""
    whole = set(plan.scenarios) == set(SCENARIOS)
    known = all(one.folder == spec.PEERS for one in plan.peers)
    return RESULTS if whole and known else OTHERS


def _notes(session: run.Session) -> list[str]:
    return [trouble for one in session.peers if (trouble := one.log_trouble())]


def _keep(record: dict[str, Any], folder: Path) -> int:
    folder.mkdir(exist_ok=True)
    path = folder / f"{record['commit']}.json"
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
