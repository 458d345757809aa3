"""Byte mutations shared by the fuzz targets: endless, and the same for the same seed."""

import random
from collections.abc import Iterator

STEPS_MAX = 4  # mutations stacked on one seed: few enough to stay near the grammar
SPAN_MAX = 24  # bytes touched by one mutation


def mutations(seeds: list[bytes], rng: random.Random) -> Iterator[bytes]:
    """Yield mutated seeds without end; `seeds` must not be empty."""
    alphabet = sorted(set(b"".join(seeds)) | set(b"\x00\t\n\r ,:;\x7f\x80\xff"))
    while True:
        data = rng.choice(seeds)
        for _ in range(rng.randint(1, STEPS_MAX)):
            data = _mutate(data, seeds, alphabet, rng)
        yield data


def _mutate(data: bytes, seeds: list[bytes], alphabet: list[int], rng: random.Random) -> bytes:
    at = rng.randint(0, len(data))
    end = min(len(data), at + rng.randint(1, SPAN_MAX))
    match rng.randrange(6):
        case 0:  # replace one byte
            return data[:at] + bytes([rng.choice(alphabet)]) + data[at + 1 :]
        case 1:  # insert one byte
            return data[:at] + bytes([rng.choice(alphabet)]) + data[at:]
        case 2:  # delete a span
            return data[:at] + data[end:]
        case 3:  # repeat a span
            return data[:end] + data[at:]
        case 4:  # flip a bit
            flipped = bytes([data[at] ^ (1 << rng.randrange(8))]) if at < len(data) else b""
            return data[:at] + flipped + data[at + 1 :]
        case _:  # go on with the rest of another seed
            other = rng.choice(seeds)
            return data[:at] + other[rng.randint(0, len(other)) :]
