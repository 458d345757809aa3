"""Lines and notices at a terminal. Keys that stay hidden: tests/process/test_first_run.py."""

import time

import pytest

from ccrelay.cli import prompts


def test_what_takes_longer_is_announced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with prompts.waiting("Asking ..."):
        pass
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(prompts, "NOTICE_AFTER_S", 0.0)
    with prompts.waiting("Asking ..."):
        deadline = time.monotonic() + 20
        out = ""
        while not out and time.monotonic() < deadline:
            time.sleep(0.01)
            out = capsys.readouterr().out
    assert out == "  Asking ...\n"


def test_texts_are_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text = prompts.wrapped("another service with the API of Anthropic", "   7  other  ", " " * 13)
    assert text.splitlines() == [
        "   7  other  another service with the",
        "             API of Anthropic",
    ]
