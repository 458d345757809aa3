"""The table of conversations against a dict, and under writers that wait for nobody."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import ccrelay
from ccrelay._fast.affinity_table import MOVED, AffinityTable, Binding, hash64
from ccrelay._fast.shared_memory import SharedMemory

WAYS = 8
CALM = settings(deadline=None, max_examples=60, stateful_step_count=60)

# So few that the same ones come again, and that one set is too small for them.
conversations = st.integers(0, 19).map(lambda k: hash64(b"%d" % k))


@dataclass
class Entry:
    """What was kept."""

    slot: int
    seen_at: float
    ttl_s: float
    prefix_tokens: int
    body_bytes: int
    flags: int

    def warm(self, now: float) -> bool:
        return now < self.seen_at + self.ttl_s

    def same_as(self, place: Binding) -> bool:
        return all(getattr(place, name) == value for name, value in vars(self).items())


class OneSet(RuleBasedStateMachine):
    """Two workers and one set of eight entries."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = SharedMemory.private(workers=2, bindings=WAYS)
        self.affinity = [AffinityTable(self.memory.as_worker(number)) for number in range(2)]
        self.now = 1000.0
        self.kept: dict[int, Entry] = {}

    @rule(gap=st.sampled_from([0.5, 100.0, 400.0]))
    def time_passes(self, gap: float) -> None:
        self.now += gap

    @rule(
        worker=st.integers(0, 1),
        conversation=conversations,
        slot=st.integers(0, 3),
        ttl_s=st.sampled_from([300.0, 3600.0]),
        prefix_tokens=st.integers(0, 2**40),
        body_bytes=st.integers(0, 2**40),
        flags=st.integers(0, 7),
    )
    def a_turn_is_kept(
        self,
        worker: int,
        conversation: int,
        slot: int,
        ttl_s: float,
        prefix_tokens: int,
        body_bytes: int,
        flags: int,
    ) -> None:
        self.now += 1 / 64  # no two of the same age; whole microseconds
        self.affinity[worker].keep(
            conversation,
            slot,
            self.now,
            ttl_s=ttl_s,
            prefix_tokens=prefix_tokens,
            body_bytes=body_bytes,
            flags=flags,
        )
        if conversation not in self.kept and len(self.kept) == WAYS:
            del self.kept[min(self.kept, key=self.dispensable)]
        self.kept[conversation] = Entry(slot, self.now, ttl_s, prefix_tokens, body_bytes, flags)

    def dispensable(self, conversation: int) -> tuple[int, float]:
        entry = self.kept[conversation]
        if not entry.warm(self.now):
            return 0, entry.seen_at
        return (2 if entry.flags & MOVED else 1), entry.seen_at

    @precondition(lambda self: self.kept)
    @rule(worker=st.integers(0, 1), slot=st.integers(0, 3))
    def a_target_goes(self, worker: int, slot: int) -> None:
        gone = [key for key, entry in self.kept.items() if entry.slot == slot]
        assert self.affinity[worker].forget_slot(slot) == len(gone)
        for key in gone:
            del self.kept[key]

    @invariant()
    def what_is_found_is_what_was_kept(self) -> None:
        warm = {key for key, entry in self.kept.items() if entry.warm(self.now)}
        for k in range(20):
            key = hash64(b"%d" % k)
            found = [places.find(key, self.now) for places in self.affinity]
            for place in found:
                assert (place is not None) == (key in warm)
                assert place is None or self.kept[key].same_as(place)


TestOneSet = OneSet.TestCase
TestOneSet.settings = CALM


# ---- several processes at the same entries

NAMES = 11  # conversations in one set of eight: they push each other out all the time
WRITE_S = 0.5
WRITER = """
import sys, time
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay._fast.affinity_table import AffinityTable

worker, names, seconds = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
with open(sys.argv[1], "r+b") as memory:
    places = AffinityTable(SharedMemory(memory.fileno(), worker))
print("ready", flush=True)
sys.stdin.readline()
end = time.monotonic() + seconds
n = worker
while time.monotonic() < end:
    for _ in range(200):
        n += 2
        conversation = n % names + 1
        places.keep(
            conversation, n % 50, 1000.0 + n % 90, ttl_s=300.0 + n % 70,
            prefix_tokens=n, body_bytes=n * 1000 + conversation, flags=n % 60000,
        )
print(n // 2)
"""


def is_of_one_piece(conversation: int, place: Binding) -> bool:
    n = place.prefix_tokens
    return (
        n % NAMES + 1,
        n % 50,
        1000.0 + n % 90,
        300.0 + n % 70,
        n * 1000 + conversation,
        n % 60000,
    ) == (
        conversation,
        place.slot,
        place.seen_at,
        place.ttl_s,
        place.body_bytes,
        place.flags,
    )


def test_no_reader_sees_a_mixture_of_what_two_processes_write(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    with path.open("w+b") as memory:
        SharedMemory.format(memory.fileno(), workers=3, targets=64, endpoints=1, bindings=WAYS)
        places = AffinityTable(SharedMemory(memory.fileno(), 2))
    env = os.environ | {"PYTHONPATH": str(Path(ccrelay.__file__).parents[1])}
    writers = [
        subprocess.Popen(
            [sys.executable, "-P", "-c", WRITER, str(path), str(worker), str(NAMES), str(WRITE_S)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        for worker in range(2)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        seen: set[int] = set()
        mixed = []
        end = time.monotonic() + WRITE_S
        while time.monotonic() < end:
            for conversation in range(1, NAMES + 1):
                place = places.find(conversation, 1000.0)
                if place is not None:
                    seen.add(place.prefix_tokens)
                    if not is_of_one_piece(conversation, place):
                        mixed.append((conversation, place))
        written = [int(writer.communicate(timeout=20)[0]) for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert mixed == []
    assert min(written) > 1000
    # The reader saw the table change under it, and what both of them wrote.
    assert len(seen) > 10
    assert {n % 2 for n in seen} == {0, 1}
    assert sum(places.forget_slot(slot) for slot in range(64)) <= WAYS
