"""What came instead of an answer; tests/loopback/relay/test_content.py has the rest."""

import pytest

from ccrelay._fast.http1 import Head, parse_request, parse_response
from ccrelay.relay.response_content import decoding, is_redirect, shown


def head(**fields: str) -> Head:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    found = parse_response(b"HTTP/1.1 200 OK\r\n" + lines.encode() + b"\r\n")
    assert found is not None
    return found[0]


def client(accepts: str = "") -> Head:
    line = f"accept-encoding: {accepts}\r\n" if accepts else ""
    found = parse_request(b"GET / HTTP/1.1\r\nhost: h\r\n" + line.encode() + b"\r\n")
    assert found is not None
    return found[0]


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308, 399])
def test_every_3xx_is_no_answer(status: int) -> None:
    assert is_redirect(status)


@pytest.mark.parametrize("status", [200, 299, 400])
def test_no_other_status_does(status: int) -> None:
    assert not is_redirect(status)


def test_a_coding_is_undone_for_a_client_that_does_not_accept_it() -> None:
    coding, decoder, for_client = decoding(client(), head(content_encoding="gzip"))
    assert (coding, for_client) == (b"gzip", True)
    assert decoder is not None
    assert decoding(client("gzip"), head(content_encoding="gzip"))[2] is False
    assert decoding(client(), head()) == (b"", None, False)
    assert decoding(client(), head(content_encoding="exotic")) == (b"exotic", None, True)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"plain words", "plain words"),
        (b"a\x1b[31m\r\n\x00b", "a [31m b"),
        (b"Bearer " + b"aB3" * 12 + b" refused", "Bearer *** refused"),
        (b'{"key":"' + b"x9_-" * 10 + b'"}', '{"key":"***"}'),
        (
            b"see https://example.test/docs/errors-and-limits",
            "see https://example.test/docs/errors-and-limits",
        ),
        (b"\xff\xfe", ""),
        (b"the key mine is spent", "the key *** is spent"),
        (b"Bearer abcdefgh and sk-short1", "Bearer *** and ***"),
        (b"password=hunter2, https://me:pass1@h.test/", "password=***, https://me:***@h.test/"),
        (b'{"api_key": "abcd-efgh"}', '{"api_key": "***"}'),
        (b"max_tokens: 4096", "max_tokens: 4096"),
        (b"Invalid token: try again", "Invalid token: try again"),
        (b"y" * 300, "y" * 120),
    ],
)
def test_what_the_log_shows_of_a_body(body: bytes, text: str) -> None:
    assert shown(body, ["mine", ""]) == text
