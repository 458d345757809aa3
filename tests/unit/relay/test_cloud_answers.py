"""AWS's form of errors, counts and heads."""

import json

import pytest

from ccrelay._fast.http1 import parse_response
from ccrelay.errors import NoTarget, NotFound, RelayError, TooLarge
from ccrelay.relay.cloud_answers import EVENT_STREAM, AwsAnswers
from ccrelay.relay.local_reply import ErrorReply
from ccrelay.types import RequestClass

MESSAGES, COUNT = RequestClass.MESSAGES, RequestClass.COUNT_TOKENS
ERROR = b'{"type":"error","error":{"type":"%b","message":"%b"}}'


def read(data: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    parsed = parse_response(data)
    assert parsed is not None
    head, size = parsed
    return head.status, {name.lower(): value for name, value in head.items()}, data[size:]


def rendered(reply: ErrorReply, kind: RequestClass = MESSAGES, after: int | None = None):
    return read(AwsAnswers("id-1", kind, False).render(reply, after, True, ()))


@pytest.mark.parametrize(
    ("status", "body", "told", "name", "message"),
    [
        (400, ERROR % (b"invalid_request_error", b"a: b"), 400, b"ValidationException", "a: b"),
        (429, ERROR % (b"rate_limit_error", b"slow"), 429, b"ThrottlingException", "slow"),
        (529, ERROR % (b"overloaded_error", b"busy"), 503, b"ServiceUnavailableException", "busy"),
        (500, ERROR % (b"strange_error", b"x"), 500, b"InternalServerException", "x"),
        (400, b'{"message":"raw"}', 400, b"ValidationException", "raw"),
        (418, b"<html>", 400, b"ValidationException", "The provider answered with status 418."),
        (502, b"\xff", 500, b"InternalServerException", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_errors_of_providers(
    status: int, body: bytes, told: int, name: bytes, message: str
) -> None:
    got, fields, data = rendered(ErrorReply(1, status, body))
    assert (got, fields[b"x-amzn-errortype"], json.loads(data)) == (
        told,
        name,
        {"message": message},
    )
    assert fields[b"x-amzn-requestid"] == b"id-1"
    assert int(fields[b"content-length"]) == len(data)


def test_the_time_to_come_again_is_told() -> None:
    reply = ErrorReply(1, 429, b"{}", fields=[(b"retry-after", b"99"), (b"request-id", b"r")])
    assert rendered(reply)[1][b"retry-after"] == b"99"
    fields = rendered(reply, after=7)[1]
    assert (fields[b"retry-after"], fields[b"request-id"]) == (b"7", b"r")
    head, _ = parse_response(b"HTTP/1.1 429 x\r\nretry-after: 5\r\nset-cookie: a\r\n\r\n") or (0, 0)
    reply = ErrorReply(1, 429, b"{}", head=head)
    fields = rendered(reply)[1]
    assert fields[b"retry-after"] == b"5"
    assert b"set-cookie" not in fields


@pytest.mark.parametrize(
    ("error", "told", "name"),
    [
        (NoTarget("No.", retry_after_s=3), 503, b"ServiceUnavailableException"),
        (NotFound("No."), 404, b"ResourceNotFoundException"),
        (TooLarge("No.", status=413), 413, b"ValidationException"),
        (TooLarge("No.", status=431), 413, b"ValidationException"),
    ],
)
def test_errors_of_the_relay(error: RelayError, told: int, name: bytes) -> None:
    answers = AwsAnswers("id-1", MESSAGES, True)
    status, fields, data = read(answers.error_response(error, keep_alive=False))
    assert (status, fields[b"x-amzn-errortype"]) == (told, name)
    assert json.loads(data) == {"message": "No."}
    assert fields[b"connection"] == b"close"
    head_only = answers.error_response(error, keep_alive=True, body_wanted=False)
    assert head_only.endswith(b"\r\n\r\n")


def test_counts() -> None:
    got, _, data = rendered(ErrorReply(1, 200, b'{"input_tokens": 12}'), COUNT)
    assert (got, data) == (200, b'{"inputTokens":12}')
    for body in (b"{}", b"[]", b'{"input_tokens":"x"}', b'{"input_tokens":1.5}', b""):
        assert rendered(ErrorReply(1, 200, body), COUNT)[0] == 500


def test_a_message_goes_out_as_it_is() -> None:
    got, fields, data = rendered(ErrorReply(1, 200, b'{"type":"message"}'))
    assert (got, fields[b"content-type"], data) == (200, b"application/json", b'{"type":"message"}')


def test_heads() -> None:
    answers = AwsAnswers("id-1", MESSAGES, True)
    status, fields, _ = read(answers.early_head())
    assert (status, fields[b"content-type"]) == (200, EVENT_STREAM)
    with_id, _ = parse_response(b"HTTP/1.1 200 x\r\nx-amzn-RequestId: a\r\n\r\n") or (0, 0)
    without, _ = parse_response(b"HTTP/1.1 200 x\r\n\r\n") or (0, 0)
    assert answers.lines(with_id) == b""
    assert answers.lines(without) == b"x-amzn-requestid: id-1\r\n"


def test_only_streams_are_frames() -> None:
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    assert AwsAnswers("id-1", MESSAGES, False).events(ping) == ping
    assert AwsAnswers("id-1", MESSAGES, True).events(ping) != ping
