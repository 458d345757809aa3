"""A management API with very many exchanges, and what a tab does with them: frames and memory."""

import asyncio
import itertools
import json
import math
import statistics
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from ccrelay.v1 import exchanges_pb2 as ex
from tests.browser.design import Design
from tests.browser.relay import PATIENCE_S

PIXELS = 200  # a frame: 12,000 pixels a second at 60 frames, a quick turn of the wheel
WATCHED = "blink::NetworkResourcesData"  # see `heap_mb`
PERIOD_S = 0.1  # as the relay: messages of a stream come no faster
# A text to scroll that costs a browser next to nothing: the unit of this machine.
BARE = "<div class=xbox><div class=tb style='height: 600px; overflow: auto'>%s</div></div>" % (
    "<p>A line of text</p>" * 1000
)
# Scrolls the table by so many pixels each frame, to its end or for so many frames; gives the time
# of each.
_SCROLL = """([pixels, frames]) => new Promise(resolve => {
  const box = document.querySelector(".xbox .tb");
  const whole = box.scrollHeight - box.clientHeight;
  const times = [];
  let before = performance.now();
  let frame = 0;
  requestAnimationFrame(function step(at) {
    times.push(at - before);
    before = at;
    frame += 1;
    box.scrollTop = Math.min(whole, frame * pixels);
    if (frame < frames && frame * pixels < whole) requestAnimationFrame(step);
    else resolve(times.slice(2));
  });
})"""


class Many(Design):
    """The relay of the design with `count` exchanges in its ledger, and `rate` more each second."""

    def __init__(self, count: int, rate: int = 0) -> None:
        super().__init__()
        self.rate = rate
        self.sent = 0
        self.last = ""
        """Id of the newest that was sent."""
        self.pause_at = math.inf
        """After how many there is a pause."""
        self._numbers = itertools.count(1)
        patterns = self.exchanges
        self._patterns = itertools.cycle(patterns)
        self.exchanges = [self.next(self.began_ms - at * 40) for at in range(count)]

    def next(self, started_at_ms: int) -> ex.Exchange:
        """Another exchange."""
        one = ex.Exchange()
        one.CopyFrom(next(self._patterns))
        one.id = f"req_ccrelay_{next(self._numbers):012x}"
        one.started_at_ms, one.duration_ms = started_at_ms, 20.0
        if one.kind == "count_tokens":
            one.kind = "messages"
        return one

    async def list_exchanges(self, request: Any, context: Any) -> Any:
        begin = int(request.page_token or 0)
        size = request.page_size or 100
        rows = self.exchanges[begin : begin + size]
        following = str(begin + size) if begin + size < len(self.exchanges) else ""
        return ex.ExchangesListResponse(exchanges=rows, next_page_token=following)

    async def tail(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield ex.TailResponse()
        began, due = time.monotonic(), 0
        while True:
            await asyncio.sleep(PERIOD_S)
            wanted = int((time.monotonic() - began) * self.rate)
            count = int(min(wanted - due, self.pause_at - self.sent))
            due = wanted
            if count > 0:
                yield self._fresh(count)

    def _fresh(self, count: int) -> ex.TailResponse:
        now_ms = self.now_ms()
        rows = [self.next(now_ms - 20) for _ in range(count)]
        self.last = rows[-1].id
        self.sent += count
        return ex.TailResponse(exchanges=rows)


class Frames(NamedTuple):
    """Times between frames while a table scrolls, milliseconds."""

    median: float
    p95: float
    slowest: float
    count: int
    rows: int
    cpu: float
    """CPU of the page's main thread for one frame, milliseconds."""


def load_all(page: Any, count: int) -> None:
    """Scroll until the page has `count` rows."""
    box = "document.querySelector('.xbox .tb')"
    ends_at = time.monotonic() + PATIENCE_S
    while page.evaluate(f"{box}.scrollHeight") < count * 30:
        page.evaluate(f"{box}.scrollTop = {box}.scrollHeight")
        page.wait_for_timeout(50)
        assert time.monotonic() < ends_at, "older exchanges do not come"
    page.evaluate(f"{box}.scrollTop = 0")
    page.wait_for_timeout(300)


def scroll(page: Any, frames: int, pixels: int = PIXELS) -> Frames:
    """Scroll the table of exchanges from its beginning on, `pixels` each frame."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = _metric(session, "ThreadTime")
    times = sorted(page.evaluate(_SCROLL, [pixels, frames]))
    cpu_s = _metric(session, "ThreadTime") - before
    session.detach()
    rows = page.evaluate("document.querySelector('.xbox .tb').scrollHeight") // 30
    return Frames(
        median=statistics.median(times),
        p95=times[int(len(times) * 0.95)],
        slowest=times[-1],
        count=len(times),
        rows=rows,
        cpu=cpu_s * 1000 / len(times),
    )


def cpu(page: Any) -> float:
    """CPU of one frame, milliseconds: the least of three, as others use the machine too."""
    return min(scroll(page, 120).cpu for _ in range(3))


def _metric(session: Any, name: str) -> float:
    found = session.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in found if one["name"] == name)


def heap_mb(page: Any) -> float:
    """What the page has on its heap, megabytes: all that is reachable, as a snapshot has it.

    Counters of the browser also have what no collection has found yet. Without what the browser
    keeps of each call for Playwright, which watches them: no user's browser has that.
    """
    session = page.context.new_cdp_session(page)
    pieces: list[str] = []
    session.on("HeapProfiler.addHeapSnapshotChunk", lambda event: pieces.append(event["chunk"]))
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.takeHeapSnapshot", {"reportProgress": False})
    session.detach()
    found = json.loads("".join(pieces))
    fields = found["snapshot"]["meta"]["node_fields"]
    sizes = found["nodes"][fields.index("self_size") :: len(fields)]
    names = found["nodes"][fields.index("name") :: len(fields)]
    is_left_out = [text.startswith(WATCHED) for text in found["strings"]]
    kept = (size for size, name in zip(sizes, names, strict=True) if not is_left_out[name])
    return sum(kept) / 1e6


def nodes(page: Any) -> int:
    """Elements in the document."""
    count: int = page.evaluate("document.getElementsByTagName('*').length")
    return count
