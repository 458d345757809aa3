"""From recorded rounds to tables: paired ratios, medians, verdicts, Markdown. No measuring here.

A record (`bench/results/COMMIT.json`) holds `commit`, `date`, `rounds`, `machine`, `precautions`,
`runs` (scenario, peer, round, figures: see `run.condense`) and `memory` (see `bench.memory`).

Ratios are paired: each round against nginx of the same round, then the median over the rounds,
because the speed of a shared machine drifts by more between rounds than peers differ.
"""

import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.loopback.scenarios import PEERS, SCENARIOS, TARGETS, Scenario, Target

BEGIN, END = "<!-- begin: rendered tables -->", "<!-- end: rendered tables -->"
NOTHING = "-"

OURS = tuple(name for name in PEERS if name.startswith("ccrelay"))

Figures = dict[str, Any]
Row = dict[str, str]


class Record:
    """One recorded run of the bench, asked by scenario and peer."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self._rounds: dict[tuple[str, str], dict[int, Figures]] = {}
        for run in data["runs"]:
            rounds = self._rounds.setdefault((run["scenario"], run["peer"]), {})
            rounds[run["round"]] = run["figures"]

    def peers(self, scenario: str) -> list[str]:
        """Who took part, in the order of the first round."""
        return [peer for name, peer in self._rounds if name == scenario]

    def rounds(self, scenario: str, peer: str) -> dict[int, Figures]:
        """The rounds that gave figures."""
        found = self._rounds.get((scenario, peer), {})
        return {n: figures for n, figures in found.items() if "failed" not in figures}

    def values(self, scenario: str, peer: str, figure: str) -> list[float]:
        """One figure of all rounds; empty when it was not measured."""
        rounds = self.rounds(scenario, peer).values()
        return [figures[figure] for figures in rounds if figure in figures]

    def ratios(self, scenario: str, peer: str, figure: str) -> list[float]:
        """A figure against that of nginx in the same round."""
        mine, theirs = (self.rounds(scenario, p) for p in (peer, reference(scenario)))
        return [
            mine[n][figure] / theirs[n][figure] for n in mine if n in theirs and theirs[n][figure]
        ]

    def added(self, scenario: str, peer: str, figure: str) -> dict[int, float]:
        """By round: how much more latency than without a relay, us."""
        mine, direct = self.rounds(scenario, peer), self.rounds(scenario, "direct")
        return {n: mine[n][figure] - direct[n][figure] for n in mine if n in direct}

    def added_ratios(self, scenario: str, peer: str) -> list[float]:
        """Added p50 against that of nginx in the same round."""
        mine = self.added(scenario, peer, "p50_us")
        theirs = self.added(scenario, reference(scenario), "p50_us")
        return [mine[n] / theirs[n] for n in mine if theirs.get(n, 0) > 0]

    def more(self, scenario: str, figure: str) -> list[float]:
        """A figure of the second special peer less that of the first in the same round."""
        few, many = (self.rounds(scenario, peer) for peer in SCENARIOS[scenario].only)
        return [many[n][figure] - few[n][figure] for n in many if n in few]

    def times(self, scenario: str, figure: str) -> list[float]:
        """A figure of the second special peer against that of the first in the same round."""
        first, second = (self.rounds(scenario, peer) for peer in SCENARIOS[scenario].only)
        return [
            second[n][figure] / first[n][figure] for n in second if n in first and first[n][figure]
        ]

    def errors(self, scenario: str, peer: str) -> dict[str, int]:
        """All that went wrong in all rounds, by kind."""
        found: dict[str, int] = {}
        for figures in self._rounds.get((scenario, peer), {}).values():
            for kind, n in figures["errors"].items():
                found[kind] = found.get(kind, 0) + n
        return found

    def ran(self, peers: Iterable[str]) -> bool:
        """Whether any of them took part in anything."""
        return any(peer in peers for _, peer in self._rounds)

    def all_errors(self, peers: Iterable[str] | None = None) -> int:
        """How often anything went wrong, for these peers or for all."""
        chosen = None if peers is None else set(peers)
        keys = [key for key in self._rounds if chosen is None or key[1] in chosen]
        return sum(sum(self.errors(*key).values()) for key in keys)


def reference(scenario: str) -> str:
    """The peer that others are compared with."""
    return "nginx_tls" if SCENARIOS[scenario].tls else "nginx"


# ---- targets ----


def measured(record: Record, target: Target) -> list[float]:
    """The quantity of a target, one value per round (or one in all)."""
    if target.quantity == "errors":
        if not record.ran(OURS):
            return []
        # The log may have been silent, which is an error of ccrelay too.
        return [record.all_errors(OURS) + len(record.data.get("notes", []))]
    scenario = target.scenario
    peer = "ccrelay_tls" if SCENARIOS[scenario].tls else "ccrelay"
    ask: dict[str, Callable[[], list[float]]] = {
        "cpu": lambda: record.ratios(scenario, peer, "cpu_us"),
        "added_p50": lambda: record.added_ratios(scenario, peer),
        "complete_percent": lambda: [
            100 * f["done"] / f["wanted"] for f in record.rounds(scenario, peer).values()
        ],
        "kb_per_stream": lambda: record.values(scenario, peer, "kb_per_stream"),
        "first_event": lambda: record.ratios(scenario, peer, "first_us"),
        "cpu_more_us": lambda: record.more(scenario, "cpu_us"),
        "cpu_times": lambda: record.times(scenario, "cpu_us"),
        "start_s": lambda: record.values(scenario, peer, "start_s"),
        "idle_mb": lambda: [kb / 1024 for kb in record.values(scenario, peer, "idle_pss")],
    }
    return ask[target.quantity]()


def verdict(target: Target, values: list[float]) -> str:
    """In words, for the value that counts: the median, or the worst where all must be well."""
    if not values:
        return "not measured"
    sign = -1 if target.at_least else 1
    value = sign * decisive(target, values)
    if value <= sign * target.aim:
        return "reaches the aim"
    if target.must is None:
        return "measured"
    return "holds the must" if value <= sign * target.must else "MISSES"


def decisive(target: Target, values: list[float]) -> float:
    """One value for all rounds."""
    return min(values) if target.at_least else statistics.median(values)


def summary(record: Record) -> list[Row]:
    """One row per target."""
    rows = []
    for target in TARGETS:
        values = measured(record, target)
        rows.append(
            {
                "quantity": target.label,
                "scenario": target.scenario or "all",
                "measured": _bound(decisive(target, values), target) if values else NOTHING,
                "rounds (low to high)": _spread(values),
                "must": NOTHING if target.must is None else _bound(target.must, target),
                "aim": _bound(target.aim, target),
                "verdict": verdict(target, values),
            }
        )
    return rows


def _bound(value: float, target: Target) -> str:
    if target.quantity == "errors":
        return f"{value:,.0f}"
    digits = 0 if target.unit in ("%", "MB") else 1 if target.unit == "KB" else 2
    text = f"{value:,.{digits}f}"
    return f"{text}{target.unit}" if target.unit in ("x", "%") else f"{text} {target.unit}"


def _spread(values: list[float]) -> str:
    return f"{min(values):,.2f} to {max(values):,.2f}" if len(values) > 1 else NOTHING


# ---- tables ----


def show(values: Iterable[float], digits: int = 1) -> str:
    """The median, or a dash."""
    known = list(values)
    return f"{statistics.median(known):,.{digits}f}" if known else NOTHING


def load_row(record: Record, name: str, peer: str) -> Row:
    """One peer in a scenario of requests or streams."""
    scenario: Scenario = SCENARIOS[name]
    unit = "event" if scenario.kind == "streams" else "request"
    row, ours = {"peer": peer}, peer != "direct"
    if scenario.streams:
        done, wanted = (record.values(name, peer, figure) for figure in ("done", "wanted"))
        row["streams done"] = f"{show(done, 0)} of {show(wanted, 0)}"
    if scenario.at_once:
        row["first event us"] = show(record.values(name, peer, "first_us"))
        firsts = record.ratios(name, peer, "first_us")
        row["first event / nginx"] = show(firsts, 2) if ours else NOTHING
    row |= {
        f"{unit}s/s": show(record.values(name, peer, "rate"), 0),
        "p50 us": show(record.values(name, peer, "p50_us")),
        "p99 us": show(record.values(name, peer, "p99_us")),
    }
    row["added p50 us"] = show(record.added(name, peer, "p50_us").values()) if ours else NOTHING
    row["added p99 us"] = show(record.added(name, peer, "p99_us").values()) if ours else NOTHING
    calm = ours and scenario.calm
    row["added p50 / nginx"] = show(record.added_ratios(name, peer), 2) if calm else NOTHING
    row[f"CPU us/{unit}"] = show(record.values(name, peer, "cpu_us")) if ours else NOTHING
    row["CPU / nginx"] = show(record.ratios(name, peer, "cpu_us"), 2) if ours else NOTHING
    if scenario.streams:
        row["KB/stream"] = show(record.values(name, peer, "kb_per_stream"))
    return row | {"errors": _errors(record, name, peer)}


def start_row(record: Record, name: str, peer: str) -> Row:
    """One peer in the scenario of cold starts."""

    def mb(figure: str) -> str:
        return show(kb / 1024 for kb in record.values(name, peer, figure))

    return {
        "peer": peer,
        "processes": show(record.values(name, peer, "idle_processes"), 0),
        "first answer s": show(record.values(name, peer, "start_s"), 3),
        "idle PSS MB": mb("idle_pss"),
        "of it anonymous": mb("idle_anon"),
        "PSS MB after the requests": mb("used_pss"),
        "of that anonymous": mb("used_anon"),
        "errors": _errors(record, name, peer),
    }


def _errors(record: Record, name: str, peer: str) -> str:
    found = record.errors(name, peer)
    return ", ".join(f"{kind}: {n:,}" for kind, n in found.items()) or "0"


def table(rows: list[Row]) -> str:
    """A Markdown table; rows have the same keys in the same order."""
    if not rows:
        return "nothing was measured\n"
    lines = ["| " + " | ".join(rows[0]) + " |", "|---" * len(rows[0]) + "|"]
    lines += ["| " + " | ".join(row.values()) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def markdown(record: Record) -> str:
    """All tables of a record: the run, the targets, the scenarios."""
    data = record.data
    about = {"commit": data["commit"], "date": data["date"], "rounds": str(data["rounds"])}
    about |= data["machine"]
    parts = ["### The run\n", table([{"": k, " ": v} for k, v in about.items()])]
    parts.append("\n".join(f"- {line}" for line in data["precautions"] + data.get("notes", [])))
    parts.append(f"- time that the hypervisor took away: {_steal_s(record):.1f} s in all runs\n")
    parts += ["### Targets\n", table(summary(record))]
    for name, scenario in SCENARIOS.items():
        row = start_row if scenario.kind == "start" else load_row
        if peers := record.peers(name):
            parts += [f"### {name}: {scenario.title}\n"]
            parts += [table([row(record, name, peer) for peer in peers])]
    if data.get("memory"):
        parts += ["### Memory per exchange\n", table(data["memory"])]
    return "\n".join(parts)


def _steal_s(record: Record) -> float:
    ticks: int = sum(run["figures"].get("steal_ticks", 0) for run in record.data["runs"])
    return ticks / 100


def render(readme: Path, record: Record) -> None:
    """Write the tables into the README, between its markers."""
    replace_between(readme, BEGIN, END, markdown(record))


def replace_between(page: Path, begin: str, end: str, text: str) -> None:
    """Write text into a page between two markers. Raises SystemExit when they are not there."""
    before, found, rest = page.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise SystemExit(f"bench: {page} lacks the markers {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}")
