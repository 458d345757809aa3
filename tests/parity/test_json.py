"""The scan of ccrelay._fast.json against its twin and against msgspec."""

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from ccrelay._fast.json import MemberKeys, MemberScan, count_elements, scan, simd, use_simd
from ccrelay._fast.json_items import end_of_items, join
from tests.reference.json_members import COMPLETE, INVALID, Members, Slot, members

NAMES = ("model", "stream", "messages", "é😀")
KEYS = MemberKeys(NAMES)
CAPTURE_MAX = 40
BODIES = sorted((Path(__file__).parents[1] / "corpus" / "bodies").iterdir())


@pytest.fixture(params=["portable", "simd"], autouse=True)
def _way(request: pytest.FixtureRequest) -> Iterator[None]:
    before = simd()
    use_simd(request.param == "simd")
    yield
    use_simd(before)


def fed(pieces: list[bytes]) -> Members:
    found = MemberScan(KEYS, CAPTURE_MAX)
    for piece in pieces:
        found.feed_bytes(piece)
    slots = [Slot(found.seen(n), found.span(n), found.value(n)) for n in range(len(NAMES))]
    return Members(found.state, found.offset, slots, found.elements)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    borders = [0, *sorted(n % (len(data) + 1) for n in at), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(borders)]


def twin(data: bytes) -> Members:
    return members(data, NAMES, CAPTURE_MAX)


