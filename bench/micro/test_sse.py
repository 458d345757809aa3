"""Speed of the SSE tap: small events in one piece, one by one, and one large event.

python -m pytest bench/micro/test_sse.py -s --benchmark-disable-gc
"""

from collections.abc import Callable
from typing import Any

import pytest

from ccrelay._fast.sse import SseTap

EVENT = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"hello wor"}}\n\n'
)
COUNT = 2000


@pytest.fixture
def rate(
    benchmark: Any, capsys: pytest.CaptureFixture[str]
) -> Callable[[Callable[[], object], int, int], None]:
    def run(work: Callable[[], object], size: int, events: int) -> None:
        benchmark(work)
        if benchmark.stats is None:
            return  # --benchmark-disable: run once, nothing to tell
        best_s = benchmark.stats.stats.min
        with capsys.disabled():
            print(
                f" {size / best_s / 1e6:,.0f} MB/s, {best_s / events * 1e9:,.0f} ns/event", end=""
            )

    return run


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_many_events_in_one_piece(
    rate: Callable[[Callable[[], object], int, int], None], line_end: bytes
) -> None:
    stream = EVENT.replace(b"\n", line_end) * COUNT
    tap = SseTap()
    rate(lambda: tap.feed_bytes(stream), len(stream), COUNT)
    assert tap.events % COUNT == 0


def test_one_event_at_a_time(rate: Callable[[Callable[[], object], int, int], None]) -> None:
    tap = SseTap()

    def work() -> None:
        feed = tap.feed_bytes
        for _ in range(COUNT):
            feed(EVENT)

    rate(work, len(EVENT) * COUNT, COUNT)


def test_events_without_a_name(rate: Callable[[Callable[[], object], int, int], None]) -> None:
    stream = EVENT[EVENT.index(b"data") :] * COUNT
    tap = SseTap()
    rate(lambda: tap.feed_bytes(stream), len(stream), COUNT)


def test_one_large_event(rate: Callable[[Callable[[], object], int, int], None]) -> None:
    stream = b"event: content_block_delta\ndata: " + b"x" * 1_000_000 + b"\n\n"
    tap = SseTap()
    rate(lambda: tap.feed_bytes(stream), len(stream), 1)
