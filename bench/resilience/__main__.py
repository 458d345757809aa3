"""`python -m bench.resilience [SCENARIO...]`: what the relay does when things go wrong, measured.

The real `ccrelay serve` runs before `ccrelay mock` processes on 127.0.0.1. Prints a table, and
keeps the record of a full run of all scenarios in `bench/results/resilience-COMMIT.json`. Exit
status: 0; 1 when a must was missed or a scenario failed; 2 when nothing could be run. Linux only.

`--quick` gives every scenario a short form, `--list` tells how long they take, `--render` writes
the newest record into `bench/README.md`.
"""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench.loopback import machine
from bench.loopback.run import say
from bench.resilience import affinity, bodies, hostile, limits, outages, upkeep
from bench.resilience.findings import Finding, Findings, markdown, missed, plain
from bench.resilience.stage import Stage, StageError

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results"
README = ROOT / "bench" / "README.md"
BEGIN, END = "<!-- begin: resilience -->", "<!-- end: resilience -->"
OPEN_FILES = 4096


@dataclass(frozen=True)
class Scenario:
    """What can be asked for, and how long it takes, seconds."""

    run: Callable[[Stage], Awaitable[list[Finding]]]
    full_s: int
    quick_s: int


SCENARIOS = {
    "pool-rpm": Scenario(limits.pool_rpm, 435, 66),
    "pool-tpm": Scenario(limits.pool_tpm, 315, 100),
    "affinity": Scenario(affinity.affinity, 10, 5),
    "provider-dies": Scenario(outages.provider_dies, 110, 60),
    "provider-returns": Scenario(outages.provider_returns, 46, 30),
    "worker-killed": Scenario(upkeep.worker_killed, 28, 17),
    "reloads": Scenario(upkeep.reloads, 22, 12),
    "hostile": Scenario(hostile.hostile, 75, 30),
    "bodies": Scenario(bodies.bodies, 420, 75),
}


def main() -> int:
    """Exit status: see the module."""
    options = _options()
    if options.list:
        for name, scenario in SCENARIOS.items():
            print(f"{name:<18}{scenario.full_s:>5} s, quick {scenario.quick_s:>4} s")
        return 0
    if options.render:
        _render()
        return 0
    if sys.platform != "linux":
        print("bench: Linux only (/proc)", file=sys.stderr)
        return 2
    machine.raise_open_files(OPEN_FILES)
    names = options.scenarios or list(SCENARIOS)
    findings: list[Finding] = []
    for name in names:
        findings += _run(name, quick=options.quick)
    print(markdown(findings))
    if not options.quick and len(names) == len(SCENARIOS):
        _keep(findings)
    for one in missed(findings):
        say(f"bench: missed: {one.scenario}: {one.what}: {one.measured}, must be {one.must}")
    return 1 if missed(findings) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.resilience", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--quick", action="store_true", help="a short form of each")
    parser.add_argument("--list", action="store_true", help="only tell how long each takes")
    parser.add_argument("--render", action="store_true", help="the newest record into README")
    options = parser.parse_args()
    for name in options.scenarios:
        if name not in SCENARIOS:
            parser.error(f"no scenario {name}: there are {', '.join(SCENARIOS)}")
    return options


def _run(name: str, *, quick: bool) -> list[Finding]:
    """The findings of one scenario; what it could not do is one of them."""
    scenario = SCENARIOS[name]
    expected_s = scenario.quick_s if quick else scenario.full_s
    say(f"{name}: about {expected_s} s")
    begun_at = time.monotonic()
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="ccrelay-resilience-") as folder:
        stage = Stage(Path(folder), quick=quick)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                findings = runner.run(_until_told(scenario.run(stage)))
        except* StageError as errors:
            for error in errors.exceptions:
                say(f"bench: {name}: {error}")
            failed = Findings(name)
            failed.exactly("scenarios that could not be played", 1, 0)
            findings = failed.all
        finally:
            stage.clear()
    say(f"{name}: {time.monotonic() - begun_at:.0f} s")
    return findings


async def _until_told(scenario: Awaitable[list[Finding]]) -> list[Finding]:
    """SIGTERM ends it like Ctrl-C, so that no process is left behind."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await scenario


def _keep(findings: list[Finding]) -> None:
    record: dict[str, Any] = {
        "commit": machine.commit(ROOT),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": machine.facts(),
        "findings": plain(findings),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"resilience-{record['commit']}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    say(f"bench: recorded in {path.relative_to(ROOT)}")


def _render() -> None:
    records = [json.loads(path.read_text()) for path in RESULTS.glob("resilience-*.json")]
    if not records:
        raise SystemExit("bench: nothing is recorded yet: run `python -m bench.resilience` first")
    record = max(records, key=lambda one: one["date"])
    about = f"Commit {record['commit']}, {record['date']}, {record['machine']['CPU']}.\n\n"
    table = markdown(Finding(**row) for row in record["findings"])
    before, found, rest = README.read_text().partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not (found and found_end):
        raise SystemExit(f"bench: {README} lacks the markers {BEGIN} and {END}")
    README.write_text(f"{before}{BEGIN}\n\n{about}{table}\n\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main())
