"""Writes lines to a file descriptor from a thread, so that a stalled reader never blocks the loop.

One producer thread calls `put`; one daemon thread writes. Each counter has a single writer, so no
lock is taken per line. While the reader stalls, up to BUFFER_BYTES_MAX are queued; further lines
are dropped and counted, and the count is written once the reader reads again.
"""

import contextlib
import os
import queue
import select
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

# Queue for a stalled reader: ~10,000 lines, a few seconds of full load.
BUFFER_BYTES_MAX = 4 << 20
# So many queued bytes are written without lingering. Each wake-up makes the loop's thread release
# the interpreter lock: at 64 KB, 10,000 exchanges a second spent 15 % of their time on that.
FLUSH_BYTES = 1 << 20
LINGER_S = 0.1  # otherwise lines are collected this long: one wake-up and one write for many
FLUSH_POLL_S = 0.005
# Above PIPE_BUF a pipe may interleave the lines of several processes (POSIX write(2)).
PIPE_WRITE_BYTES = select.PIPE_BUF
FILE_WRITE_BYTES = 1 << 18


class LineWriter:
    """Queues complete lines and writes them in order to `fd`, which the caller closes.

    `report(dropped)` formats the line that reports dropped lines.
    """

    def __init__(self, fd: int, report: Callable[[int], bytes]) -> None:
        self._fd = fd
        self._report = report
        self._write_bytes = _write_bytes_max(fd)
        self._lines: deque[bytes] = deque()
        self._append = self._lines.append
        self._wakeups: queue.SimpleQueue[None] = queue.SimpleQueue()
        # Written by the producer only
        self._put_bytes = 0
        self._dropped = 0
        self._closing = False
        # Written by the thread only
        self._written_bytes = 0
        self._reported = 0
        # Set by the producer, cleared by the thread before it looks at the lines
        self._is_woken = False
        self._is_urgent = False
        self._thread = threading.Thread(target=self._run, name="ccrelay-log", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Queue one line (with its newline). Never blocks."""
        put_bytes = self._put_bytes + len(line)
        if put_bytes - self._written_bytes > FLUSH_BYTES and not self._has_room(put_bytes):
            self._dropped += 1
            return
        self._put_bytes = put_bytes
        self._append(line)
        if not self._is_woken:
            self._is_woken = True
            self._wakeups.put(None)

    def flush_soon(self) -> None:
        """Write the queued lines without lingering; returns at once."""
        if not self._is_urgent:
            self._is_urgent = True
            self._wakeups.put(None)

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Wait until the queued lines are written; False when a stalled reader prevented it."""
        ends_at = time.monotonic() + timeout_s
        while self._written_bytes < self._put_bytes:
            if time.monotonic() > ends_at:
                return False
            self._is_urgent = False
            self.flush_soon()
            time.sleep(FLUSH_POLL_S)
        return True

    def _has_room(self, put_bytes: int) -> bool:
        self.flush_soon()
        return put_bytes - self._written_bytes <= BUFFER_BYTES_MAX

    def close(self, timeout_s: float = 2.0) -> bool:
        """Write the queued lines and end the thread; False when a stalled reader prevented it.

        Then the thread still uses the descriptor, and the lines are lost when the process exits.
        """
        self._closing = True
        self._wakeups.put(None)
        self._wakeups.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            self._wakeups.get()
            if not self._closing:
                with contextlib.suppress(queue.Empty):
                    self._wakeups.get(timeout=LINGER_S)
            self._is_woken = False
            self._is_urgent = False
            # Read before the lines are: lines put before close() are still written.
            is_last = self._closing
            self._write_all()
            if is_last:
                return

    def _write_all(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        for batch in batches(lines, self._write_bytes):
            self._write(batch)
            self._written_bytes += len(batch)
        unreported = self._dropped - self._reported
        if unreported:
            self._reported += unreported
            self._write(self._report(unreported))

    def _write(self, batch: bytes) -> None:
        remaining = memoryview(batch)
        while remaining:
            try:
                remaining = remaining[os.write(self._fd, remaining) :]
            except BlockingIOError:  # the descriptor may be inherited as non-blocking
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()
            except OSError:  # reader gone, disk full: nothing can report it
                return


def batches(lines: list[bytes], bytes_max: int) -> Iterator[bytes]:
    """Join complete lines into batches of at most `bytes_max`; a longer line is its own batch."""
    gathered: list[bytes] = []
    size = 0
    for line in lines:
        if gathered and size + len(line) > bytes_max:
            yield b"".join(gathered)
            gathered, size = [], 0
        gathered.append(line)
        size += len(line)
    if gathered:
        yield b"".join(gathered)


def _write_bytes_max(fd: int) -> int:
    return FILE_WRITE_BYTES if stat.S_ISREG(os.fstat(fd).st_mode) else PIPE_WRITE_BYTES
