"""What must be, what was measured, and whether the one holds the other. Pure."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One row of the table. `must` is "" for a figure that only informs."""

    scenario: str
    what: str
    must: str
    measured: str
    held: bool = True


class Findings:
    """The findings of one scenario, in order."""

    def __init__(self, scenario: str) -> None:
        self.scenario = scenario
        self.all: list[Finding] = []

    def at_most(self, what: str, value: float, most: float, unit: str = "") -> None:
        """Add a figure that must not be larger."""
        must = _figure(most, unit) if most == 0 else f"<= {_figure(most, unit)}"
        self._add(what, must, _figure(value, unit), held=value <= most)

    def at_least(self, what: str, value: float, least: float, unit: str = "") -> None:
        """Add a figure that must not be smaller."""
        self._add(what, f">= {_figure(least, unit)}", _figure(value, unit), held=value >= least)

    def exactly(self, what: str, value: float, wanted: float, unit: str = "") -> None:
        """Add a figure that must be this one."""
        self._add(what, _figure(wanted, unit), _figure(value, unit), held=value == wanted)

    def tell(self, what: str, measured: str) -> None:
        """Add what only informs."""
        self._add(what, "", measured, held=True)

    def _add(self, what: str, must: str, measured: str, *, held: bool) -> None:
        self.all.append(Finding(self.scenario, what, must, measured, held))


def markdown(findings: Iterable[Finding]) -> str:
    """The table for people; what was missed stands out."""
    lines = ["| scenario | what | must | measured |", "|---|---|---|---|"]
    for one in findings:
        measured = one.measured if one.held else f"**{one.measured}** MISSED"
        lines.append(f"| {one.scenario} | {one.what} | {one.must} | {measured} |")
    return "\n".join(lines)


def plain(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """The rows for a record."""
    return [asdict(one) for one in findings]


def missed(findings: Iterable[Finding]) -> list[Finding]:
    """Those that did not hold."""
    return [one for one in findings if not one.held]


def _figure(value: float, unit: str) -> str:
    number = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".rstrip("0").rstrip(".")
    return f"{number} {unit}".rstrip()
