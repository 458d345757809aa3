"""Fuzz target for heads and chunks: `python tests/fuzz/fuzz_http1.py --seconds 5 --seed 1`.

Invariant: any bytes either parse or give a HeadFault, and the readable reference says the same of
them: same fault, same properties, same bytes written from them, at any split of a chunked body.
"""

import argparse
import random
import sys
import time
from pathlib import Path

if __name__ == "__main__":  # started as a script: the repository root is not on the path
    sys.path.append(str(Path(__file__).parents[2]))

from tests.corpus.http1.entries import ENTRIES
from tests.fuzz.mutate import mutations
from tests.parity.http1_compare import assert_same_chunks, assert_same_head, split

SEED_BYTES_MAX = 2000  # longer entries test limits; the reference would spend the time on them


def run(seconds: float, seed: int) -> int:
    """Try mutations for `seconds`; how many there were. AssertionError when the two differ."""
    rng = random.Random(seed)
    seeds = [entry.data for entry in ENTRIES if len(entry.data) <= SEED_BYTES_MAX]
    ends_at = time.monotonic() + seconds
    tried = 0
    for data in mutations(seeds, rng):
        if time.monotonic() >= ends_at:
            break
        tried += 1
        try:
            _check(data, rng)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, try {tried}: {data!r}") from error
    return tried


def _check(data: bytes, rng: random.Random) -> None:
    assert_same_head("request", data)
    assert_same_head("response", data)
    body = data.partition(b"\r\n\r\n")[2]
    assert_same_chunks(split(body, [rng.randrange(1 << 16) for _ in range(3)]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    tried = run(chosen.seconds, chosen.seed)
    sys.stdout.write(f"{tried} inputs, no difference\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
