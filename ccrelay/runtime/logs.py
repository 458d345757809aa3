"""The log of one process: events and exchanges as lines of JSON or text.

    {"at":"2026-11-22T19:40:01.123Z","event":"exchange","worker":0,"status":200,...}
    2026-11-22 19:40:01.123 info  worker 0 exchange status=200 ...

Lines are formatted by the caller and written by a thread (`line_writer`): formatting in the thread
would hold the interpreter lock for a whole batch, and the data plane would wait for it. All
processes append to the same file or pipe; lines are never split in a file, nor on a pipe up to
PIPE_BUF bytes.
"""

import json
import os
import re
import time
from collections.abc import Callable

from ccrelay._fast.log_line import JsonLine, TextLine
from ccrelay.config.model import Logging
from ccrelay.printable import printable_json
from ccrelay.runtime.line_writer import LineWriter
from ccrelay.types import LogEntry

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
STDERR_FD = 2

# Text values with other characters are quoted, as by the C of exchanges: with newlines, quotes or
# escape sequences in a model name a client could forge a log line or control the terminal.
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")


class LogWriter:
    """A `LogSink` that writes to a descriptor. Not thread-safe.

    Records must not have members named `at`, `level`, `event` or `worker`: the writer adds them.
    """

    def __init__(
        self,
        settings: Logging,
        *,
        worker_id: int | None = None,
        fd: int = STDERR_FD,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Open `settings.file`, or use `fd`. Raises OSError when the file cannot be opened."""
        self._threshold = LEVELS[settings.level]
        self._exchanges = settings.exchanges
        self._owned_fd = _open(settings.file) if settings.file is not None else None
        self._lines: _Lines = (JsonLines if settings.format == "json" else TextLines)(
            worker_id, now
        )
        self._writer = LineWriter(
            fd if self._owned_fd is None else self._owned_fd, self._lines.dropped
        )

    def event(self, level: str, name: str, **fields: object) -> None:
        """Write one event, unless its level is below the configured one."""
        weight = LEVELS.get(level, LEVELS["info"])
        if weight >= self._threshold:
            self._writer.put(self._lines.event(level, name, fields))
            if weight >= LEVELS["warning"]:
                self._writer.flush_soon()  # the process may exit right after it

    def exchange(self, entry: LogEntry) -> None:
        """Write the line of a finished exchange, if `logging.exchanges` is on."""
        if self._exchanges:
            self._writer.put(self._lines.exchange(entry))

    def flush(self) -> None:
        """Wait until the queued lines are written, at most two seconds for a stalled reader."""
        self._writer.flush()

    def close(self) -> None:
        """Write the queued lines and close the file; at most two seconds for a stalled reader."""
        is_written = self._writer.close()
        if is_written and self._owned_fd is not None:
            os.close(self._owned_fd)
            self._owned_fd = None


class _Timestamp:
    """Formatted time, cached per millisecond: under load several lines share one."""

    __slots__ = (
        "_format",
        "_now",
        "_second",
        "_second_text",
        "_to_struct",
        "ends_at",
        "starts_at",
        "text",
    )

    def __init__(
        self,
        now: Callable[[], float],
        format: str,
        to_struct: Callable[[float], time.struct_time],
    ) -> None:
        self._now = now
        self._format = format
        self._to_struct = to_struct
        self._second = -1.0
        self._second_text = b""
        # The text, and the millisecond for which it is valid.
        self.text = b""
        self.starts_at = self.ends_at = -1.0

    def read(self) -> bytes:
        """Return the current time in the layout, with milliseconds appended."""
        now = self._now()
        return self.text if self.starts_at <= now < self.ends_at else self.refresh(now)

    def refresh(self, now: float) -> bytes:
        """Format and cache the text of `now`, seconds since the epoch."""
        second = now // 1.0
        if second != self._second:
            self._second = second
            self._second_text = time.strftime(self._format, self._to_struct(second)).encode()
        millis = int((now - second) * 1000.0)
        self.text = b"%b%03d" % (self._second_text, millis)
        self.starts_at = second + millis / 1000.0
        self.ends_at = self.starts_at + 0.001
        return self.text


class _Lines:
    """Formats lines."""

    def event(self, level: str, name: str, fields: dict[str, object]) -> bytes:
        """Return the line of an event."""
        raise NotImplementedError

    def exchange(self, entry: LogEntry) -> bytes:
        """Return the line of an exchange."""
        raise NotImplementedError

    def dropped(self, dropped: int) -> bytes:
        """Return the line that reports lines dropped because of a stalled reader."""
        return self.event("warning", "log_lines_dropped", {"dropped": dropped})


class JsonLines(_Lines):
    """Formats one JSON object per line, time in UTC."""

    def __init__(self, worker_id: int | None, now: Callable[[], float]) -> None:
        import orjson  # imported here: 0.7 MB and 10 ms, which text lines do not need

        self._dumps: Callable[..., bytes] = orjson.dumps
        self._options: int = orjson.OPT_APPEND_NEWLINE
        self._clock = _Timestamp(now, '{"at":"%Y-%m-%dT%H:%M:%S.', time.gmtime)
        self._worker = b"" if worker_id is None else b',"worker":%d' % worker_id
        self._exchange = b'Z","event":"exchange"%b,' % self._worker
        self._line = JsonLine()

    def event(self, level: str, name: str, fields: dict[str, object]) -> bytes:
        """Return the line of an event."""
        head = self._clock.read() + f'Z","level":"{level}","event":"{name}"'.encode()
        if not fields:
            return head + self._worker + b"}\n"
        return head + self._worker + b"," + self._dump(fields)[1:]

    def exchange(self, entry: LogEntry) -> bytes:
        """Return the line of an exchange."""
        line = self._line
        line.begin(self._clock.read() + self._exchange)
        entry.write(line)
        return line.finish()

    def _dump(self, members: dict[str, object]) -> bytes:
        try:
            return printable_json(self._dumps(members, repr, self._options))
        except TypeError:  # orjson: lone surrogates, integers above 64 bits
            plain = {name: ascii(value) for name, value in members.items()}
            return printable_json(self._dumps(plain, None, self._options))


class TextLines(_Lines):
    """Formats one short, readable line, time in local time."""

    def __init__(self, worker_id: int | None, now: Callable[[], float]) -> None:
        self._clock = _Timestamp(now, "%Y-%m-%d %H:%M:%S.", time.localtime)
        self._worker = "" if worker_id is None else f"worker {worker_id} "
        self._exchange = f" {'info':<7} {self._worker}exchange".encode()
        self._line = TextLine()

    def event(self, level: str, name: str, fields: dict[str, object]) -> bytes:
        """Return the line of an event; None and empty values are left out."""
        parts = [f" {level:<7} {self._worker}{name}"]
        for key, value in fields.items():
            if type(value) is str:
                if value:
                    parts.append(f"{key}={_quote(value)}")
            elif type(value) is int:
                parts.append(f"{key}={value}")
            elif value is not None:
                parts.append(f"{key}={_quote(_flat(value))}")
        return self._clock.read() + " ".join(parts).encode() + b"\n"

    def exchange(self, entry: LogEntry) -> bytes:
        """The line of an exchange."""
        line = self._line
        line.begin(self._clock.read() + self._exchange)
        entry.write(line)
        return line.finish()


def _quote(text: str) -> str:
    # ASCII only: C1 control characters also control a terminal.
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _flat(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{name}:{_flat(members)}" for name, members in value.items())
    return str(value)


def _open(path: str) -> int:
    from ccrelay.config.files import open_log  # most processes log to standard error

    # 0600: exchanges show which models were requested, by which client and when.
    return open_log(path, os.environ)
