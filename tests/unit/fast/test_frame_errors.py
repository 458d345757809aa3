"""Names of AWS's errors in Anthropic's terms, as the readable twin has them."""

import pytest

from ccrelay._fast import frame_errors
from ccrelay._fast.frame_errors import error_event, exception_event, quoted, unquoted
from ccrelay.providers.base import STATUS_BY_TYPE
from tests.reference import eventstream as reference


def test_the_tables_are_those_of_the_twin() -> None:
    assert frame_errors.PLAIN_NAMES == reference.PLAIN
    assert frame_errors.ERROR_TYPES == {**reference.PLAIN, **reference.NAMED}
    assert frame_errors.TYPES_BY_STATUS == reference.BY_STATUS


def test_every_type_is_one_of_anthropics() -> None:
    types = {*frame_errors.ERROR_TYPES.values(), *frame_errors.TYPES_BY_STATUS.values()}
    assert types <= STATUS_BY_TYPE.keys()
    assert frame_errors.NAMES_BY_TYPE.keys() <= types


@pytest.mark.parametrize("text", [b"", b'a"b\\c', b"line\nend\x00", "é✓😀".encode(), b"\xff"])
def test_quoted_is_json(text: bytes) -> None:
    assert quoted(text) == reference.quoted(text.decode("utf-8", "replace"))


def test_unquoted_undoes_escapes_of_ascii_only() -> None:
    assert unquoted(b'"abc"') == b"abc"
    assert unquoted(b'"a\\/b\\u0041"') == b"a/bA"
    for wrong in (b"", b'"', b"abc", b"7", b'"\\ud83d"', b'"\\u00e9"', b'"\\x"'):
        assert unquoted(wrong) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "arn:aws:sts::123456789012:role/x is denied",
            "arn:aws:sts::************:role/x is denied",
        ),
        ("request 1234567890123 a123456789012", "request 1234567890123 a123456789012"),
    ],
)
def test_the_number_of_an_account_is_not_shown(text: str, shown: str) -> None:
    payload = f'{{"message":"{text}"}}'.encode()
    for event in (
        exception_event(b"accessDeniedException", payload),
        exception_event(b"accessDeniedException", text.encode()),
        error_event(b"403", quoted(text.encode()), b""),
    ):
        assert f'"message":"{shown}"'.encode() in event
    assert exception_event(b"x", payload) == reference.exception_event(b"x", payload)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (b"429", "rate_limit_error"),
        (b"503", "overloaded_error"),
        (b"599", "api_error"),
        (b"4290", "api_error"),
    ],
)
def test_the_code_of_an_error_frame_may_be_a_status(code: bytes, kind: str) -> None:
    event = error_event(code, b'"m"', b"")
    assert f'"error":{{"type":"{kind}"'.encode() in event
    assert event == reference.error_event(code, b'"m"')
