from urllib.parse import unquote

import pytest
from hypothesis import given, strategies as st

from ccrelay.control import frames
from ccrelay.control.errors import Refused
from ccrelay.control.web_response import percent_decoded


@given(st.text())
def test_messages_come_back(message: str) -> None:
    encoded = frames.percent_encoded(message)
    assert encoded.isascii()
    assert encoded.isprintable()
    expected = message.encode(errors="replace").decode()
    assert unquote(encoded) == expected
    assert percent_decoded(encoded) == expected


def test_messages_are_readable_where_they_can_be() -> None:
    assert frames.percent_encoded("No such key: a/b (1).") == "No such key: a/b (1)."
    assert frames.percent_encoded("100 %\n\u00fc") == "100 %25%0A%C3%BC"
    assert frames.percent_encoded("\ud800") == "?"


@pytest.mark.parametrize("text", ["%", "%4", "%zz", "a%", "%C3", "% 41"])
def test_messages_that_are_not_well_formed_do_no_harm(text: str) -> None:
    assert isinstance(percent_decoded(text), str)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1H", 3600), ("2M", 120), ("3S", 3), ("250m", 0.25), ("1u", 1e-6), ("1n", 1e-9), (" 0S ", 0)],
)
def test_timeouts(text: str, seconds: float) -> None:
    assert frames.timeout_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["1", "S", "1s", "-1S", "1.5S", "123456789S", "1S,2S", "\u0661S"])
def test_timeouts_that_are_none(text: str) -> None:
    with pytest.raises(Refused):
        frames.timeout_s(text)


def test_metadata_of_a_request() -> None:
    headers = [
        ("host", "x"),
        ("authorization", "Bearer x"),
        ("cookie", "c"),
        ("x-ccrelay-page", "k"),
        ("grpc-timeout", "1S"),
        ("x-text", "a, b"),
        ("x-bin", "AP8=,AA"),
        ("x bad", "1"),
    ]
    expected = [("x-text", "a, b"), ("x-bin", b"\x00\xff"), ("x-bin", b"\x00")]
    assert frames.metadata_of(headers) == expected
    with pytest.raises(Refused, match="x-bin"):
        frames.metadata_of([("x-bin", "*")])


def test_metadata_of_a_response() -> None:
    lines = frames.header_lines([("a", "1"), ("b-bin", b"\xff"), ("c", b"2")])
    assert lines == [("a", "1"), ("b-bin", "/w"), ("c", "2")]


@pytest.mark.parametrize(
    "pair",
    [
        ("A", "1"),
        ("a b", "1"),
        ("", "1"),
        ("grpc-status", "0"),
        ("a", "1\r\nb: 2"),
        ("a", "\u00fc"),
    ],
)
def test_metadata_that_is_none(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="of metadata"):
        frames.header_lines([pair])


def test_trailers() -> None:
    data = frames.trailers(5, "no\r\ngrpc-status: 0", [("x-a", "1")])
    assert data[:1] == b"\x80"
    assert int.from_bytes(data[1:5], "big") == len(data) - 5
    assert data[5:] == b"grpc-status: 5\r\ngrpc-message: no%0D%0Agrpc-status: 0\r\nx-a: 1\r\n"


@given(st.binary(max_size=40))
def test_a_body_is_one_message_or_refused(body: bytes) -> None:
    try:
        message = frames.one_message(body)
    except Refused:
        return
    assert body.startswith(frames.frame(message))
