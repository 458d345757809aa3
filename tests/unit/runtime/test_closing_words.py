"""What is said at the end, and when; sums are tested over processes (test_totals)."""

import asyncio

import pytest

from ccrelay.config.model import Config, Logging, Management
from ccrelay.runtime.closing_words import ClosingWords
from ccrelay.runtime.terminal import Terminal


class Pool:
    """What it asks of a pool."""

    def __init__(self, totals, log_format="text", management=True):
        config = Config(
            logging=Logging(format=log_format), management=Management(enabled=management)
        )
        self.snapshot = type("Snapshot", (), {"config": config})
        self._totals = totals

    def totals(self):
        return self._totals


class Log:
    def __init__(self):
        self.events = []

    def event(self, level, name, **fields):
        self.events.append((name, fields))

    def flush(self):
        self.events.append("flush")


class HungUp(Terminal):
    def has_hung_up(self):
        return True


def made(totals, terminal=Terminal(), says=True, **how):  # noqa: B008
    said, log = [], Log()
    closing = ClosingWords(Pool(totals, **how), log, terminal, 0.0, said.append if says else None)
    return closing, said, log


TOTALS = {"exchanges": 2, "lost": 1, "unpriced": 0}


def test_text_is_said_below_the_last_line_of_the_log():
    closing, said, log = made(TOTALS)
    closing.stopped(0, was_ready=True)
    assert log.events == [("stopped", {"exit_code": 0}), "flush"]
    assert said == ["\n0 s, 2 exchanges, 1 lost"]


def test_json_has_the_totals_in_its_event_and_nothing_is_said():
    closing, said, log = made(TOTALS, log_format="json")
    closing.stopped(1, was_ready=True)
    assert said == []
    assert log.events == [("stopped", {"exit_code": 1, "seconds": 0.0, **TOTALS})]


def test_json_without_exchanges_has_the_duration_only():
    closing, _, log = made({"exchanges": 0, "lost": 0}, log_format="json")
    closing.stopped(0, was_ready=True)
    assert log.events == [("stopped", {"exit_code": 0, "seconds": 0.0})]


@pytest.mark.parametrize("how", [{"says": False}, {"terminal": HungUp()}, {"log_format": "json"}])
def test_where_nobody_reads_nothing_is_said(how):
    closing, said, log = made(TOTALS, **how)
    asyncio.run(_stopping(closing, 3))
    closing.stopped(0, was_ready=True)
    assert said == []
    assert "flush" not in log.events


def test_what_never_served_has_no_totals():
    closing, said, _ = made({})
    closing.stopped(1, was_ready=False)
    assert said == []


def test_a_ledger_is_named_only_where_there_is_one():
    totals = {"exchanges": 1, "unpriced": 1}
    for management in (True, False):
        closing, said, _ = made(totals, management=management)
        closing.stopped(0, was_ready=True)
        assert said[0].endswith("ccrelay usage") is management


async def _stopping(closing, *active):
    """Of workers that have so much under way; None: one that exits instead of answering."""
    asked = []
    for count in active:
        reply = asyncio.get_running_loop().create_future()
        if count is None:
            reply.cancel()
        else:
            reply.set_result({"active": count})
        asked.append(reply)
    await closing.stopping(asked, 60.0)


@pytest.mark.parametrize(("active", "streams"), [((1, None, 2), "3 streams"), ((0, 1), "1 stream")])
def test_what_is_under_way_is_summed(active, streams):
    closing, said, _ = made({}, terminal=Terminal([0]))
    closing._terminal.has_hung_up = lambda: False
    asyncio.run(_stopping(closing, *active))
    assert said == [f"Stopping: {streams} under way, at most 60 s. Ctrl-C again cuts them."]


@pytest.mark.parametrize("active", [(), (0, 0), (None,)])
def test_when_nothing_is_under_way_nothing_is_said(active):
    closing, said, _ = made({})
    asyncio.run(_stopping(closing, *active))
    assert said == []
