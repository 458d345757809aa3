"""The end of a process is noticed, with and without a descriptor of it."""

import os
import subprocess
import sys

import pytest

from ccrelay.cli import relay_guard

SLEEP = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]


@pytest.mark.parametrize("has_descriptors", [True, False])
def test_the_end_of_a_process_is_noticed(
    has_descriptors: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_descriptors:  # as on macOS
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    process = subprocess.Popen(SLEEP, stdin=subprocess.PIPE)
    life = relay_guard._Life(process.pid)
    try:
        assert not life.has_ended(0.01)
    finally:
        process.communicate()
    assert life.has_ended(5.0)
    life.close()
    assert relay_guard._Life(process.pid).has_ended(0.0)


def test_a_relay_that_does_not_end_by_itself_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_guard, "DRAIN_S", 0.05)
    monkeypatch.setattr(relay_guard, "STOP_S", 0.05)
    code = "import signal, sys; signal.signal(15, 1); print(flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    relay_guard._end(process)
    assert process.returncode == -9
    process.communicate()
