"""The end of `serve` in words: what is still under way, what all exchanges came to."""

import asyncio
import time
from collections.abc import Callable

from ccrelay.runtime import totals_text
from ccrelay.runtime.logs import LogWriter
from ccrelay.runtime.terminal import Terminal
from ccrelay.runtime.worker_pool import WorkerPool

STATS_WAIT_S = 1.0  # for what is under way when it stops; then it is not said
POLL_S = 30.0  # so much of the counts is lost when a worker dies without a word

Asked = list[asyncio.Future[dict[str, int]]]


class ClosingWords:
    """Says how it ends: to people where the banner was printed, to programs in the log.

    Args:
        pool: the workers, which count.
        log: receives the event `stopped`.
        terminal: the one that it was started in.
        started_at: of the first image, monotonic seconds; 0: now.
        say: prints where the banner was printed; None: nothing is said.
    """

    def __init__(
        self,
        pool: WorkerPool,
        log: LogWriter,
        terminal: Terminal,
        started_at: float,
        say: Callable[[str], None] | None,
    ) -> None:
        self._pool = pool
        self._log = log
        self._terminal = terminal
        self.started_at = started_at or time.monotonic()
        self._say = say
        # A reload does not change the log.
        self._is_text = pool.snapshot.config.logging.format == "text"

    async def poll(self) -> None:
        """Have the workers tell their totals now and then; until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            self._pool.poll_stats()

    async def stopping(self, asked: Asked, limit_s: float) -> None:
        """Say what is under way, if anything is.

        Args:
            asked: the counters of the workers, asked for before they drained.
            limit_s: seconds that they have.
        """
        if self._say is None or not self._may_say() or not asked:
            return
        done, _ = await asyncio.wait(asked, timeout=STATS_WAIT_S)
        streams = sum(reply.result().get("active", 0) for reply in done if not reply.cancelled())
        if streams:
            is_terminal = bool(self._terminal.fds)
            self._say(totals_text.stopping(streams, limit_s, is_terminal=is_terminal))

    def stopped(self, exit_code: int, *, was_ready: bool) -> None:
        """Log `stopped`, and say what all exchanges came to.

        Args:
            exit_code: what the process ends with.
            was_ready: whether it ever served.
        """
        seconds = time.monotonic() - self.started_at
        totals = self._pool.totals()
        if not self._is_text:
            told = totals if totals.get("exchanges") else {}
            seconds = round(seconds, 1)
            self._log.event("info", "stopped", exit_code=exit_code, seconds=seconds, **told)
            return
        self._log.event("info", "stopped", exit_code=exit_code)
        if self._say is not None and was_ready and self._may_say():
            self._log.flush()  # the last rows stand above
            has_ledger = self._pool.snapshot.config.management.enabled
            self._say("\n" + totals_text.summary(totals, seconds, has_ledger=has_ledger))

    def _may_say(self) -> bool:
        """Whether lines for people are printed: not beside JSON, nor to a closed terminal."""
        return self._is_text and not self._terminal.has_hung_up()
