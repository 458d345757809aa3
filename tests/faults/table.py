"""The measured table of tests/faults/README.md."""

from pathlib import Path

from tests.faults.kinds import KINDS, Form, Kind
from tests.faults.measure import measure

PAGE = Path(__file__).parent / "README.md"
BEGIN = "<!-- begin: measured -->\n"
END = "<!-- end: measured -->\n"

_HEADINGS = (
    "the provider's fault",
    "`ccrelay mock`",
    "request",
    "one provider: the client gets",
    "first of three: the client gets",
    "its key",
    "its breaker counts",
    "Claude Code, first of two",
)


def table() -> str:
    """Return the measured table."""
    lines = [_row(_HEADINGS), _row(["---"] * len(_HEADINGS))]
    for kind in KINDS:
        lines += [_row(cells) for cells in _rows_of(kind)]
    return "".join(lines)


def page_table() -> str:
    """Return the table of the page."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0]


def render() -> None:
    """Write the table into the page."""
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    PAGE.write_text(before + begin + table() + end + after)


def _rows_of(kind: Kind) -> list[list[str]]:
    """One row per form, or one for both when the results are equal."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for form in kind.forms:
        alone, one_of_three = measure(kind, form, 1), measure(kind, form, 3)
        outcome = (alone.client, one_of_three.client, alone.key, alone.breaker)
        rows.setdefault(outcome, []).append(form.value)
    return [
        [
            kind.name,
            f"`{kind.options}`" if kind.options else "not started",
            " or ".join(forms),
            *outcome,
            # Claude Code asks for streams.
            kind.claude.value if Form.STREAM.value in forms else "",
        ]
        for outcome, forms in rows.items()
    ]


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |\n".replace("|  |", "| |")
