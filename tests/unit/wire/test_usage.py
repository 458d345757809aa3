import json

import pytest

from ccrelay._fast.usage import Usage
from ccrelay.wire.usage import stop_reason, usage_from_json, usage_from_stream


def start(**usage: object) -> bytes:
    return json.dumps({"type": "message_start", "message": {"id": "m", "usage": usage}}).encode()


def delta(**usage: object) -> bytes:
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    return json.dumps({"type": "message_delta", "delta": stop, "usage": usage}).encode()


FULL = start(
    input_tokens=12,
    output_tokens=3,
    cache_read_input_tokens=3000,
    cache_creation_input_tokens=100,
    cache_creation={"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
    service_tier="standard",
)


def test_the_split_comes_from_the_start_and_the_output_from_the_delta() -> None:
    end = delta(output_tokens=321, output_tokens_details={"thinking_tokens": 100})
    assert usage_from_stream(FULL, end) == Usage(12, 321, 3000, 60, 40, 100)


def test_counts_in_the_delta_replace_earlier_ones() -> None:
    end = delta(input_tokens=20, output_tokens=5, cache_read_input_tokens=3000)
    assert usage_from_stream(FULL, end) == Usage(20, 5, 3000, 60, 40)


def test_null_in_the_delta_replaces_nothing() -> None:
    assert usage_from_stream(FULL, delta(input_tokens=None, output_tokens=5)).input == 12


def test_a_zero_in_the_delta_is_a_count() -> None:
    assert usage_from_stream(FULL, delta(input_tokens=0, output_tokens=5)).input == 0


def test_a_newer_cache_total_keeps_the_one_hour_part() -> None:
    usage = usage_from_stream(FULL, delta(output_tokens=1, cache_creation_input_tokens=150))
    assert (usage.cache_write_5m, usage.cache_write_1h) == (110, 40)


def test_the_one_hour_part_never_exceeds_the_total() -> None:
    usage = usage_from_stream(FULL, delta(output_tokens=1, cache_creation_input_tokens=30))
    assert (usage.cache_write_5m, usage.cache_write_1h) == (0, 30)


def test_a_cache_total_without_split_counts_as_five_minutes() -> None:
    usage = usage_from_json(b'{"cache_creation_input_tokens":7}')
    assert (usage.cache_write_5m, usage.cache_write_1h) == (7, 0)


def test_a_split_without_total_is_used() -> None:
    usage = usage_from_json(
        b'{"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":2}}'
    )
    assert (usage.cache_write_5m, usage.cache_write_1h) == (1, 2)


def test_either_event_alone_is_enough() -> None:
    assert usage_from_stream(FULL, None) == Usage(12, 3, 3000, 60, 40)
    assert usage_from_stream(None, delta(input_tokens=4, output_tokens=5)) == Usage(4, 5)


def test_compaction_is_added_because_the_totals_leave_it_out() -> None:
    iterations = [
        {"type": "message", "input_tokens": 1000, "output_tokens": 1000},
        {
            "type": "compaction",
            "input_tokens": 1,
            "output_tokens": 2,
            "cache_read_input_tokens": 3,
            "cache_creation_input_tokens": 4,
        },
    ]
    usage = usage_from_json(
        json.dumps({"input_tokens": 10, "output_tokens": 20, "iterations": iterations}).encode()
    )
    assert usage == Usage(11, 22, 3, 4)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"message":null,"usage":null}',
        b'{"message":{"usage":{"input_tokens":"5"}},"usage":{"input_tokens":"5"}}',
        b'{"message":{"usage":{"input_tokens":-5}},"usage":{"input_tokens":-5}}',
        b'{"message":{"usage":{"input_tokens":1e400}},"usage":{"input_tokens":1e400}}',
        b'{"message":{"usage":{"input_tokens":9' + b"9" * 30 + b"}}}",
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_invalid_usage_counts_as_zero(garbage: bytes) -> None:
    assert usage_from_stream(garbage, None) == Usage()
    assert usage_from_stream(None, garbage) == Usage()
    assert usage_from_json(garbage) == Usage()
    assert stop_reason(garbage) is None


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("12.0", 12),
        ("1.2e3", 1200),
        ("12E0", 12),
        ("0.0", 0),
        ("-0.0", 0),
        ("11.7", 12),
        ("1e12", 10**12),
        ("-1.0", 0),
        ("1e300", 0),
        ('"12"', 0),
        ("true", 0),
    ],
)
def test_counts_may_be_written_as_floats(written: str, count: int) -> None:
    tokens = written.encode()
    one = b'{"input_tokens":%b}' % tokens
    assert usage_from_json(one) == Usage(count)
    delta = b'{"usage":{"output_tokens":%b}}' % tokens
    usage = usage_from_stream(b'{"message":{"usage":%b}}' % one, delta)
    assert usage == Usage(count, count)
    assert type(usage.input) is int


def test_every_count_may_be_a_float() -> None:
    written = (
        b'{"input_tokens":1.0,"output_tokens":2.0,"cache_read_input_tokens":3.0,'
        b'"cache_creation_input_tokens":9.0,"cache_creation":{"ephemeral_5m_input_tokens":4.0,'
        b'"ephemeral_1h_input_tokens":5.0},"output_tokens_details":{"thinking_tokens":1.0},'
        b'"iterations":[{"type":"compaction","input_tokens":10.0,"output_tokens":1e1,'
        b'"cache_read_input_tokens":10.0,"cache_creation_input_tokens":10.0}]}'
    )
    assert usage_from_json(written) == Usage(11, 12, 13, 14, 5, 1)


def test_missing_usage_is_zero() -> None:
    assert usage_from_stream(None, None) == usage_from_json(None) == Usage()


def test_the_stop_reason_is_read_from_the_delta() -> None:
    assert stop_reason(delta(output_tokens=1)) == "end_turn"
    assert stop_reason(b'{"delta":{"stop_reason":null}}') is None
    assert stop_reason(None) is None
