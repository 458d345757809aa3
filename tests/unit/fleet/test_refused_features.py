import signal
import subprocess
import tempfile

import pytest

from ccrelay._fast.note_table import NoteTable
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.fleet.refused_features import LIFETIME_S, MADE_UP_MAX, RefusedFeatures
from tests.child import PROGRAM, child_environment

NOW = 1_800_000_000.0


@pytest.fixture
def memory() -> SharedMemory:
    return SharedMemory.private(workers=2)


@pytest.fixture
def refused(memory: SharedMemory) -> RefusedFeatures:
    return RefusedFeatures(memory)


def test_all_workers_leave_out_what_one_has_learned(
    memory: SharedMemory, refused: RefusedFeatures
) -> None:
    other = RefusedFeatures(memory.as_worker(1))
    assert other.of("aws", "m", NOW) == frozenset()
    assert refused.learn("aws", "m", "effort", NOW)
    assert refused.learn("aws", "m", "beta:x-2027-01-01", NOW)
    assert refused.learn("aws", "n", "tool_search", NOW)
    assert refused.learn("gcp", "m", "clear_thinking", NOW)
    assert other.of("aws", "m", NOW) == {"effort", "beta:x-2027-01-01"}
    assert other.of("gcp", "m", NOW) == {"clear_thinking"}
    assert other.of("gcp", "n", NOW) == frozenset()
    assert [(one.provider, one.model, one.feature) for one in other.all(NOW)] == [
        ("aws", "m", "beta:x-2027-01-01"),
        ("aws", "m", "effort"),
        ("aws", "n", "tool_search"),
        ("gcp", "m", "clear_thinking"),
    ]
    assert other.all(NOW)[0].expires == NOW + LIFETIME_S


def test_it_is_tried_again_after_a_day(refused: RefusedFeatures) -> None:
    refused.learn("aws", "m", "effort", NOW)
    refused.learn("aws", "m", "tool_search", NOW + 100.0)
    assert refused.of("aws", "m", NOW + LIFETIME_S - 1.0) == {"effort", "tool_search"}
    assert refused.of("aws", "m", NOW + LIFETIME_S) == {"tool_search"}
    assert refused.of("aws", "m", NOW + LIFETIME_S + 100.0) == frozenset()
    refused.learn("aws", "m", "effort", NOW + LIFETIME_S)
    assert refused.of("aws", "m", NOW + 2 * LIFETIME_S - 1.0) == {"effort"}


def test_a_provider_whose_settings_change_starts_afresh(refused: RefusedFeatures) -> None:
    for provider in ("aws", "aws2", "a"):
        refused.learn(provider, "m", "effort", NOW)
    assert refused.forget("aws") == 1
    assert refused.of("aws", "m", NOW) == frozenset()
    assert refused.of("aws2", "m", NOW) == refused.of("a", "m", NOW) == {"effort"}


def test_a_clock_that_was_wrong(refused: RefusedFeatures) -> None:
    refused.learn("aws", "m", "effort", NOW + 30 * LIFETIME_S)
    assert refused.of("aws", "m", NOW) == frozenset()
    refused.learn("aws", "m", "effort", NOW)
    assert refused.of("aws", "m", NOW) == {"effort"}
    assert refused.of("aws", "m", NOW + LIFETIME_S) == frozenset()


def test_names_are_bounded(refused: RefusedFeatures) -> None:
    assert not refused.learn("aws", "m" * 230, "effort", NOW)
    assert not refused.learn("aws", "m\0x", "effort", NOW)
    assert refused.learn("\udc80", "é" * 90, "effort", NOW)
    assert refused.of("\udc80", "é" * 90, NOW) == {"effort"}


def test_what_clients_make_up_does_not_push_out_the_rest(refused: RefusedFeatures) -> None:
    refused.learn("aws", "m", "effort", NOW)
    learned = [
        refused.learn("aws", f"m{number}", f"member:x{number}", NOW + number)
        for number in range(1000)
    ]
    assert sum(learned) == MADE_UP_MAX
    assert refused.learn("aws", "m", "tool_search", NOW)
    assert refused.of("aws", "m", NOW + 1000.0) == {"effort", "tool_search"}


def test_reading_reads_the_table_only_when_it_has_changed(
    refused: RefusedFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused.learn("aws", "m", "effort", NOW)
    reads = 0
    read = refused._read

    def counted(now: float) -> None:
        nonlocal reads
        reads += 1
        read(now)

    monkeypatch.setattr(refused, "_read", counted)
    for second in range(100):
        refused.of("aws", "m", NOW + second)
    assert reads == 1


WRITER = """
import sys
from ccrelay._fast.note_table import NoteTable
from ccrelay._fast.shared_memory import SharedMemory
with open(sys.argv[1], "r+b") as file:
    table = NoteTable(SharedMemory(file.fileno(), 1))
print("ready", flush=True)
number = 0
while True:
    number += 1
    table.keep(b"%d:" % (number % 300) + b"abcdefgh" * 28, 1.0, 2.0 + number % 977)
"""


def test_a_writer_killed_at_any_instant_leaves_whole_notes() -> None:
    with tempfile.NamedTemporaryFile() as file:
        SharedMemory.format(file.fileno(), workers=2, targets=1, endpoints=1, bindings=8)
        table = NoteTable(SharedMemory(file.fileno(), 0))
        for _ in range(3):
            process = subprocess.Popen(
                [*PROGRAM, WRITER, file.name],
                stdout=subprocess.PIPE,
                env=child_environment(),
            )
            assert process.stdout is not None
            try:
                assert process.stdout.readline() == b"ready\n"
                for _ in range(200):
                    for text, _ in table.notes(1.0):
                        assert text.partition(b":")[2] == b"abcdefgh" * 28
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait(30)
                process.stdout.close()
        assert all(text.endswith(b"abcdefgh") for text, _ in table.notes(1.0))
        table.keep(b"whole", 1.0, 5000.0)
        assert b"whole" in [text for text, _ in table.notes(1.0)]
