"""The log of one process: events and exchanges as lines of JSON or text.

    {"at":"2026-11-22T19:40:01.123Z","event":"exchange","worker":0,"status":200,...}
    2026-11-22 19:40:01.123 info  worker 0 exchange status=200 ...

Lines are made in the caller and written by a thread (`linepump`): formatting a record in the thread
would hold the interpreter lock for a whole batch, and the data plane would wait for it. All
processes append to the same file or pipe; lines stay whole up to PIPE_BUF bytes on a pipe, always
in a file.
"""

import os
import re
import time
from collections.abc import Callable

import msgspec

from ccrelay._fast.log_line import JsonLine, TextLine
from ccrelay.config.model import Logging
from ccrelay.runtime.linepump import LinePump
from ccrelay.types import LogEntry

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
STDERR_FD = 2
# Models, paths and providers repeat: their quoted form is remembered, 100 KB at most.
QUOTED_MAX = 1024
QUOTED_LENGTH_MAX = 64

# Everything else is quoted in text lines: white space, quotes, control and escape bytes that a
# client could put into a model name to forge a line or to drive the terminal.
_PLAIN = re.compile(r"[!#-<>-~]+")


class LogWriter:
    """A `LogSink` that writes to a descriptor. Use it from one thread only.

    Records must not bring members named `at`, `level`, `event` or `worker`: they are added here.
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
        self._lines = (JsonLines if settings.format == "json" else TextLines)(worker_id, now)
        self._pump = LinePump(fd if self._owned_fd is None else self._owned_fd, self._lines.lost)
        self._put = self._pump.put
        self._exchange_line = self._lines.exchange

    def event(self, level: str, name: str, **fields: object) -> None:
        """Write one event, unless its level is below the configured one."""
        weight = LEVELS.get(level, LEVELS["info"])
        if weight >= self._threshold:
            self._pump.put(self._lines.event(level, name, fields))
            if weight >= LEVELS["warning"]:
                self._pump.hurry()  # the next thing may be the end of this process

    def exchange(self, entry: LogEntry) -> None:
        """Write one line for an exchange that is over, if `logging.exchanges` is on."""
        if self._exchanges:
            self._put(self._exchange_line(entry))

    def flush(self) -> None:
        """Wait until what is queued is written. A stalled reader is given two seconds."""
        self._pump.flush()

    def close(self) -> None:
        """Write what is queued and close the file. A stalled reader is given two seconds."""
        is_written = self._pump.close()
        if is_written and self._owned_fd is not None:
            os.close(self._owned_fd)
            self._owned_fd = None


class _Clock:
    """Instants as bytes, made once per millisecond: under load several lines share one."""

    __slots__ = ("_layout", "_now", "_second", "_second_text", "_split", "begins", "ends", "text")

    def __init__(
        self,
        now: Callable[[], float],
        layout: str,
        split: Callable[[float], time.struct_time],
    ) -> None:
        self._now = now
        self._layout = layout
        self._split = split
        self._second = -1.0
        self._second_text = b""
        # The text and the millisecond for which it is right.
        self.text = b""
        self.begins = self.ends = -1.0

    def read(self) -> bytes:
        """The instant to the millisecond, without a zone, behind the layout's beginning."""
        now = self._now()
        return self.text if self.begins <= now < self.ends else self.turn(now)

    def turn(self, now: float) -> bytes:
        """The text of another millisecond."""
        second = now // 1.0
        if second != self._second:
            self._second = second
            self._second_text = time.strftime(self._layout, self._split(second)).encode()
        millis = int((now - second) * 1000.0)
        self.text = b"%b%03d" % (self._second_text, millis)
        self.begins = second + millis / 1000.0
        self.ends = self.begins + 0.001
        return self.text


class JsonLines:
    """One JSON object per line, in UTC."""

    def __init__(self, worker_id: int | None, now: Callable[[], float]) -> None:
        import orjson  # here, because it costs 0.7 MB and 10 ms, and text needs none of it

        self._dumps: Callable[..., bytes] = orjson.dumps
        self._options: int = orjson.OPT_APPEND_NEWLINE
        self._now = now
        self._clock = _Clock(now, '{"at":"%Y-%m-%dT%H:%M:%S.', time.gmtime)
        self._worker = b"" if worker_id is None else b',"worker":%d' % worker_id
        self._exchange = b'Z","event":"exchange"%b,' % self._worker
        self._line = JsonLine()

    def event(self, level: str, name: str, fields: dict[str, object]) -> bytes:
        """The line of an event."""
        head = self._clock.read() + f'Z","level":"{level}","event":"{name}"'.encode()
        if not fields:
            return head + self._worker + b"}\n"
        return head + self._worker + b"," + self._dump(fields)[1:]

    def exchange(self, entry: LogEntry) -> bytes:
        """The line of an exchange."""
        clock, now = self._clock, self._now()  # as in `read`, but this is paid per request
        at = clock.text if clock.begins <= now < clock.ends else clock.turn(now)
        line = self._line
        line.begin(at + self._exchange)
        entry.write(line)
        return line.finish()

    def lost(self, dropped: int) -> bytes:
        """The line that tells of lines lost behind a stalled reader."""
        return self.event("warning", "log_lines_dropped", {"dropped": dropped})

    def _dump(self, members: dict[str, object]) -> bytes:
        try:
            return self._dumps(members, repr, self._options)
        except TypeError:  # orjson's error for lone surrogates and integers above 64 bits
            plain = {name: ascii(value) for name, value in members.items()}
            return self._dumps(plain, None, self._options)


class TextLines:
    """One short line for people, in local time."""

    def __init__(self, worker_id: int | None, now: Callable[[], float]) -> None:
        self._read_clock = _Clock(now, "%Y-%m-%d %H:%M:%S.", time.localtime).read
        self._quoted: dict[str, str] = {}
        self._worker = "" if worker_id is None else f"worker {worker_id} "
        self._exchange = f" {'info':<7} {self._worker}exchange".encode()
        self._line = TextLine()

    def event(self, level: str, name: str, fields: dict[str, object]) -> bytes:
        """The line of an event; members without a value are left out."""
        said = [f" {level:<7} {self._worker}{name}"]
        quoted = self._quoted
        for key, value in fields.items():
            if type(value) is str:
                if value:
                    said.append(f"{key}={quoted.get(value) or self._quote(value)}")
            elif type(value) is int:
                said.append(f"{key}={value}")
            elif value is not None:
                said.append(f"{key}={self._quote(_plain(value))}")
        return self._read_clock() + " ".join(said).encode() + b"\n"

    def exchange(self, entry: LogEntry) -> bytes:
        """The line of an exchange."""
        line = self._line
        line.begin(self._read_clock() + self._exchange)
        entry.write(line)
        return line.finish()

    def lost(self, dropped: int) -> bytes:
        """The line that tells of lines lost behind a stalled reader."""
        return self.event("warning", "log_lines_dropped", {"dropped": dropped})

    def _quote(self, text: str) -> str:
        quoted = text if _PLAIN.fullmatch(text) else _as_json(text)
        if len(self._quoted) >= QUOTED_MAX:
            self._quoted.clear()
        if len(text) <= QUOTED_LENGTH_MAX:
            self._quoted[text] = quoted
        return quoted


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{name}:{_plain(members)}" for name, members in value.items())
    return str(value)


def _as_json(text: str) -> str:
    try:
        return msgspec.json.encode(text).decode()
    except UnicodeEncodeError:  # lone surrogates
        return ascii(text)


def _open(path: str) -> int:
    # 0600: exchanges tell what was asked for, by whom and when.
    return os.open(
        os.path.expanduser(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
    )
