import json

import pytest

from ccrelay.demo import error_responses as faults
from ccrelay.demo.plan import Close, respond


def test_connection_closed_without_a_response(payload, context, run):
    reset = run(faults.reset_before_head(context(payload())))
    assert (reset.sent, reset.close) == (b"", Close.RST)
    closed = run(faults.close_before_head(context(payload())))
    assert (closed.sent, closed.close) == (b"", Close.FIN)


def test_stall_head_waits_then_closes(payload, context, run):
    stalled = run(faults.stall_head(context(payload()), seconds=7.0))
    assert (stalled.sent, stalled.waited_s, stalled.close) == (b"", 7.0, Close.FIN)


def test_garbage_is_not_http(payload, context, run):
    result = run(faults.garbage(context(payload())))
    assert not result.sent.startswith(b"HTTP")
    assert result.close is Close.FIN


def test_early_response_reads_no_body_and_closes(payload, context, run):
    result = run(faults.early_response(context()))
    assert result.reads == []
    assert result.close is Close.FIN
    assert result.response()[0].status_code == 413
    assert result.document()["error"]["type"] == "request_too_large"


@pytest.mark.parametrize(
    ("code", "type"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (408, "timeout_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (418, "invalid_request_error"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "overloaded_error"),
        (529, "overloaded_error"),
        (599, "api_error"),
    ],
)
def test_status_has_the_error_type_of_anthropic(payload, context, run, code, type):
    result = run(faults.status(context(payload()), code=code))
    assert result.response()[0].status_code == code
    assert result.document()["error"]["type"] == type
    assert result.close is None


def test_status_sets_retry_headers_and_message(payload, context, run):
    plan = faults.status(
        context(payload()),
        code=429,
        retry_after="61",
        should_retry=False,
        message="slow down",
    )
    result = run(plan)
    headers = dict(result.response()[0].headers)
    assert (headers[b"retry-after"], headers[b"x-should-retry"]) == (b"61", b"false")
    assert headers[b"anthropic-ratelimit-requests-remaining"] == b"0"
    assert result.document()["error"]["message"] == "slow down"


def test_status_502_is_html_and_body_selects_others(payload, context, run):
    head, body = run(faults.status(context(payload()), code=502)).response()
    assert dict(head.headers)[b"content-type"].startswith(b"text/html")
    assert body.startswith(b"<html>")
    assert run(faults.status(context(payload()), code=500, body="empty")).response()[1] == b""
    assert run(faults.status(context(payload()), code=304)).body_bytes == b""


def test_a_redirect_has_a_location(payload, context, run):
    head, _ = run(faults.status(context(payload()), code=307)).response()
    assert dict(head.headers)[b"location"] == b"/demo/redirected"


def test_empty_200_is_a_complete_response(payload, context, run):
    for stream in (True, False):
        head, body = run(faults.empty_200(context(payload(stream=stream)))).response()
        assert (head.status_code, body) == (200, b"")


def test_html_200(payload, context, run):
    head, body = run(faults.html_200(context(payload()))).response()
    assert (head.status_code, body) == (200, faults.HTML)


def test_json_200_for_a_stream_request(payload, context, run):
    result = run(faults.json_200(context(payload())))
    head, body = result.response()
    assert dict(head.headers)[b"content-type"] == b"application/json"
    plain = run(respond(context(payload(stream=False)))).document()
    assert json.loads(body)["content"] == plain["content"]
    error = run(faults.json_200(context(payload()), kind="error"))
    assert error.response()[0].status_code == 200
    assert error.document()["type"] == "error"
