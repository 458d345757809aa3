import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _connections_of_the_test_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Python 3.13 warns of connections that are collected open. Those of threads stay theirs."""
    connect, opened = sqlite3.connect, []

    def noted(*args: Any, **how: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **how))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", noted)
    yield
    for connection in opened:
        with contextlib.suppress(sqlite3.ProgrammingError):  # another thread's
            connection.close()
