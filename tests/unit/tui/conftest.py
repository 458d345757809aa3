"""All tests of the dashboard have the local time of the design."""

import time
from collections.abc import Iterator

import pytest

from tests.unit.cli.served import ZONE


@pytest.fixture(autouse=True)
def local_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", ZONE)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
