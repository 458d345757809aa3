"""`python -m bench.ledger`: a million exchanges in a file of their own, and the figures.

Size, exchanges written per second, and the times of the queries that have a target, each the best
and the median of several. `--rows` makes it shorter. Exit status 1: a target was missed.
"""

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.ledger.records import DAYS, records
from ccrelay.store.filters import parse
from ccrelay.store.ledger import Ledger
from ccrelay.store.pages import bounds
from ccrelay.store.sessions import SessionsQuestion
from ccrelay.store.usage import Dimension, Question

MEMORY = "bench"
PIECE = 2000
PENDING_MAX = 20_000
REPEATS = 7
ROWS = 1_000_000
SIZE_MAX_MB = 120.0
MONTH_MAX_MS, PAGE_MAX_MS = 50.0, 300.0
SESSIONS_MAX_MS, ONE_SESSION_MAX_MS = 150.0, 10.0
SESSIONS = (
    ("", 0),
    ("", 86_400),
    ("project:project-7", 0),
    ("cost>0.50", 0),
    ("cost>0.50", 604_800),
)
FILTERS = (
    "provider:zai",
    "outcome:failover",
    "project:project-7 cost>0.50",
    "outcome:lost class:subagent",
    "session:beef",
    "first>60s",
    "model:opus -key:team-a tokens>900k",
    "no-such-name",
)


class Times(NamedTuple):
    """Milliseconds of one question. Others on the machine do not change the best much."""

    best: float
    median: float
    cpu: float


def main() -> int:
    """Exit status: 0; 1 when a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m bench.ledger", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--file", type=Path, help="keep the file here; default: a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(options.file or Path(folder, "ledger.db"), options.rows))


async def _measure(path: Path, rows: int) -> int:
    now = time.time()
    ledger = Ledger(str(path), 365)
    ledger.start()
    while not ledger.is_open:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    if await ledger.count() < rows:
        await _fill(ledger, rows, int(now * 1e6))
    await ledger.stop()
    size = path.stat().st_size / 1e6  # noqa: ASYNC240
    targets = [("file, MB", size * ROWS / rows, SIZE_MAX_MB)]
    print(f"{'size of the file':48} {size:10.1f} MB, {size * 1e6 / rows:.0f} bytes an exchange")
    ledger = Ledger(str(path), 365)
    ledger.start()
    while not ledger.is_open:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    targets += await _ask(ledger, now)
    await ledger.stop()
    missed = [name for name, value, most in targets if value > most]
    print(f"missed: {', '.join(missed)}" if missed else "all targets met")
    return 1 if missed else 0


async def _fill(ledger: Ledger, rows: int, end_us: int) -> None:
    made = records(rows, end_us)
    spent, position = 0.0, 0
    began = time.process_time()
    while piece := list(itertools.islice(made, PIECE)):
        spent += time.process_time() - began
        position += len(piece)
        ledger.submit(MEMORY, 0, position, piece)
        while ledger.pending > PENDING_MAX:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        began = time.process_time()
    started = time.monotonic()
    while ledger.pending:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    waited = time.monotonic() - started
    total = time.process_time()
    print(f"{'CPU of an exchange written, with making it':48} {total / rows * 1e6:10.1f} us")
    print(f"{'the last wait':48} {waited:10.2f} s")


async def _ask(ledger: Ledger, now: float) -> list[tuple[str, float, float]]:
    since_ms = int((now - DAYS * 86_400) * 1000)
    month = Question(("model", "day"), parse(""), since_ms, 0, int(now))
    took = await _timed(partial(ledger.usage, month))
    targets = [("a month by model and day", took.best, MONTH_MAX_MS)]
    _told("a month by model and day", took, MONTH_MAX_MS)
    first, end = bounds(0, 0)
    for text in FILTERS:
        chosen = parse(text)
        took = await _timed(partial(ledger.page, chosen, first=first, end=end, limit=100))
        _told(f"a page of {text!r}", took, PAGE_MAX_MS)
        targets.append((text, took.best, PAGE_MAX_MS))
    targets += await _ask_sessions(ledger, now)
    by: Dimension
    for by in ("session", "project"):
        question = Question((by,), parse(""), since_ms, 0, int(now))
        took = await _timed(partial(ledger.usage, question), 2)
        _told(f"a month by {by}", took)
    return targets


async def _ask_sessions(ledger: Ledger, now: float) -> list[tuple[str, float, float]]:
    targets = []
    for text, since in SESSIONS:
        at_ms = int((now - since) * 1000) if since else 0
        asked = SessionsQuestion(parse(text), at_ms, 0, 0, 100)
        took = await _timed(partial(ledger.sessions, asked))
        name = f"100 sessions of {text!r}" + (f", {since // 86_400} days" if since else "")
        _told(name, took, SESSIONS_MAX_MS if not text or text.startswith("session") else None)
        if not text:
            targets.append((name, took.best, SESSIONS_MAX_MS))
    (latest,) = await ledger.sessions(SessionsQuestion(parse(""), 0, 0, 0, 1))
    one = SessionsQuestion(parse(""), 0, 0, 0, 1, latest.session)
    took = await _timed(partial(ledger.sessions, one))
    _told("one session, by its id", took, ONE_SESSION_MAX_MS)
    targets.append(("one session", took.best, ONE_SESSION_MAX_MS))
    by_filter = SessionsQuestion(parse(f"session:{latest.session}"), 0, 0, 0, 1)
    _told("one session, by a filter", await _timed(partial(ledger.sessions, by_filter)))
    _told("matches of rules, all", await _timed(partial(ledger.rule_counts, 0), 3))
    day_ms = int((now - 86_400) * 1000)
    _told("matches of rules, a day", await _timed(partial(ledger.rule_counts, day_ms)))
    return targets


async def _timed(ask: Callable[[], Awaitable[object]], repeats: int = REPEATS) -> Times:
    """After one that warms up."""
    await ask()
    times = []
    cpu = time.process_time()
    for _ in range(repeats):
        began = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - began) * 1000)
    cpu_ms = (time.process_time() - cpu) * 1000 / repeats
    return Times(min(times), statistics.median(times), cpu_ms)


def _told(name: str, took: Times, most: float | None = None) -> None:
    limit = f"  (best: at most {most:g})" if most is not None else ""
    shown = f"best {took.best:8.1f}  median {took.median:8.1f}  CPU {took.cpu:8.1f} ms"
    print(f"{name:48} {shown}{limit}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
