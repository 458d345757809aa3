import json

import pytest

from ccrelay.demo import refusals
from ccrelay.demo.plan import Cut, answer


def test_the_connection_ends_without_an_answer(ask, scene, perform):
    reset = perform(refusals.reset_before_head(scene(ask())))
    assert (reset.sent, reset.cut) == (b"", Cut.RST)
    closed = perform(refusals.close_before_head(scene(ask())))
    assert (closed.sent, closed.cut) == (b"", Cut.FIN)


def test_a_stall_is_silent_for_as_long_as_told(ask, scene, perform):
    stalled = perform(refusals.stall_head(scene(ask()), seconds=7.0))
    assert (stalled.sent, stalled.waited_s, stalled.cut) == (b"", 7.0, Cut.FIN)


def test_garbage_is_not_http(ask, scene, perform):
    shown = perform(refusals.garbage(scene(ask())))
    assert not shown.sent.startswith(b"HTTP")
    assert shown.cut is Cut.FIN


def test_an_early_response_reads_no_body_and_closes(ask, scene, perform):
    shown = perform(refusals.early_response(scene()))
    assert shown.reads == []
    assert shown.cut is Cut.FIN
    assert shown.response()[0].status_code == 413
    assert shown.document()["error"]["type"] == "request_too_large"


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
def test_a_status_comes_with_the_type_anthropic_gives_it(ask, scene, perform, code, type):
    shown = perform(refusals.status(scene(ask()), code=code))
    assert shown.response()[0].status_code == code
    assert shown.document()["error"]["type"] == type
    assert shown.cut is None


def test_a_status_can_ask_for_patience_and_forbid_retries(ask, scene, perform):
    plan = refusals.status(
        scene(ask()), code=429, retry_after="61", should_retry=False, message="slow down"
    )
    shown = perform(plan)
    headers = dict(shown.response()[0].headers)
    assert (headers[b"retry-after"], headers[b"x-should-retry"]) == (b"61", b"false")
    assert headers[b"anthropic-ratelimit-requests-remaining"] == b"0"
    assert shown.document()["error"]["message"] == "slow down"


def test_a_bad_gateway_is_html_and_other_bodies_can_be_chosen(ask, scene, perform):
    head, body = perform(refusals.status(scene(ask()), code=502)).response()
    assert dict(head.headers)[b"content-type"].startswith(b"text/html")
    assert body.startswith(b"<html>")
    assert perform(refusals.status(scene(ask()), code=500, body="empty")).response()[1] == b""
    assert perform(refusals.status(scene(ask()), code=304)).body_bytes == b""


def test_a_redirect_names_a_location(ask, scene, perform):
    head, _ = perform(refusals.status(scene(ask()), code=307)).response()
    assert dict(head.headers)[b"location"] == b"/demo/redirected"


def test_an_empty_200_is_a_whole_response_without_a_byte(ask, scene, perform):
    for stream in (True, False):
        head, body = perform(refusals.empty_200(scene(ask(stream=stream)))).response()
        assert (head.status_code, body) == (200, b"")


def test_html_comes_with_200(ask, scene, perform):
    head, body = perform(refusals.html_200(scene(ask()))).response()
    assert (head.status_code, body) == (200, refusals.HTML)


def test_json_comes_to_a_stream_request(ask, scene, perform):
    shown = perform(refusals.json_200(scene(ask())))
    head, body = shown.response()
    assert dict(head.headers)[b"content-type"] == b"application/json"
    plain = perform(answer(scene(ask(stream=False)))).document()
    assert json.loads(body)["content"] == plain["content"]
    error = perform(refusals.json_200(scene(ask()), kind="error"))
    assert error.response()[0].status_code == 200
    assert error.document()["type"] == "error"
