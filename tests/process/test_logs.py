"""The log writer over real pipes and files."""

import os
import time

import pytest

from ccrelay.config.model import Logging
from ccrelay.runtime import line_writer
from ccrelay.runtime.line_writer import BUFFER_BYTES_MAX, LineWriter
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


def test_put_does_not_block_on_a_stalled_pipe_and_dropped_lines_are_counted(pipe):
    reader, writer = pipe
    out = LineWriter(writer, lambda dropped: b"dropped %d\n" % dropped)
    line = b"x" * 1023 + b"\n"
    count = BUFFER_BYTES_MAX // len(line) + 2000
    began = time.monotonic()
    for _ in range(count):
        out.put(line)
    assert time.monotonic() - began < 5  # it would block forever if it waited for the reader
    read = b""
    while b"dropped " not in read:
        read += read_all(reader, b"\n")
    out.close()
    lines = read.splitlines(keepends=True)
    dropped = int(lines[-1].split()[1])
    assert lines[:-1] == [line] * (count - dropped)
    assert 0 < dropped <= 2000


def test_a_non_blocking_descriptor_gets_every_line(pipe):
    reader, writer = pipe
    os.set_blocking(writer, False)
    out = LineWriter(writer, lambda dropped: b"")
    for number in range(3000):
        out.put(b"%d %s\n" % (number, b"y" * 100))
    out.put(b"end\n")
    lines = read_all(reader, b"end\n").splitlines()
    out.close()
    assert [int(line.split()[0]) for line in lines[:-1]] == list(range(3000))


def test_close_on_a_stalled_pipe_times_out(pipe):
    reader, writer = pipe
    out = LineWriter(writer, lambda dropped: b"")
    for _ in range(200):
        out.put(b"z" * 1023 + b"\n")
    began = time.monotonic()
    assert not out.close(timeout_s=0.1)
    assert time.monotonic() - began < 5
    left = 200 * 1024
    while left:  # free the thread before its descriptor is closed
        left -= len(os.read(reader, 1 << 20))
    assert out.close()


def test_flush_writes_everything_and_later_lines_still_work(pipe, monkeypatch):
    monkeypatch.setattr(line_writer, "LINGER_S", 60.0)
    reader, writer = pipe
    log = LogWriter(Logging(), fd=writer)
    for number in (1, 2):
        log.event("info", f"line-{number}")
        log.flush()
        os.set_blocking(reader, False)
        assert os.read(reader, 1000).endswith(b"line-%d\n" % number)
    log.close()


def test_flush_on_a_stalled_pipe_times_out(pipe):
    reader, writer = pipe
    out = LineWriter(writer, lambda dropped: b"")
    for _ in range(200):
        out.put(b"z" * 1023 + b"\n")
    assert not out.flush(timeout_s=0.1)
    left = 200 * 1024
    while left:
        left -= len(os.read(reader, 1 << 20))
    assert out.flush()
    out.close()


def test_a_closed_reader_does_not_raise():
    reader, writer = os.pipe()
    os.close(reader)
    out = LineWriter(writer, lambda dropped: b"")
    out.put(b"unread\n")
    out.close()
    os.close(writer)


def test_two_writers_append_to_one_file_of_mode_0600(tmp_path):
    path = tmp_path / "log"
    writers = [LogWriter(Logging(file=str(path)), worker_id=number) for number in range(2)]
    for writer in writers:
        writer.event("info", "hello")
    for writer in writers:
        writer.close()
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    assert " hello worker=0\n" in text
    assert " hello worker=1\n" in text


def test_a_warning_is_written_without_lingering(pipe, monkeypatch):
    monkeypatch.setattr(line_writer, "LINGER_S", 60.0)
    reader, writer = pipe
    log = LogWriter(Logging(), fd=writer)
    log.event("info", "quiet")
    log.event("warning", "loud")
    assert len(read_all(reader, b"loud\n").splitlines()) == 2
    log.close()
