"""The log of one process: events and exchanges as lines of JSON or text.

    {"at":"2026-11-22T19:40:01.123Z","event":"exchange","worker":0,"status":200,...}
    19:40:01 payments-api main   opus-5-5   anthropic team-a   ok   1.44 s 38.2 s ... $0.123
    19:40:01 warning key_cooldown provider=anthropic key=... worker=0

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

from ccrelay._fast.log_line import JsonLine
from ccrelay._fast.row_line import RowLine
from ccrelay.config.model import Logging
from ccrelay.printable import printable_json
from ccrelay.runtime.line_writer import LineWriter
from ccrelay.runtime.log_bursts import Bursts
from ccrelay.runtime.log_style import PLAIN, Style, columns_of, style_of, wrapped
from ccrelay.types import LogEntry

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
STDERR_FD = 2
BURSTS_LOOK_S = 0.5  # how often those that may be over are looked for
# Of a terminal: faint, which is grey; yellow; red.
LEVEL_COLOURS = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m"}

CallLater = Callable[[float, Callable[[], None]], object]

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
        if self._owned_fd is not None:
            fd = self._owned_fd
        self._lines: _Lines
        if settings.format == "json":
            self._lines = JsonLines(worker_id, now)
        else:
            self._lines = TextLines(worker_id, now, style_of(fd, os.environ))
        self._writer = LineWriter(fd, self._lines.dropped)
        self._call_later: CallLater | None = None
        self._is_looking = False

    def event(self, level: str, name: str, **fields: object) -> None:
        """Write one event, unless its level is below the configured one."""
        weight = LEVELS.get(level, LEVELS["info"])
        if weight >= self._threshold:
            self._writer.put(self._lines.event(level, name, fields))
            if weight >= LEVELS["warning"]:
                self._writer.flush_soon()  # the process may exit right after it

    def set_level(self, level: str) -> None:
        """Write events from this level on."""
        self._threshold = LEVELS[level]

    def exchange(self, entry: LogEntry) -> None:
        """Write the line of a finished exchange, if `logging.exchanges` is on."""
        if self._exchanges:
            line = self._lines.exchange(entry)
            if line:
                self._writer.put(line)
            else:
                self._look_later()

    def begin(self) -> None:
        """Write what stands above the first row: its columns on a terminal, else the date."""
        if line := self._lines.begin(self._exchanges):
            self._writer.put(line)

    def fold_bursts(self, call_later: CallLater) -> None:
        """Fold bursts of rows from now on; `call_later` is that of the loop."""
        self._call_later = call_later
        self._lines.folds = True

    def _look_later(self) -> None:
        if not self._is_looking and self._call_later is not None:
            self._is_looking = True
            self._call_later(BURSTS_LOOK_S, self._look)

    def _look(self) -> None:
        self._is_looking = False
        for line in self._lines.over():
            self._writer.put(line)
        if self._lines.is_folding():
            self._look_later()

    def _put_kept(self) -> None:
        for line in self._lines.kept():
            self._writer.put(line)

    def flush(self) -> None:
        """Wait until the queued lines are written, at most two seconds for a stalled reader."""
        self._put_kept()
        self._writer.flush()

    def close(self) -> None:
        """Write the queued lines and close the file; at most two seconds for a stalled reader."""
        self._put_kept()
        is_written = self._writer.close()
        if is_written and self._owned_fd is not None:
            os.close(self._owned_fd)
            self._owned_fd = None


class _Timestamp:
    """Formatted time, cached per millisecond, or second: under load several lines share one."""

    __slots__ = (
        "_format",
        "_has_millis",
        "_now",
        "_second",
        "_second_text",
        "_to_struct",
        "day",
        "ends_at",
        "starts_at",
        "text",
    )

    def __init__(
        self,
        now: Callable[[], float],
        format: str,
        to_struct: Callable[[float], time.struct_time],
        has_millis: bool = True,
    ) -> None:
        self._now = now
        self._has_millis = has_millis
        self._format = format
        self._to_struct = to_struct
        self._second = -1.0
        self._second_text = b""
        self.day = 0  # of the year
        # The text, and the millisecond or second for which it is valid.
        self.text = b""
        self.starts_at = self.ends_at = -1.0

    def read(self) -> bytes:
        """Return the current time in the layout, with milliseconds appended where wanted."""
        now = self._now()
        return self.text if self.starts_at <= now < self.ends_at else self.refresh(now)

    def refresh(self, now: float) -> bytes:
        """Format and cache the text of `now`, seconds since the epoch."""
        second = now // 1.0
        if second != self._second:
            self._second = second
            at = self._to_struct(second)
            self.day = at.tm_yday
            self._second_text = time.strftime(self._format, at).encode()
        if not self._has_millis:
            self.text = self._second_text
            self.starts_at = second
            self.ends_at = second + 1.0
            return self.text
        millis = int((now - second) * 1000.0)
        self.text = b"%b%03d" % (self._second_text, millis)
        self.starts_at = second + millis / 1000.0
        self.ends_at = self.starts_at + 0.001
        return self.text


class _Lines:
    """Formats lines."""

    folds: bool  # whether bursts may be kept back

    def begin(self, has_exchanges: bool) -> bytes:
        """Return what stands above all lines; empty: nothing."""
        return b""

    def over(self) -> list[bytes]:
        """Return what was kept back and is due."""
        return []

    def kept(self) -> list[bytes]:
        """Return all that was kept back."""
        return []

    def is_folding(self) -> bool:
        """Whether something is kept back."""
        return False

    def event(self, level: str, name: str, fields: dict[str, object]) -> bytes:
        """Return the line of an event."""
        raise NotImplementedError

    def exchange(self, entry: LogEntry) -> bytes:
        """Return the lines of an exchange; empty: they are kept back."""
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
        self.folds = False
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
    """Formats rows and short lines for people, time in local time."""

    def __init__(
        self, worker_id: int | None, now: Callable[[], float], style: Style = PLAIN
    ) -> None:
        self.folds = False
        self._now = now
        self._clock = _Timestamp(now, "%H:%M:%S ", time.localtime, has_millis=False)
        self._worker = "" if worker_id is None else f" worker={worker_id}"
        # One process says that a day has begun, where several write.
        self._tells_days = not worker_id
        self._day = 0
        self._style = style
        self._row = RowLine(style.is_utf8, style.is_coloured)
        self._laid_out_at = -1.0
        self._bursts = Bursts()

    def begin(self, has_exchanges: bool) -> bytes:
        """Return what stands above all lines: the columns on a terminal, else the date."""
        clock = self._clock.read()
        if self._style.terminal is None:
            self._day = self._clock.day
            return self._date()
        return self._head(clock) if has_exchanges else b""

    def event(self, level: str, name: str, fields: dict[str, object]) -> bytes:
        """Return the line of an event; None and empty values are left out."""
        clock = self._clock.read()
        shown = f"{level:<7}"
        if self._style.is_coloured and level in LEVEL_COLOURS:
            shown = f"{LEVEL_COLOURS[level]}{shown}\x1b[0m"
        parts = [f"{shown} {name}"]
        for key, value in fields.items():
            if type(value) is str:
                if value:
                    parts.append(f"{key}={_quote(value)}")
            elif type(value) is int:
                parts.append(f"{key}={value}")
            elif value is not None:
                parts.append(f"{key}={_quote(_flat(value))}")
        text = " ".join(parts) + self._worker
        if self._style.terminal is not None:
            text = wrapped(text, columns_of(self._style))
        line = clock + text.encode() + b"\n"
        return line if self._clock.day == self._day else self._new_day() + line

    def exchange(self, entry: LogEntry) -> bytes:
        """Return the row of an exchange, and one below it; empty: a burst that is not over."""
        clock, row = self._clock, self._row
        text = clock.read()
        if clock.starts_at != self._laid_out_at:
            self._laid_out_at = clock.starts_at
            row.lay_out(columns_of(self._style))
        is_folded = entry.row(row, text)
        lines = row.take()
        if self.folds and (is_folded or self._bursts):
            lines = self._bursts.add(entry.group(), lines, row, text, self._now())
        return lines if clock.day == self._day else self._new_day() + lines

    def over(self) -> list[bytes]:
        """Return the rows of bursts that are over."""
        return self._bursts.over(self._row, self._now())

    def kept(self) -> list[bytes]:
        """Return the rows of all bursts."""
        return self._bursts.all(self._row)

    def is_folding(self) -> bool:
        """Whether a burst is kept back."""
        return bool(self._bursts)

    def _new_day(self) -> bytes:
        """The line that says that a day has begun; the first one is not new."""
        is_first, self._day = not self._day, self._clock.day
        return self._date() if self._tells_days and not is_first else b""

    def _date(self) -> bytes:
        at = time.localtime(self._clock.starts_at)
        return time.strftime("-- %Y-%m-%d\n", at).encode()

    def _head(self, clock: bytes) -> bytes:
        row = self._row
        row.lay_out(columns_of(self._style))
        row.start(b"TIME".ljust(len(clock)), 0)
        for name, columns in (("WHAT", row.what), ("MODEL", row.model), ("TARGET", row.target)):
            if columns:
                row.open(columns)
                row.put(name)
                row.close()
        row.open(13)
        row.put("OUTCOME")
        row.close()
        for title, columns in (
            (b"FIRST", row.first),
            (b"TOTAL", row.total),
            (b"IN/OUT  HITS", row.tokens),
            (b"COST", row.cost - 1),
        ):
            if columns > 0:
                row.put_right(title, columns)
        row.end_row()
        return row.take()


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
