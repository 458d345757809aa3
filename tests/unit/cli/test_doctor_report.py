"""Running checks at the same time, and the report that is printed."""

import threading
import time

import click
import pytest

from ccrelay.cli.doctor_report import (
    Check,
    Finding,
    Progress,
    as_json,
    counts,
    format_finding,
    print_text,
    run_checks,
    summary,
)

OK = Finding("ok", "one", "fine")
WARN = Finding("warn", "two", "so so", "It may matter.", "do this")
FAIL = Finding("FAIL", "three", "broken", cost_micros=400)


def test_findings_come_in_the_order_of_the_checks_whichever_ends_first() -> None:
    gate = threading.Event()

    def slow() -> list[Finding]:
        gate.wait(5)
        return [OK]

    def fast() -> list[Finding]:
        gate.set()
        return [WARN, FAIL]

    assert run_checks([Check("a", slow), Check("b", fast)], 5.0) == [OK, WARN, FAIL]


def test_a_check_that_hangs_fails_alone() -> None:
    gate = threading.Event()
    started = time.monotonic()
    checks = [Check("hung", lambda: gate.wait(30) and []), Check("b", lambda: [OK])]
    found = run_checks(checks, 0.2)
    gate.set()
    assert time.monotonic() - started < 2
    assert found == [Finding("FAIL", "hung", "no result within 0.2 s"), OK]


def test_a_check_that_raises_fails_alone() -> None:
    def broken() -> list[Finding]:
        raise RuntimeError("boom")

    first, second = run_checks([Check("x", broken), Check("b", lambda: [OK])], 5.0)
    assert (first.verdict, first.subject) == ("FAIL", "x")
    assert "boom" in first.text
    assert second == OK


def test_progress_is_told_while_checks_run() -> None:
    told: list[tuple[int, int]] = []
    gate = threading.Event()

    def tell(done: int, of: int) -> None:
        told.append((done, of))
        gate.set()

    run_checks([Check("a", lambda: [OK] if gate.wait(5) else [])], 5.0, tell)
    assert told[0] == (0, 1)


def test_progress_is_for_terminals_only(capfd: pytest.CaptureFixture[str]) -> None:
    progress = Progress(is_wanted=True)
    progress.tell(1, 2)
    progress.clear()
    assert capfd.readouterr() == ("", "")


def test_the_lines_of_a_finding() -> None:
    assert format_finding(WARN, 6, 80, is_coloured=False) == [
        "warn  two     so so",
        "              It may matter.",
        "              do:  do this",
    ]


def test_long_text_is_wrapped_and_a_command_is_not() -> None:
    command = "ccrelay " + "x" * 90
    lines = format_finding(
        Finding("FAIL", "s", "word " * 30, "more " * 30, command), 4, 60, is_coloured=False
    )
    assert all(len(line) <= 60 for line in lines[:-1])
    assert lines[-1].endswith(command)
    assert all(line.startswith(" " * 12) for line in lines[1:])


def test_text_from_elsewhere_cannot_control_the_terminal() -> None:
    hostile = Finding("FAIL", "p/\x1b[2J", "a\x1b]0;x\x07\nok    all  fine", "\u202e", "\x9b1m")
    text = "\n".join(format_finding(hostile, 6, 80, is_coloured=False))
    assert not any(char in text for char in "\x1b\x07\u202e\x9b")
    assert "\nok " not in text


def test_only_the_verdict_has_a_colour() -> None:
    [line] = format_finding(OK, 6, 80, is_coloured=True)
    assert line.startswith(click.style("ok", fg="green"))
    assert click.unstyle(line) == "ok    one     fine"


@pytest.mark.parametrize(
    ("findings", "text"),
    [
        ([OK], "no failures, no warnings, 1 ok. Nothing was changed."),
        ([OK, WARN], "no failures, 1 warning, 1 ok. Nothing was changed."),
        (
            [FAIL, FAIL, WARN, WARN],
            "2 failures, 2 warnings, 0 ok. Nothing was changed. Test requests cost $0.0008.",
        ),
    ],
)
def test_the_last_line(findings: list[Finding], text: str) -> None:
    assert summary(findings) == text


def test_the_report_for_programs() -> None:
    report = as_json([OK, WARN, FAIL])
    assert counts([OK, WARN, FAIL]) == (1, 1, 1)
    assert report["ok"] is False
    assert (report["failures"], report["warnings"], report["good"]) == (1, 1, 1)
    assert report["cost_micros"] == 400
    assert report["findings"][1] == {  # type: ignore[index]
        "verdict": "warn",
        "subject": "two",
        "finding": "so so",
        "meaning": "It may matter.",
        "do": "do this",
    }


def test_a_report_for_a_narrow_terminal_fits_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    print_text([OK, Finding("warn", "a subject of many words", "word " * 30, "more " * 30)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{click.style('ok', fg='green')}    one                      fine"
    assert all(len(click.unstyle(line)) <= 40 for line in lines)