# Near-JSON: every token of the grammar, whole members, and text that is easily misread.
TOKENS = st.sampled_from(
    [
        *(bytes([c]) for c in b'{}[]:,"\\ \n\t\x00\x1f0123456789-+.eEtfn/u\xc3\xff'),
        *(b"true", b"false", b"null", b'""', b'"a":', b"[]", b"{}", b"\\\\", b'\\"'),
        *(b'"model":', b'"\\u006dodel":', b'"stream":1,', b'"messages":[', b'"x"', b",", b"}"),
        *(
            "é".encode(),
            b"\\u00e9",
            b"\\ud83d\\ude00",
            b"\\ud83d",
            b" " * 61,
            b"\\" * 63,
            b"x" * 64,
        ),
    ]
)
SOUP = st.lists(TOKENS, max_size=60).map(b"".join).map(lambda text: b"{" + text)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=90)
    | st.text('\\"{}[]\n', max_size=140),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(NAMES), inner, max_size=6)
    ),
    max_leaves=25,
)
SPACES = st.text(" \t\r\n", max_size=3)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Valid objects, duplicates, escaped keys and any white space included."""
    parts = []
    for _ in range(draw(st.integers(0, 6))):
        key = draw(st.sampled_from(NAMES) | st.text(max_size=70))
        spelled = json.dumps(key, ensure_ascii=draw(st.booleans()))
        if key in NAMES and draw(st.booleans()):
            spelled = '"' + "".join(json.dumps(c)[1:-1] for c in key) + '"'
            spelled = spelled.replace("o", "\\u006f").replace("m", "\\u006D")
        value = json.dumps(
            draw(VALUES), ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1]))
        )
        parts.append("".join([draw(SPACES), spelled, draw(SPACES), ":", draw(SPACES), value]))
    text = draw(SPACES) + "{" + ",".join(parts) + draw(SPACES) + "}" + draw(SPACES)
    return text.encode("utf-8", "surrogatepass")


CUTS = st.lists(st.integers(0, 2000), max_size=8)
RELAXED = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@RELAXED
@given(SOUP, CUTS)
@example(b'{"a":[\\"]', [])
def test_near_json_scans_like_the_reference_at_any_split(data: bytes, at: list[int]) -> None:
    expected = twin(data)
    assert fed(cut(data, at)) == expected
    assert fed([data[n : n + 1] for n in range(len(data))]) == expected


@RELAXED
@given(documents(), CUTS)
def test_json_scans_like_the_reference_at_any_split(data: bytes, at: list[int]) -> None:
    expected = twin(data)
    assert expected.state == COMPLETE
    assert fed(cut(data, at)) == expected


@RELAXED
@given(documents(), st.integers(0, 2000), TOKENS)
def test_damaged_json_scans_like_the_reference(data: bytes, at: int, token: bytes) -> None:
    at %= len(data) + 1
    for damaged in (data[:at] + token + data[at:], data[:at] + token + data[at + len(token) :]):
        assert fed([damaged]) == twin(damaged)


@RELAXED
@given(documents() | SOUP)
def test_msgspecs_spans_are_reproduced(data: bytes) -> None:
    judge_by_msgspec(data)


def judge_by_msgspec(data: bytes) -> bool:
    try:
        expected = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    names = list(expected)
    for start in range(0, len(names), 8):
        wanted = names[start : start + 8]
        found = scan(data, MemberKeys(wanted), len(data))
        assert found.state == COMPLETE
        for slot, name in enumerate(wanted):
            span = found.span(slot)
            if span is None:
                # spelled too long to be looked at: up to 12 bytes a character (a surrogate pair)
                assert len(name) >= 256 // 12
                continue
            if found.seen(slot) == 1:  # of duplicates msgspec keeps the last, the scan the first
                assert data[slice(*span)] == bytes(expected[name]) == found.value(slot)
    return True


@pytest.mark.parametrize("path", BODIES, ids=lambda path: path.name)
def test_the_corpus_reads_like_the_reference_at_any_split(path: Path) -> None:
    data = path.read_bytes()
    expected = twin(data)
    rng = random.Random(path.name)
    assert fed([data]) == expected
    assert fed([data[n : n + 1] for n in range(len(data))]) == expected
    for size in (2, 3, 63, 64, 65, 127, 1000):
        assert fed([data[n : n + size] for n in range(0, len(data), size)]) == expected
    for _ in range(50):
        assert fed(cut(data, [rng.randrange(len(data) + 1) for _ in range(20)])) == expected


@pytest.mark.parametrize("path", BODIES, ids=lambda path: path.name)
def test_msgspec_and_the_scan_agree_on_the_corpus(path: Path) -> None:
    data = path.read_bytes()
    accepted = judge_by_msgspec(data)
    state = twin(data).state
    # Skipped, not decoded: what msgspec looks into (escapes, UTF-8, its depth limit) may differ.
    if not accepted and path.stem not in ("deep_10000", "invalid_utf8", "key_with_surrogates"):
        assert state != COMPLETE
    if accepted:
        assert state == COMPLETE


def test_the_corpus_covers_every_outcome() -> None:
    states = {twin(path.read_bytes()).state for path in BODIES}
    assert states == {0, COMPLETE, INVALID}


# ---- elements


@RELAXED
@given(VALUES)
def test_elements_are_all_items_and_members_and_empty_containers_count_twice(value: object) -> None:
    def count(found: object) -> int:
        if isinstance(found, dict):
            found = list(found.values())
        if not isinstance(found, list):
            return 0
        return max(len(found), 1) + sum(map(count, found))

    text = json.dumps({"a": value}).encode()
    assert count_elements(text) == scan(text, KEYS).elements == count({"a": value})


@pytest.mark.parametrize(
    "text", [b"", b"]]]]", b"[[[", b'"', b'"\\"', b"\\,,", b"[" * 20_000, b"{,"]
)
def test_elements_of_what_is_no_json_are_counted_too(text: bytes) -> None:
    assert 0 <= count_elements(text) <= len(text)


@RELAXED
@given(st.lists(VALUES, max_size=40), st.integers(0, 200), st.integers(1, 5), SPACES)
def test_an_array_is_taken_apart_into_its_items(
    values: list[object], bytes_max: int, items_max: int, space: str
) -> None:
    items = [json.dumps(one).encode() for one in values]
    text = b"[%b]" % (f"{space},{space}".encode().join(items))
    runs, at = [], 1
    while at < len(text):
        end = end_of_items(text, at, bytes_max, items_max)
        runs.append(text[at:end])
        at = end + 1
    assert b",".join(runs) == text[1:-1]
    found = [msgspec.json.decode(b"[%b]" % run) for run in runs]
    assert [one for run in found for one in run] == values
    assert all(len(run) <= items_max for run in found)


@pytest.mark.parametrize("text", [b"[", b"[,", b'["', b"[{", b"[\\", b"[1,2", b'["\\'])
def test_text_that_is_no_array_is_not_read_beyond(text: bytes) -> None:
    assert end_of_items(text, 1 if len(text) > 1 else 0, 9, 9) <= len(text)
    with pytest.raises(IndexError):
        end_of_items(text, len(text), 9, 9)


def test_pieces_of_any_kind_are_joined() -> None:
    assert join([]) == b""
    assert join([b"ab", memoryview(b"xcdx")[1:3], msgspec.Raw(b"e"), bytearray(b"f")]) == b"abcdef"
    with pytest.raises(TypeError):
        join([b"a", "b"])
