"""Fuzz target: ccrelay._fast.json against its twin and against msgspec, on mutated bodies.

    python tests/fuzz/fuzz_json.py --seconds 60 [--seed 1]

A difference ends the run with an AssertionError that shows the bytes.
"""

import argparse
import random
import sys
import time
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # run as a script

from ccrelay._fast.json import MemberKeys, MemberScan, simd, use_simd  # noqa: E402
from tests.fuzz.mutate import mutations  # noqa: E402
from tests.reference.json_members import COMPLETE, Members, Slot, members  # noqa: E402

NAMES = ("model", "stream", "messages")
KEYS = MemberKeys(NAMES)
CAPTURE_MAX = 64
SEED_MAX = 8192  # bytes: mutants of large bodies cost the slow twin too much


def seeds() -> list[bytes]:
    bodies = ROOT / "tests" / "corpus" / "bodies"
    return [path.read_bytes()[:SEED_MAX] for path in sorted(bodies.iterdir())]


def check(data: bytes, rng: random.Random) -> None:
    expected = members(data, NAMES, CAPTURE_MAX)
    for vector in (False, True):
        use_simd(vector)
        assert _fed(data, rng.choice([1, 7, 64, 65, 1000, len(data) + 1])) == expected, data
    try:
        judged = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    assert expected.state == COMPLETE, data
    for name, slot in zip(NAMES, expected.slots, strict=True):
        assert (name in judged) == (slot.seen > 0), data
        if slot.seen == 1:
            assert slot.span is not None, data
            assert bytes(judged[name]) == data[slice(*slot.span)], data


def _fed(data: bytes, size: int) -> Members:
    found = MemberScan(KEYS, CAPTURE_MAX)
    for at in range(0, len(data), size):
        found.feed_bytes(data[at : at + size])
    slots = [Slot(found.seen(n), found.span(n), found.value(n)) for n in range(len(NAMES))]
    return Members(found.state, found.offset, slots, found.elements)


def run(seconds: float, seed: int) -> int:
    """Fuzz for `seconds`; returns the number of inputs tried."""
    rng = random.Random(seed)
    before = simd()
    ends_at = time.monotonic() + seconds
    count = 0
    try:
        for data in mutations(seeds(), rng):
            check(data, rng)
            count += 1
            if time.monotonic() > ends_at:
                break
    finally:
        use_simd(before)
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    sys.stdout.write(f"seed {options.seed}\n")
    sys.stdout.write(f"{run(options.seconds, options.seed)} inputs, no difference\n")
