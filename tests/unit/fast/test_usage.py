"""Usage read in C: the same as `ccrelay.wire.usage` decodes, or None for the decoder to judge."""

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from ccrelay._fast.usage import Usage, stop_reason_of, usage_of_json, usage_of_stream
from ccrelay.wire.usage import stop_reason, usage_from_json, usage_from_stream

CALM = settings(deadline=None, max_examples=400)


# ---- JSON as text: what a decoder would hide (spaces, escapes, duplicates) is drawn, too


def text_of(members: list[tuple[str, str]], space: str) -> str:
    inside = f"{space},{space}".join(f"{name}{space}:{space}{value}" for name, value in members)
    return f"{{{space}{inside}{space}}}"


SPACES = st.sampled_from(["", "", "", " ", "\n\t", "\r\n  "])
COUNTS = st.one_of(
    st.integers(0, 200_000).map(str),
    st.sampled_from(["null", "0", "1"]),
    st.sampled_from(
        [
            *("-1", "-0", "1.0", "12.5", "1e3", "2E+2", "0.0", "1e999", "true", '"7"', "[]", "{}"),
            *("99999999999999", "100000000000000", str(1 << 48), str((1 << 48) + 1), "9" * 40),
        ]
    ),
)
UNKNOWN = st.recursive(
    st.one_of(
        COUNTS,
        st.text(max_size=8).map(json.dumps),
        st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
        st.sampled_from(['"}"', '"\\""', '"\\\\"', '"a\\\\\\"]"', '"\\ud83d\\ude00"', "[1,{}]"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(st.sampled_from(['"x"', '"usage"', '"y\\n"']), inner), max_size=3).map(
            lambda members: text_of(members, "")
        ),
    ),
    max_leaves=6,
)
NESTS = st.integers(28, 36).map(lambda depth: "[" * depth + "]" * depth)
OTHER_NAMES = st.sampled_from(
    ['"service_tier"', '"input_token"', '"input_tokens2"', '""', '"inference_geo"', '"\\u0061"']
)


def spelt(name: str) -> st.SearchStrategy[str]:
    """A name as JSON; seldom with an escape."""
    escaped = f'"\\u{ord(name[0]):04x}{name[1:]}"'
    return st.sampled_from([f'"{name}"'] * 12 + [escaped])


def objects(known: dict[str, st.SearchStrategy[str]], most: int = 8) -> st.SearchStrategy[str]:
    """An object with any of these members, in any order, perhaps twice, among unknown ones."""
    member = st.one_of(
        *[st.tuples(spelt(name), value) for name, value in known.items()],
        st.tuples(OTHER_NAMES, UNKNOWN | NESTS),
    )
    return st.builds(text_of, st.lists(member, max_size=most), SPACES)


def or_odd(value: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(value, value, value, value, st.just("null"), UNKNOWN)


SPLITS = objects({f"ephemeral_{life}_input_tokens": COUNTS for life in ("5m", "1h")}, 4)
DETAILS = objects({"thinking_tokens": COUNTS}, 3)
TOOLS = objects({"web_search_requests": COUNTS}, 3)
ITERATIONS = st.sampled_from(
    ["null", "[]", '[{"type":"message","input_tokens":3}]', '[{"type":"compaction"}]', "5"]
)
USAGES = objects(
    {
        "input_tokens": COUNTS,
        "output_tokens": COUNTS,
        "cache_read_input_tokens": COUNTS,
        "cache_creation_input_tokens": COUNTS,
        "cache_creation": or_odd(SPLITS),
        "output_tokens_details": or_odd(DETAILS),
        "iterations": ITERATIONS,
        "server_tool_use": or_odd(TOOLS),
        "speed": or_odd(st.sampled_from(['"fast"', '"standard"', '"\\u0066ast"'])),
        "inference_geo": or_odd(st.sampled_from(['"us"', '"global"', '"US"'])),
    }
)
MESSAGES = objects({"usage": or_odd(USAGES), "id": st.just('"msg_1"')}, 4)
STARTS = objects({"message": or_odd(MESSAGES), "type": st.just('"message_start"')}, 4)
STOPS = objects(
    {"stop_reason": st.sampled_from(['"end_turn"', '"tool_use"', "null", '""', '"\\u0061"', "7"])},
    3,
)
DELTAS = objects({"usage": or_odd(USAGES), "delta": or_odd(STOPS)}, 4)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# ---- the two readings


@CALM
@given(or_odd(USAGES))
@example('{"input_tokens":1e999,"output_tokens":1}')
@example('{"cache_creation":{"ephemeral_1h_input_tokens":9},"cache_creation":null}')
@example('{"x":"\\ud800","input_tokens":1}')
def test_usage_of_a_json_answer_is_none_or_what_the_decoder_reads(text: str) -> None:
    raw = encoded(text)
    assert usage_of_json(raw) in (None, usage_from_json(raw))


@pytest.mark.parametrize(
    ("members", "price"),
    [
        ('"speed":"fast"', (0, True, False)),
        ('"speed":"standard","inference_geo":"us"', (0, False, True)),
        ('"server_tool_use":{"web_search_requests":3,"web_fetch_requests":1}', (3, False, False)),
        ('"server_tool_use":{"web_search_requests":"3"},"speed":7', (0, False, False)),
        ('"server_tool_use":[],"inference_geo":null', (0, False, False)),
    ],
)
def test_what_is_about_the_price_costs_no_count(
    members: str, price: tuple[int, bool, bool]
) -> None:
    raw = f'{{"input_tokens":5,{members},"output_tokens":6}}'.encode()
    decoded = usage_from_json(raw)
    assert usage_of_json(raw) in (None, decoded)
    assert (decoded.input, decoded.output) == (5, 6)
    assert (decoded.searches, decoded.fast, decoded.in_us) == price


def test_the_end_of_a_stream_overrules_its_beginning() -> None:
    start = (
        b'{"message":{"usage":{"input_tokens":5,"speed":"fast","inference_geo":"us",'
        b'"server_tool_use":{"web_search_requests":1}}}}'
    )
    delta = (
        b'{"usage":{"output_tokens":6,"speed":"standard",'
        b'"server_tool_use":{"web_search_requests":2}}}'
    )
    expected = Usage(5, 6, searches=2, in_us=True)
    assert usage_of_stream(start, delta) == usage_from_stream(start, delta) == expected


@CALM
@given(st.none() | or_odd(STARTS), st.none() | or_odd(DELTAS))
@example('{"message":{"usage":7},"message":{"usage":{"input_tokens":1}}}', None)
@example('{"message":7,"message":{"usage":{"input_tokens":1}}}', None)
@example(None, '{"usage":[],"usage":{"output_tokens":1}}')
def test_usage_of_a_stream_is_none_or_what_the_decoder_reads(
    start: str | None, delta: str | None
) -> None:
    first = encoded(start) if start is not None else None
    last = encoded(delta) if delta is not None else None
    assert usage_of_stream(first, last) in (None, usage_from_stream(first, last))


@CALM
@given(or_odd(DELTAS))
@example('{"delta":{"stop_reason":7,"stop_reason":"end_turn"}}')
@example('{"delta":7,"delta":{"stop_reason":"end_turn"}}')
def test_the_stop_reason_is_none_or_what_the_decoder_reads(text: str) -> None:
    raw = encoded(text)
    assert stop_reason_of(raw) in (None, stop_reason(raw))


# ---- what providers send is read without the decoder


FULL: dict[str, Any] = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 100,
    "cache_read_input_tokens": 3000,
    "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
    "output_tokens": 3,
    "service_tier": "standard",
    "inference_geo": None,
}
END: dict[str, Any] = {"output_tokens": 321, "output_tokens_details": {"thinking_tokens": 100}}


@pytest.mark.parametrize("indent", [None, 2])
def test_the_usual_stream_needs_no_decoder(indent: int | None) -> None:
    message = {"id": "msg_1", "content": [], "usage": FULL}
    start = json.dumps({"type": "message_start", "message": message}, indent=indent).encode()
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    delta = json.dumps({"type": "message_delta", "delta": stop, "usage": END}, indent=indent)
    assert usage_of_stream(start, delta.encode()) == Usage(12, 321, 3000, 60, 40, 100)
    assert stop_reason_of(delta.encode()) == "end_turn"


def test_the_usual_json_answer_needs_no_decoder() -> None:
    assert usage_of_json(json.dumps(FULL).encode()) == Usage(12, 3, 3000, 60, 40, 0)


def test_nothing_reported_is_a_zero_usage() -> None:
    assert usage_of_json(None) == usage_of_stream(None, None) == Usage()
    assert usage_of_stream(b'{"type":"message_start","message":{}}', None) == Usage()
    assert stop_reason_of(None) is None


@pytest.mark.parametrize(
    "raw",
    [
        b'{"\\u0069nput_tokens":1}',
        b'{"input_tokens":-1}',
        b'{"input_tokens":1.0}',
        b'{"input_tokens":100000000000000}',
        b'{"iterations":[]}',
        b'{"x":' + b"[" * 40 + b"]" * 40 + b"}",
        b"[]",
    ],
)
def test_unusual_shapes_are_left_to_the_decoder(raw: bytes) -> None:
    assert usage_of_json(raw) is None


@pytest.mark.parametrize("size", range(len(b'{"input_tokens":12,"x":"\\"') + 1))
def test_truncated_json_reads_nothing_beyond_its_end(size: int) -> None:
    assert usage_of_json(b'{"input_tokens":12,"x":"\\"'[:size]) is None


def test_usage_compares_hashes_and_prints_by_its_counts() -> None:
    usage = Usage(input=1, output=2)
    assert usage == Usage(1, 2)
    assert usage != Usage(1, 3)
    assert hash(usage) == hash(Usage(1, 2))
    assert repr(usage).startswith("Usage(input=1, output=2, cache_read=0")
