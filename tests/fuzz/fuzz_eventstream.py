"""Fuzz target: AWS's frames, both ways: `python tests/fuzz/fuzz_eventstream.py --seconds 60`.

Mutated are whole streams, and payloads inside of frames that are sound. Invariants:

- How the bytes are cut makes no difference.
- What comes out is whole events of two lines each, whatever went in.
- Where the readable twin makes something of a stream, it is the same.
- What is encoded is sound frames, and they say what the events said.
"""

import argparse
import base64
import json
import random
import re
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))  # run as a script

from ccrelay._fast.eventstream import EventStreamDecoder, EventStreamEncoder  # noqa: E402
from tests.fuzz.mutate import mutations  # noqa: E402
from tests.reference import eventstream as twin  # noqa: E402

CORPUS = ROOT / "tests" / "corpus" / "clouds" / "eventstream"
EVENTS = re.compile(rb"(event: [!-~]{1,64}\ndata: [^\r\n]*\n\n)*")


def run(seconds: float, seed: int) -> int:
    """Try for `seconds`; how many inputs there were. AssertionError when an invariant is broken."""
    rng = random.Random(seed)
    ends_at = time.monotonic() + seconds
    streams = [path.read_bytes() for path in sorted(CORPUS.glob("*.bin"))]
    frames = [one for stream in streams[:-1] for one in twin.frames(stream)]
    payloads = [payload for _, payload in frames]
    inner = [base64.b64decode(json.loads(one).get("bytes", "")) for one in payloads if one]
    texts = [path.read_bytes() for path in sorted(CORPUS.glob("*.sse")) if path.stat().st_size]
    changed_streams, changed_payloads = mutations(streams, rng), mutations(payloads, rng)
    changed_events, changed_texts = mutations(inner, rng), mutations(texts, rng)
    tried = 0
    while time.monotonic() < ends_at:
        tried += 1
        sound = [
            twin.event_frame("chunk", next(changed_payloads)),
            twin.chunk_frame(next(changed_events), rng.choice([None, "", "abc"])),
            twin.exception_frame(rng.choice([*twin.NAMED, *twin.PLAIN]), next(changed_payloads)),
            twin.frame(rng.randbytes(rng.randint(0, 20)), b"{}"),
        ]
        rng.shuffle(sound)
        try:
            check_frames(next(changed_streams), rng)
            check_frames(b"".join(sound), rng)
            check_events(next(changed_texts), rng)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, try {tried}") from error
    return tried


def pieces(data: bytes, rng: random.Random) -> list[bytes]:
    size = rng.choice([1, 3, 12, 100, len(data) + 1])
    return [data[at : at + size] for at in range(0, len(data), size)]


def decoded(parts: list[bytes]) -> tuple[bytes, bytes | None, bool]:
    decoder, out = EventStreamDecoder(), b""
    for rest in parts:
        while rest:
            try:
                piece, rest = decoder.decode(rest, 1 << 18)
            except ValueError:
                return out, decoder.metrics, True
            out += piece
    return out, decoder.metrics, False


def check_frames(data: bytes, rng: random.Random) -> None:
    found = decoded([data] if data else [])
    assert decoded(pieces(data, rng)) == found, data
    assert EVENTS.fullmatch(found[0]), (data, found[0])
    for sound, mine in zip(expected(data), found[0].split(b"\n\n"), strict=False):
        if sound is not None:
            assert parsed(mine) == parsed(sound), (data, mine, sound)


def expected(data: bytes) -> list[bytes | None]:
    """The twin's events; None and the end: it reads JSON to its end, and the fast one does not."""
    found: list[bytes | None] = []
    frames = twin.frames(data)
    while True:
        try:
            headers, payload = next(frames)
            if headers.get(":message-type") == b"exception":
                json.loads(payload)
            event, _ = twin.event_of(headers, payload)
        except (StopIteration, ValueError, RecursionError):
            return found
        if is_ambiguous(payload):
            return found
        if event:
            found.append(event.removesuffix(b"\n\n"))


def is_ambiguous(payload: bytes) -> bool:
    """Names that are escaped or there twice, which readers take in different ways."""
    text = payload
    for encoded in re.findall(rb'"([A-Za-z0-9+/=]{8,})"', payload):
        try:
            text += base64.b64decode(encoded)
        except ValueError:
            return True
    names = re.findall(rb'"((?:[^"\\]|\\.)*)"\s*:', text)
    return b"\\u" in text or len(set(names)) < len(names) or not text.isascii()


def parsed(block: bytes) -> object:
    name, _, data = block.partition(b"\ndata: ")
    return name, json.loads(data) if name == b"event: error" else data


def check_events(text: bytes, rng: random.Random) -> None:
    whole = EventStreamEncoder().encode(text)
    encoder = EventStreamEncoder()
    assert b"".join(map(encoder.encode, pieces(text, rng))) == whole, text
    for headers, payload in twin.frames(whole):
        assert headers[":message-type"] in (b"event", b"exception"), text
        if headers.get(":event-type") == b"chunk":
            event = base64.b64decode(json.loads(payload)["bytes"], validate=True)
            assert event.startswith(b"{"), text
    out, _, failed = decoded([whole] if whole else [])
    assert failed or EVENTS.fullmatch(out), text


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    sys.stdout.write(f"seed {options.seed}\n")
    sys.stdout.write(f"{run(options.seconds, options.seed)} inputs, no difference\n")
