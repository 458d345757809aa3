"""Lines to a file descriptor from a thread, so that a stalled reader never stalls the loop.

One producer thread calls `put`; one daemon thread writes. Each counter has a single writer, so no
lock is taken per line. When the reader stalls, up to BUFFER_BYTES_MAX wait; beyond that lines are
dropped, counted, and the count is written as soon as the reader takes bytes again.
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

BUFFER_BYTES_MAX = (
    4 << 20
)  # waiting for a stalled reader: ~10,000 lines, a few seconds of full load
# That many waiting bytes are written without lingering. Each wake-up makes the loop's thread hand
# over the interpreter lock: at 64 KB, 10,000 exchanges a second spent 15 % of their time on that.
FLUSH_BYTES = 1 << 20
LINGER_S = 0.1  # otherwise lines are gathered this long: one wake-up and one write for many
FLUSH_LOOK_S = 0.005
# Beyond PIPE_BUF a pipe may mix the lines of several processes (POSIX write(2)).
PIPE_WRITE_BYTES = select.PIPE_BUF
FILE_WRITE_BYTES = 1 << 18


class LinePump:
    """Takes whole lines and writes them in order to `fd`, which stays the caller's to close.

    `report(dropped)` makes the line that tells of lost lines.
    """

    def __init__(self, fd: int, report: Callable[[int], bytes]) -> None:
        self._fd = fd
        self._report = report
        self._write_bytes = _write_bytes_max(fd)
        self._lines: deque[bytes] = deque()
        self._append = self._lines.append
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        # Written by the producer only
        self._put_bytes = 0
        self._dropped = 0
        self._closing = False
        # Written by the thread only
        self._gone_bytes = 0
        self._reported = 0
        # Set by the producer, cleared by the thread before it looks at the lines
        self._is_rung = False
        self._is_urgent = False
        self._thread = threading.Thread(target=self._run, name="ccrelay-log", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Queue one line (with its newline). Never blocks."""
        put_bytes = self._put_bytes + len(line)
        if put_bytes - self._gone_bytes > FLUSH_BYTES and not self._has_room(put_bytes):
            self._dropped += 1
            return
        self._put_bytes = put_bytes
        self._append(line)
        if not self._is_rung:
            self._is_rung = True
            self._bell.put(None)

    def hurry(self) -> None:
        """Write what is queued without lingering."""
        if not self._is_urgent:
            self._is_urgent = True
            self._bell.put(None)

    def flush(self, timeout_s: float = 2.0) -> bool:
        """Wait until what is queued is written; False when a stalled reader kept it waiting."""
        ends_at = time.monotonic() + timeout_s
        while self._gone_bytes < self._put_bytes:
            if time.monotonic() > ends_at:
                return False
            self._is_urgent = False
            self.hurry()
            time.sleep(FLUSH_LOOK_S)
        return True

    def _has_room(self, put_bytes: int) -> bool:
        self.hurry()
        return put_bytes - self._gone_bytes <= BUFFER_BYTES_MAX

    def close(self, timeout_s: float = 2.0) -> bool:
        """Write what is queued and end the thread; False when a stalled reader kept it waiting.

        Then the thread still holds the descriptor, and the lines are lost when the process exits.
        """
        self._closing = True
        self._bell.put(None)
        self._bell.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            self._bell.get()
            if not self._closing:
                with contextlib.suppress(queue.Empty):
                    self._bell.get(timeout=LINGER_S)
            self._is_rung = False
            self._is_urgent = False
            # Read before the lines are taken: what was put before close() is still written.
            last = self._closing
            self._write_all()
            if last:
                return

    def _write_all(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        for piece in pieces(lines, self._write_bytes):
            self._write(piece)
            self._gone_bytes += len(piece)
        lost = self._dropped - self._reported
        if lost:
            self._reported += lost
            self._write(self._report(lost))

    def _write(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # whoever gave us this descriptor made it non-blocking
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()
            except OSError:  # reader gone, disk full: there is nowhere to say so
                return


def pieces(lines: list[bytes], bytes_max: int) -> Iterator[bytes]:
    """Join whole lines into pieces of at most `bytes_max`; a longer line is a piece by itself."""
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
