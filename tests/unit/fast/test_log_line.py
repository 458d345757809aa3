"""One line of the access log: what it says, for any members."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from ccrelay._fast.log_line import DictLine, JsonLine, LineBuffer, LogLine

INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
# Lone surrogates included: they come from bytes that are not UTF-8.
ANY_TEXT = st.text(st.characters(exclude_categories=()))
INTEGERS = st.integers(INT64_MIN, INT64_MAX)
# Up to three years.
SECONDS = st.floats(-10.0, 1e8)

Member = tuple[str, Any]  # method and value
MEMBERS = st.lists(
    st.one_of(
        st.tuples(st.just("text"), ANY_TEXT | st.none()),
        st.tuples(st.just("token"), st.from_regex(r"[a-z0-9_:.-]*", fullmatch=True)),
        st.tuples(st.just("count"), INTEGERS),
        st.tuples(st.just("millis"), SECONDS),
        st.tuples(st.just("flag"), st.none()),
    )
)


def write(line: LogLine, members: list[Member]) -> None:
    """Give the members to a line, named m0, m1, ..."""
    for number, (method, value) in enumerate(members):
        name = b"m%d" % number
        if method == "flag":
            line.flag(name)
        else:
            getattr(line, method)(name, value)


def written(line: LineBuffer, members: list[Member], prefix: bytes) -> bytes:
    line.begin(prefix)
    write(line, members)
    return line.finish()


def as_json(members: list[Member]) -> bytes:
    return written(JsonLine(), members, b"{")


def as_dict(members: list[Member]) -> dict[str, object]:
    line = DictLine()
    write(line, members)
    return line.members


@given(MEMBERS)
def test_json_parses_and_equals_the_members(members: list[Member]) -> None:
    line = as_json(members)
    assert line.isascii()
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    decoded = json.loads(line)
    assert list(decoded) == [f"m{number}" for number in range(len(members))]
    for (method, value), found in zip(members, decoded.values(), strict=True):
        if method == "millis":
            assert type(found) is float
            # Whole microseconds, rounded down; below zero is zero.
            assert found == pytest.approx(max(value, 0.0) * 1e3, abs=0.0011)
        else:
            assert found == (True if method == "flag" else value)


@given(MEMBERS)
def test_a_dictionary_line_equals_the_decoded_json_line(members: list[Member]) -> None:
    decoded = json.loads(as_json(members))
    assert as_dict(members) == decoded
    types = {name: type(value) for name, value in decoded.items()}
    assert {name: type(value) for name, value in as_dict(members).items()} == types


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, b"0.0"),
        (-1.0, b"0.0"),
        (0.001, b"1.0"),
        (0.0125, b"12.5"),
        (0.000_001_5, b"0.001"),
        (0.000_000_9, b"0.0"),
        (0.012_345_6, b"12.345"),
        (1.23, b"1230.0"),
        (90_061.5, b"90061500.0"),
        (float("nan"), b"0.0"),
    ],
)
def test_milliseconds_have_one_to_three_decimals(seconds: float, shown: bytes) -> None:
    member = ("millis", seconds)
    assert as_json([member]) == b'{"m0":' + shown + b"}\n"


@pytest.mark.parametrize("value", [0, 7, -7, 10, INT64_MAX, INT64_MIN])
def test_integers(value: int) -> None:
    assert as_json([("count", value)]) == b'{"m0":%d}\n' % value


@pytest.mark.parametrize("value", [INT64_MAX + 1, INT64_MIN - 1])
def test_an_integer_over_64_bits_is_an_error(value: int) -> None:
    for line in (JsonLine(), DictLine()):
        with pytest.raises(OverflowError):
            line.count(b"n", value)


@pytest.mark.parametrize("value", [5, b"bytes", ["list"]])
def test_text_that_is_no_str_is_an_error(value: Any) -> None:
    line = JsonLine()
    line.begin(b"{")
    with pytest.raises(TypeError, match="must be str or None"):
        line.text(b"n", value)


def test_a_token_is_written_as_it_is() -> None:
    member = ("token", "sha256:00ff")
    assert as_json([member]) == b'{"m0":"sha256:00ff"}\n'


def test_the_first_member_follows_members_of_the_prefix() -> None:
    line = JsonLine()
    assert written(line, [("count", 1), ("flag", None)], b'{"a":0,') == (
        b'{"a":0,"m0":1,"m1":true}\n'
    )


@pytest.mark.parametrize("size", [1000, 1023, 1024, 1025, 2047, 2048, 100_000])
@pytest.mark.parametrize("letter", ["x", "\n"])
def test_the_buffer_grows(size: int, letter: str) -> None:
    text = letter * size
    token = "t" * size
    members = [("text", text), ("token", token), ("count", INT64_MIN), ("flag", None)]
    assert json.loads(as_json(members)) == {
        "m0": text,
        "m1": token,
        "m2": INT64_MIN,
        "m3": True,
    }


def test_a_prefix_longer_than_the_buffer() -> None:
    prefix = b'{"a":"' + b"x" * 5000 + b'",'
    assert json.loads(written(JsonLine(), [("count", 1)], prefix)) == {"a": "x" * 5000, "m0": 1}


@given(st.lists(MEMBERS, min_size=2, max_size=5))
def test_one_line_object_is_used_for_many_lines(lines: list[list[Member]]) -> None:
    line = JsonLine()
    for members in lines:
        assert written(line, members, b"{") == as_json(members)


def test_a_line_that_was_not_finished_leaves_nothing_behind() -> None:
    line = JsonLine()
    line.begin(b"{")
    line.text(b"half", "x" * 3000)
    assert written(line, [("count", 1)], b"{") == b'{"m0":1}\n'


def test_the_base_line_takes_members_and_keeps_nothing() -> None:
    line = LogLine()
    write(line, [("text", "a"), ("count", 1), ("millis", 0.5), ("flag", None)])
    assert not hasattr(line, "members")


@pytest.mark.parametrize("value", [None, "é", "\udc80"])
def test_a_token_that_is_not_ascii_is_written_as_text(value: str | None) -> None:
    line = JsonLine()
    line.begin(b"{")
    line.token(b"id", value)  # type: ignore[arg-type]
    by_token = line.finish()
    line.begin(b"{")
    line.text(b"id", value)
    assert by_token == line.finish()
