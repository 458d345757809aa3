"""Fuzz target: ccrelay._fast.sse against its twin, on mutated streams.

    python tests/fuzz/fuzz_sse.py --seconds 60 [--seed 1]

A difference ends the run with an AssertionError that shows the bytes.
"""

import argparse
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # run as a script

from ccrelay._fast.sse import SseTap  # noqa: E402
from tests.fuzz.mutate import mutations  # noqa: E402
from tests.reference.sse import Tap, read  # noqa: E402


def seeds() -> list[bytes]:
    streams = ROOT / "tests" / "corpus" / "sse"
    return [path.read_bytes() for path in sorted(streams.iterdir())]


def check(data: bytes, rng: random.Random) -> None:
    event_max = rng.choice([1, 50, 262144])
    size = rng.choice([1, 5, 64, len(data) + 1])
    tap = SseTap(event_max)
    for at in range(0, len(data), size):
        tap.feed_bytes(data[at : at + size])
    state = Tap(
        events=tap.events,
        pings=tap.pings,
        at_boundary=tap.at_boundary,
        verdict=tap.verdict,
        stopped=tap.stopped,
        start=tap.start(),
        delta=tap.delta(),
        error=tap.error(),
    )
    assert state == read(data, event_max), data


def run(seconds: float, seed: int) -> int:
    """Fuzz for `seconds`; returns the number of inputs tried."""
    rng = random.Random(seed)
    ends_at = time.monotonic() + seconds
    count = 0
    for data in mutations(seeds(), rng):
        check(data, rng)
        count += 1
        if time.monotonic() > ends_at:
            break
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    sys.stdout.write(f"seed {options.seed}\n")
    sys.stdout.write(f"{run(options.seconds, options.seed)} inputs, no difference\n")
