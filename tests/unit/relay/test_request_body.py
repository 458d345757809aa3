"""What is read out of a request body, and what is said when that cannot be done."""

import pytest

from ccrelay._fast.body import BodyFault
from ccrelay._fast.http1 import HeadFault
from ccrelay.errors import BadRequest
from ccrelay.relay.request_body import (
    FAULTS,
    MODEL_NAME_MAX,
    head_error,
    missing_model,
    model_name,
    span_of_model,
)

# Found in responses and in bodies only.
NOT_OF_A_REQUEST_HEAD = {
    HeadFault.OK,
    HeadFault.BAD_STATUS,
    HeadFault.BAD_CHUNK,
    HeadFault.TRAILER_TOO_LARGE,
}


@pytest.mark.parametrize("fault", sorted(set(BodyFault) - {BodyFault.FINE}))
def test_every_fault_of_a_body_has_an_error(fault: BodyFault) -> None:
    assert FAULTS[int(fault)]().status in (400, 413, 529)


def test_each_error_is_a_new_instance() -> None:
    # An exception that is raised twice carries the traceback, and with it the frames, of both.
    make = FAULTS[int(BodyFault.NOT_JSON)]
    assert make() is not make()


def test_every_fault_of_a_head_says_what_is_wrong() -> None:
    faults = set(HeadFault) - NOT_OF_A_REQUEST_HEAD
    messages = {head_error(int(fault)).message for fault in faults}
    assert len(messages) == len(faults)
    assert not any("it is malformed" in message for message in messages)


@pytest.mark.parametrize("fault", [HeadFault.TOO_MANY_FIELDS, HeadFault.HEAD_TOO_LARGE])
def test_a_head_over_a_limit_is_431_and_names_the_setting(fault: HeadFault) -> None:
    error = head_error(int(fault))
    assert error.status == 431
    assert "server.limits." in error.message


def test_an_unknown_fault_is_still_an_error() -> None:
    assert head_error(9999).status == 400


@pytest.mark.parametrize(
    ("raw", "name"),
    [(b'"glm-5"', "glm-5"), (rb'"\u006d"', "m"), ('"gl\u00fc"'.encode(), "gl\u00fc")],
)
def test_a_model_is_read_with_its_escapes(raw: bytes, name: str) -> None:
    assert model_name(raw) == name


@pytest.mark.parametrize(
    "raw", [b"7", b"null", b'""', b"[]", b'"\xff"', rb'"\ud800"', b'"%b"' % (b"x" * 513)]
)
def test_a_model_that_is_no_name_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest, match='"model"'):
        model_name(raw)


def test_the_longest_model_name_is_accepted() -> None:
    assert len(model_name(b'"%b"' % (b"x" * MODEL_NAME_MAX))) == MODEL_NAME_MAX


def test_the_span_of_the_model_is_the_top_levels() -> None:
    body = b'{"a":{"model":"x"}, "model" : "y" ,"b":"model"}'
    start, end = span_of_model(body)
    assert body[start:end] == b'"y"'


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b'{"model":"a"', "complete"),
        (b'["model"]', "complete"),
        (b"", "complete"),
        (b'{"model":"a","model":"b"}', "Duplicate"),
        (b'{"a":{"model":"x"}}', 'no "model"'),
    ],
)
def test_a_body_without_exactly_one_model_is_refused(body: bytes, word: str) -> None:
    with pytest.raises(BadRequest, match=word):
        span_of_model(body)


def test_a_missing_model_is_the_clients_to_mend() -> None:
    assert missing_model().status == 400
