"""The log writer over real pipes and files."""

import os
import time

import pytest

from ccrelay.config.model import Logging
from ccrelay.runtime import linepump
from ccrelay.runtime.linepump import BUFFER_BYTES_MAX, LinePump
from ccrelay.runtime.logs import LogWriter

pytestmark = pytest.mark.process


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        os.close(fd)


def read_all(reader: int, until: bytes) -> bytes:
    read = b""
    while not read.endswith(until):
        read += os.read(reader, 1 << 20)
    return read


def test_a_stalled_pipe_blocks_nobody_and_what_was_lost_is_counted(pipe):
    reader, writer = pipe
    pump = LinePump(writer, lambda dropped: b"lost %d\n" % dropped)
    line = b"x" * 1023 + b"\n"
    count = BUFFER_BYTES_MAX // len(line) + 2000
    began = time.monotonic()
    for _ in range(count):
        pump.put(line)
    assert time.monotonic() - began < 5  # blocked for good, were it to wait for the reader
    read = b""
    while b"lost " not in read:
        read += read_all(reader, b"\n")
    pump.close()
    lines = read.splitlines(keepends=True)
    lost = int(lines[-1].split()[1])
    assert lines[:-1] == [line] * (count - lost)
    assert 0 < lost <= 2000


def test_a_non_blocking_descriptor_gets_every_line(pipe):
    reader, writer = pipe
    os.set_blocking(writer, False)
    pump = LinePump(writer, lambda dropped: b"")
    for number in range(3000):
        pump.put(b"%d %s\n" % (number, b"y" * 100))
    pump.put(b"end\n")
    lines = read_all(reader, b"end\n").splitlines()
    pump.close()
    assert [int(line.split()[0]) for line in lines[:-1]] == list(range(3000))


def test_closing_on_a_stalled_pipe_gives_up_after_its_time(pipe):
    reader, writer = pipe
    pump = LinePump(writer, lambda dropped: b"")
    for _ in range(200):
        pump.put(b"z" * 1023 + b"\n")
    began = time.monotonic()
    assert not pump.close(timeout_s=0.1)
    assert time.monotonic() - began < 5
    left = 200 * 1024
    while left:  # free the thread before its descriptor is closed
        left -= len(os.read(reader, 1 << 20))
    assert pump.close()


def test_a_flush_returns_when_everything_is_written_and_lines_go_on_behind_it(pipe, monkeypatch):
    monkeypatch.setattr(linepump, "LINGER_S", 60.0)
    reader, writer = pipe
    log = LogWriter(Logging(), fd=writer)
    for number in (1, 2):
        log.event("info", f"line-{number}")
        log.flush()
        os.set_blocking(reader, False)
        assert os.read(reader, 1000).endswith(b"line-%d\n" % number)
    log.close()


def test_a_flush_waits_for_a_stalled_reader_only_so_long(pipe):
    reader, writer = pipe
    pump = LinePump(writer, lambda dropped: b"")
    for _ in range(200):
        pump.put(b"z" * 1023 + b"\n")
    assert not pump.flush(timeout_s=0.1)
    left = 200 * 1024
    while left:
        left -= len(os.read(reader, 1 << 20))
    assert pump.flush()
    pump.close()


def test_a_reader_that_went_away_is_no_failure():
    reader, writer = os.pipe()
    os.close(reader)
    pump = LinePump(writer, lambda dropped: b"")
    pump.put(b"nobody reads this\n")
    pump.close()
    os.close(writer)


def test_two_writers_append_to_one_private_file(tmp_path):
    path = tmp_path / "log"
    writers = [LogWriter(Logging(file=str(path)), worker_id=number) for number in range(2)]
    for writer in writers:
        writer.event("info", "hello")
    for writer in writers:
        writer.close()
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    assert "worker 0 hello\n" in text
    assert "worker 1 hello\n" in text


def test_a_warning_is_written_without_lingering(pipe, monkeypatch):
    monkeypatch.setattr(linepump, "LINGER_S", 60.0)
    reader, writer = pipe
    log = LogWriter(Logging(), fd=writer)
    log.event("info", "quiet")
    log.event("warning", "loud")
    assert len(read_all(reader, b"loud\n").splitlines()) == 2
    log.close()
