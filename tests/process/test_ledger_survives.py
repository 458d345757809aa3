"""A manager that is killed under load: nothing of the rings is lost, nothing is stored twice.

The rings are those of the shared memory, the ledger is a file, the manager's half is a process that
is killed with SIGKILL again and again, while this one writes 200 exchanges a second.
"""

import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ccrelay._fast.record_ring import RecordReader, RecordRing
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.ledger.record import Record
from tests.child import PROGRAM, child_environment
from tests.unit.store.making import record

ROOT = Path(__file__).parents[2]
RATE = 200
LIVES_S = (0.9, 0.35, 0.6, 0.45, 1.2)
MANAGER = """
import asyncio, sys
from ccrelay._fast.record_ring import RecordReader
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import Config, Ledger
from ccrelay.manager.books import LedgerBooks
from msgspec.structs import replace

class Log:
    def event(self, level, name, **fields):
        print(level, name, fields, file=sys.stderr)
    def exchange(self, entry):
        pass

async def main():
    memory = SharedMemory(int(sys.argv[1]))
    rings = [RecordReader(memory, column) for column in range(memory.workers)]
    config = replace(Config(), ledger=Ledger(path=sys.argv[2]))
    books = LedgerBooks(config, memory.identity, rings, Log(), {})
    await books.start()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await books.close()

asyncio.run(main())
"""


@contextmanager
def shared() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        SharedMemory.format(
            file.fileno(), workers=2, targets=1, endpoints=1, bindings=8, ring_bytes=1 << 20
        )
        yield file.fileno()


def put(ring: RecordRing, made: Record) -> bool:
    ring.begin()
    ring.array(len(Record.__struct_fields__))
    for name, kind in Record.__annotations__.items():
        value = getattr(made, name)
        if name == "conversation":
            ring.hash(value)
        elif kind is str:
            ring.text(value)
        elif kind is bool:
            ring.flag(value)
        elif kind is int:
            ring.integer(value)
        else:
            ring.array(0)
    return ring.put()


def manager(descriptor: int, path: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*PROGRAM, MANAGER, str(descriptor), str(path)],
        stdin=subprocess.PIPE,
        pass_fds=(descriptor,),
        env=child_environment(),
    )


@pytest.mark.process
@pytest.mark.slow
def test_a_manager_killed_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    written: list[str] = []
    with shared() as descriptor:
        rings = [RecordRing(SharedMemory(descriptor, column)) for column in range(2)]
        readers = [RecordReader(SharedMemory(descriptor), column) for column in range(2)]
        now = int(time.time() * 1e6)
        for life_s in (*LIVES_S, 0.0):
            process = manager(descriptor, path)
            try:
                # It takes a while to start: that long the rings fill.
                end = time.monotonic() + 0.7 + life_s
                while time.monotonic() < end:
                    number = len(written)
                    made = record(number, started_at_us=now + number)
                    assert put(rings[number % 2], made)
                    written.append(made.id)
                    time.sleep(1 / RATE)
                if life_s:
                    process.kill()
                else:
                    assert process.stdin is not None
                    process.stdin.close()
                    assert process.wait(20) == 0
            finally:
                process.kill()
                process.wait()
                if process.stdin is not None:
                    process.stdin.close()
        assert [reader.released for reader in readers] == [ring.head for ring in rings]
        assert [reader.dropped for reader in readers] == [0, 0]
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT p.text || printf('%03x', e.tail) "
        "FROM exchanges e JOIN prefixes p ON p.id = e.prefix"
    ).fetchall()
    sums = connection.execute("SELECT sum(exchanges) FROM rollups").fetchone()[0]
    connection.close()
    assert sorted(row[0] for row in rows) == sorted(written)
    assert sums == len(written) > 500
