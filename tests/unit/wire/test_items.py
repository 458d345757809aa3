"""Walking over the objects of an array."""

import json

from hypothesis import given, strategies as st

from ccrelay._fast.json import MemberKeys, MemberScan
from ccrelay.wire.items import (
    STEP_FIRST_BYTES,
    STEP_MAX_BYTES,
    WORD_BYTES_MAX,
    objects,
    span_of,
    string_of,
    word,
)

KEYS = MemberKeys(["type", "text"])
LONG = "x" * (STEP_FIRST_BYTES + STEP_MAX_BYTES)


def walk(body: bytes, most: int = 1000) -> list[tuple[str | None, bytes | None]]:
    """Type and raw text of every object of the array that the whole body is."""
    scan = MemberScan(KEYS, WORD_BYTES_MAX)
    found = []
    for start in objects(body, (0, len(body)), scan, most):
        span = span_of(scan, 1, start)
        found.append((word(scan, 0), body[slice(*span)] if span is not None else None))
    return found


# Of all characters hypothesis first makes a table, for seconds, unless an earlier run has kept it:
# the health check took that for slow tests. So these few are drawn from a list.
LETTERS = st.sampled_from('abz09 "\\/{}[]:,\x00\n\x7f\u00e9\u2028\uffff\U0001f600')
TEXT = st.lists(LETTERS, max_size=5).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.fixed_dictionaries(
    {},
    optional={"type": TEXT, "text": VALUES, "more": VALUES, "data": st.just(LONG)},
)


@given(st.lists(OBJECTS, max_size=4), st.sampled_from([None, 0, 3]), st.booleans())
def test_objects_are_found_with_any_whitespace(
    written: list[dict[str, object]], indent: int | None, escaped: bool
) -> None:
    body = json.dumps(written, indent=indent, ensure_ascii=escaped).encode()
    found = walk(body)
    assert [kind for kind, _ in found] == [item.get("type") for item in written]
    texts = [json.loads(raw) if raw is not None else None for _, raw in found]
    assert texts == [item.get("text") for item in written]


def test_anything_but_an_object_ends_the_iteration() -> None:
    assert walk(b"") == walk(b'"a"') == walk(b"{}") == walk(b"[]") == walk(b"[1,{}]") == []
    assert walk(b'[{"type":"a"},1,{"type":"b"}]') == [("a", None)]
    assert walk(b'[{"type":"a"},{"type":"b"') == [("a", None), ("b", None)]


def test_the_number_of_objects_is_bounded() -> None:
    assert len(walk(b"[" + b",".join([b"{}"] * 50) + b"]", most=7)) == 7


def test_the_iteration_stays_inside_the_array() -> None:
    body = b'{"a":[{"type":"x"}],"b":[{"type":"y"}]}'
    scan = MemberScan(KEYS, WORD_BYTES_MAX)
    span = (body.index(b"["), body.index(b"]") + 1)
    assert [word(scan, 0) for _ in objects(body, span, scan, 9)] == ["x"]


def test_a_word_is_a_short_string() -> None:
    scan = MemberScan(KEYS, WORD_BYTES_MAX)
    seen = []
    for value in (b'"\\u0061b"', b"5", b"null", b'"\\ud800"', b'"' + b"a" * 80 + b'"'):
        list(objects(b'[{"type":%b}]' % value, (0, 200), scan, 1))
        seen.append(word(scan, 0))
    assert seen == ["ab", None, None, None, None]


def test_string_of_strips_quotes_and_rejects_other_values() -> None:
    scan = MemberScan(KEYS, WORD_BYTES_MAX)
    body = b'[{"text":"ab"},{"text":5},{}]'
    found = [string_of(scan, 1, start, body) for start in objects(body, (0, len(body)), scan, 9)]
    assert found == [(10, 12), None, None]
