"""The tap of ccrelay._fast.sse against its twin."""

import itertools
import random
from pathlib import Path

import pytest
from hypothesis import example, given, settings, strategies as st

from ccrelay._fast.sse import SseTap
from tests.reference.sse import Tap, read

EVENT_MAX = 100
STREAMS = sorted((Path(__file__).parents[1] / "corpus" / "sse").iterdir())


def fed(pieces: list[bytes], event_max: int = EVENT_MAX) -> Tap:
    tap = SseTap(event_max)
    for piece in pieces:
        tap.feed_bytes(piece)
    return state_of(tap)


def state_of(tap: SseTap) -> Tap:
    return Tap(
        events=tap.events,
        pings=tap.pings,
        at_boundary=tap.at_boundary,
        verdict=tap.verdict,
        stopped=tap.stopped,
        start=tap.start(),
        delta=tap.delta(),
        error=tap.error(),
    )


def cut(data: bytes, at: list[int]) -> list[bytes]:
    borders = [0, *sorted(n % (len(data) + 1) for n in at), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(borders)]


NAMES = st.sampled_from(
    [
        *(b"ping", b"error", b"message_start", b"message_delta", b"message_stop"),
        *(
            b"content_block_delta",
            b"",
            b"message_star",
            b"message_start_and_more",
            b"errors",
            b" ping",
        ),
    ]
)
TYPED = NAMES.map(lambda name: b'{"type":"' + name + b'","usage":1}')
TEXTS = st.one_of(
    TYPED,
    TYPED.map(lambda text: b'{"a":[{"type":"error"}],' + text[1:]),
    TYPED.map(lambda text: text.replace(b":", b" : ") + b"x" * 130),
    st.sampled_from([b"[DONE]", b"", b'{"error":{}}', b'{"error":1}', b"x" * 127, b"x" * 128]),
    st.sampled_from(
        [
            *(b'{"message":{"id":1},', b'{"delta":{"a":1},', b'{"content_block":{},', b'{"a":1,'),
            *(b'{"message":"m",', b'{"type":"new","delta":1,', b'{"a":"' + b"x" * 120 + b'",'),
        ]
    ).flatmap(lambda begun: st.one_of(TYPED, st.just(b"{}")).map(lambda text: begun + text[1:])),
    st.text('{}[]"\\:, typeror', max_size=140).map(lambda text: b"{" + text.encode()),
)
LINES = st.one_of(
    NAMES.map(lambda name: b"event: " + name),
    NAMES.map(lambda name: b"event:" + name),
    TEXTS.map(lambda text: b"data: " + text),
    TEXTS.map(lambda text: b"data:" + text),
    st.sampled_from(
        [b"", b"", b"", b":", b": x", b"data", b"event", b"id: 1", b"dat", b"events:x"]
    ),
)
ENDS = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])
STREAM = st.lists(st.tuples(LINES, ENDS).map(b"".join), max_size=20).map(b"".join)
SOUP = st.lists(
    st.sampled_from(
        [b"event", b"data", b":", b" ", b"\n", b"\r", b"{", b'"type":"ping"', b"error"]
    ),
    max_size=40,
).map(b"".join)
CUTS = st.lists(st.integers(0, 1000), max_size=8)


@settings(max_examples=400, deadline=None)
@given(STREAM | SOUP, CUTS, st.sampled_from([1, 10, EVENT_MAX]))
@example(b'data: {"type":"error"}\r\n\r', [23, 24, 25], EVENT_MAX)
def test_streams_read_like_the_reference_at_any_split(
    stream: bytes, at: list[int], event_max: int
) -> None:
    expected = read(stream, event_max)
    assert fed(cut(stream, at), event_max) == expected
    assert fed([stream[n : n + 1] for n in range(len(stream))], event_max) == expected


@settings(max_examples=100, deadline=None)
@given(STREAM)
def test_the_tap_and_the_reference_agree_after_every_byte(stream: bytes) -> None:
    tap = SseTap(EVENT_MAX)
    for n in range(len(stream)):
        tap.feed_bytes(stream[n : n + 1])
        assert state_of(tap) == read(stream[: n + 1], EVENT_MAX)


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.name)
def test_the_corpus_reads_like_the_reference_at_any_split(path: Path) -> None:
    stream = path.read_bytes()
    rng = random.Random(path.name)
    for event_max in (EVENT_MAX, 262144):
        expected = read(stream, event_max)
        assert fed([stream], event_max) == expected
        for size in (1, 2, 3, 7, 64, 100):
            pieces = [stream[n : n + size] for n in range(0, len(stream), size)]
            assert fed(pieces, event_max) == expected
        for _ in range(50):
            at = [rng.randrange(len(stream) + 1) for _ in range(10)]
            assert fed(cut(stream, at), event_max) == expected


@pytest.mark.parametrize("same", ["full_crlf", "full_cr", "no_space", "mixed_line_ends"])
def test_equivalent_streams_read_the_same(same: str) -> None:
    folder = STREAMS[0].parent
    expected = read((folder / "full.sse").read_bytes())
    assert fed([(folder / f"{same}.sse").read_bytes()], 262144) == expected


def test_the_corpus_covers_every_verdict() -> None:
    assert {read(path.read_bytes()).verdict for path in STREAMS} == {0, 1, 2, 3}
