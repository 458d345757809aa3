"""The committed figures, and whether a measured one is still below its ceiling. No measuring here.

The record (`bench/results/instructions.json`) holds `commit`, `date`, `conditions` and `figures`
(by peer, instructions per request). Counts depend on the interpreter and on what the CPU has:
libraries choose other code with AVX2. So only figures of like conditions are compared.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TOLERANCE = 0.05  # above the committed figure
MUST, AIM = 80_000, 50_000  # instructions per small request, peer `TARGET_PEER`
TARGET_PEER = "ccrelay"

BEGIN, END = "<!-- begin: instructions -->", "<!-- end: instructions -->"

Figures = Mapping[str, float]
Record = dict[str, Any]


def conditions(python: str) -> dict[str, str]:
    """What figures depend on besides the code. `python`: the interpreter that is measured."""
    ask = "import platform as p; print(p.python_implementation(), p.python_version(), p.machine())"
    said = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    implementation, version, machine = said.stdout.split()
    flags = Path("/proc/cpuinfo").read_text().split()
    return {
        "Python": f"{implementation} {version}",
        "machine": machine,
        "AVX2": "yes" if "avx2" in flags else "no",
    }


def load(path: Path) -> Record:
    """The committed record. Raises SystemExit when there is none."""
    if not path.exists():
        raise SystemExit(f"bench: no figures in {path.name}: run with --save first")
    record: Record = json.loads(path.read_text())
    return record


def check(record: Record, here: Mapping[str, str], figures: Figures) -> tuple[bool, list[str]]:
    """Whether no figure is above its ceiling, and the sentences that say so."""
    if differences := [
        f"{what} was {then}, here it is {here.get(what)}"
        for what, then in record["conditions"].items()
        if here.get(what) != then
    ]:
        return True, [f"NOT CHECKED, not comparable: {'; '.join(differences)}"]
    lines, is_below = [], True
    for peer, figure in figures.items():
        committed = record["figures"].get(peer)
        if committed is None:
            lines.append(f"{peer}: FAILED: no committed figure")
            is_below = False
            continue
        change = figure / committed - 1
        verdict = "holds"
        if figure > committed * (1 + TOLERANCE):
            verdict = f"FAILED, more than {TOLERANCE:.0%} above"
            is_below = False
        elif change < -TOLERANCE:
            verdict = "holds; commit the lower figure (--save)"
        lines.append(
            f"{peer}: {thousands(figure)} measured, {thousands(committed)} committed "
            f"({record['commit']}), {change:+.1%}: {verdict}"
        )
    return is_below, lines


def thousands(figure: float) -> str:
    """As shown everywhere."""
    return f"{figure / 1000:,.1f} k"


def verdict(peer: str, figure: float) -> str:
    """Against the targets; "" for a peer that has none."""
    if peer != TARGET_PEER:
        return ""
    if figure <= AIM:
        return "reaches the aim"
    return "holds the must" if figure <= MUST else "MISSES"


def sentence(peer: str, figure: float) -> str:
    """What is printed of a peer."""
    found = f"{peer}: {thousands(figure)} instructions per request"
    if said := verdict(peer, figure):
        found += f" (must {thousands(MUST)}, aim {thousands(AIM)}: {said})"
    return found


def markdown(record: Record) -> str:
    """The table of a record."""
    about = ", ".join(f"{what} {value}" for what, value in record["conditions"].items())
    lines = [
        f"Commit {record['commit']}, {record['date']}; {about}.\n",
        "| peer | instructions per request | must | aim | verdict |",
        "|---|---|---|---|---|",
    ]
    for peer, figure in record["figures"].items():
        bounds = (thousands(MUST), thousands(AIM)) if peer == TARGET_PEER else ("-", "-")
        cells = (peer, thousands(figure), *bounds, verdict(peer, figure) or "-")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
