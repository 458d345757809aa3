"""What `ccrelay doctor` found, how its checks run, and how it is printed."""

import sys
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import click

from ccrelay.money import dollars
from ccrelay.printable import printable

Verdict = Literal["ok", "warn", "FAIL"]

_COLOURS = {"ok": "green", "warn": "yellow", "FAIL": "red"}
_SUBJECT_MAX = 28  # characters; longer ones push their line
_WIDTH_COLUMNS = 60  # narrower: sentences go below their subject
_WIDTH_MAX = 110
_PROGRESS_EVERY_S = 0.1


class Finding(NamedTuple):
    """One line: what was looked at, and how it is.

    Args:
        verdict: `ok`, `warn` or `FAIL`.
        subject: what it is about, one or two words, or `provider/key`.
        text: one sentence without a full stop.
        meaning: what a failure means; sentences.
        do: one command, or one thing to do.
        cost_micros: what finding out cost, millionths of a US dollar.
    """

    verdict: Verdict
    subject: str
    text: str
    meaning: str = ""
    do: str = ""
    cost_micros: int = 0


class Check(NamedTuple):
    """A check: what it is called while it runs, and what it does."""

    subject: str
    run: Callable[[], Sequence[Finding]]


def run_checks(
    checks: Sequence[Check],
    limit_s: float,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> list[Finding]:
    """Run checks at the same time; return their findings in the order of the checks.

    A check that has no result in time, or that raises, is a failure of its own: the others count.

    Args:
        checks: none may change anything.
        limit_s: for all of them.
        tell: is called with how many are done, while others run.
    """
    results: dict[int, Sequence[Finding]] = {}
    threads = [
        threading.Thread(target=_run, args=(check, number, results), daemon=True)
        for number, check in enumerate(checks)
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + limit_s
    for thread in threads:
        while thread.is_alive() and time.monotonic() < end:
            tell(len(results), len(checks))
            thread.join(min(_PROGRESS_EVERY_S, max(end - time.monotonic(), 0)))
    found: list[Finding] = []
    for number, check in enumerate(checks):
        late = Finding("FAIL", check.subject, f"no result within {limit_s:g} s")
        found += results.get(number, [late])
    return found


def _run(check: Check, number: int, results: dict[int, Sequence[Finding]]) -> None:
    try:
        results[number] = check.run()
    except Exception as error:  # outermost shell of a check
        text = f"the check itself failed: {type(error).__name__}: {error}"
        results[number] = [
            Finding("FAIL", check.subject, text, do="report this, with `ccrelay version`")
        ]


class Progress:
    """One line on a terminal that says how far the checks are; elsewhere nothing."""

    def __init__(self, *, is_wanted: bool) -> None:
        self._is_on = is_wanted and sys.stderr is not None and sys.stderr.isatty()

    def tell(self, done: int, of: int) -> None:
        """Show it."""
        if self._is_on:
            click.echo(f"\r\x1b[Kchecking, {done} of {of} done", err=True, nl=False)

    def clear(self) -> None:
        """Remove it."""
        if self._is_on:
            click.echo("\r\x1b[K", err=True, nl=False)


def counts(findings: Sequence[Finding]) -> tuple[int, int, int]:
    """Return how many failures, warnings and good findings there are."""
    verdicts = [finding.verdict for finding in findings]
    return verdicts.count("FAIL"), verdicts.count("warn"), verdicts.count("ok")


def print_text(findings: Sequence[Finding]) -> None:
    """Print a report for people."""
    from ccrelay.cli.screen import find_screen, write_lines

    screen = find_screen()
    width = min(screen.width, _WIDTH_MAX)
    subject_width = min(max((len(f.subject) for f in findings), default=0), _SUBJECT_MAX)
    lines: list[str] = []
    for finding in findings:
        lines += format_finding(finding, subject_width, width, is_coloured=screen.colour)
    write_lines([*lines, "", *screen.wrap(summary(findings))])


def format_finding(
    finding: Finding, subject_width: int, width: int, *, is_coloured: bool
) -> list[str]:
    """Return the lines of one finding; what came from elsewhere is escaped."""
    head = f"{finding.verdict:<5} {printable(finding.subject):<{subject_width}}  "
    indent = " " * (subject_width + 8 if width >= _WIDTH_COLUMNS else 2)
    lines = _wrapped(finding.text, head, indent, width)
    lines += _wrapped(finding.meaning, indent, indent, width)
    lines += [f"{indent}do:  {_one_line(finding.do)}"] if finding.do else []  # to be copied: whole
    if is_coloured:
        verdict = click.style(finding.verdict, fg=_COLOURS[finding.verdict])
        lines[0] = verdict + lines[0][len(finding.verdict) :]
    return lines


def _wrapped(text: str, first: str, indent: str, width: int) -> list[str]:
    return textwrap.wrap(
        _one_line(text),
        width,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def summary(findings: Sequence[Finding]) -> str:
    """Return the last line."""
    failures, warnings, good = counts(findings)
    parts = [_counted(failures, "failure"), _counted(warnings, "warning"), f"{good} ok"]
    cost = sum(finding.cost_micros for finding in findings)
    paid = f" Test requests cost {dollars(cost)}." if cost else ""
    return f"{', '.join(parts)}. Nothing was changed.{paid}"


def _counted(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"


def as_json(findings: Sequence[Finding]) -> dict[str, object]:
    """Return a report for programs."""
    failures, warnings, good = counts(findings)
    return {
        "ok": failures == 0,
        "failures": failures,
        "warnings": warnings,
        "good": good,
        "cost_micros": sum(finding.cost_micros for finding in findings),
        "findings": [
            {
                "verdict": finding.verdict.lower(),
                "subject": finding.subject,
                "finding": finding.text,
                "meaning": finding.meaning,
                "do": finding.do,
            }
            for finding in findings
        ],
    }
