import gzip
import hashlib
import json

import h11
import pytest

from ccrelay.demo.plan import Stream, respond


def test_a_stream_is_chunked_with_anthropic_headers(payload, context, run):
    result = run(respond(context(payload())))
    head, _ = result.response()
    headers = dict(head.headers)
    assert head.status_code == 200
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"request-id"] == b"req_demos1"
    assert headers[b"anthropic-ratelimit-requests-remaining"] == b"999999"
    assert headers[b"anthropic-ratelimit-requests-reset"] == b"2026-11-22T12:00:30Z"
    assert headers[b"date"] == b"Sun, 22 Nov 2026 12:00:00 GMT"
    assert [event["type"] for event in result.events()][-1] == "message_stop"


def test_each_event_has_its_own_chunk(payload, context, run):
    result = run(respond(context(payload("demo:deltas=3"))))
    chunks = [chunk for chunk in result.body_bytes.split(b"\r\n") if chunk.startswith(b"event: ")]
    assert len(chunks) == len(result.events())


def test_a_request_without_stream_gets_a_document(payload, context, run):
    result = run(respond(context(payload(stream=False))))
    assert result.document()["type"] == "message"
    assert result.waited_s == 0


def test_gap_before_each_delta_and_gap_directive(payload, context, run):
    assert run(respond(context(payload("demo:deltas=10"), gap_s=0.5))).waited_s == 5
    prompt = "demo:deltas=10 demo:gap_ms=20"
    assert run(respond(context(payload(prompt), gap_s=0.5))).waited_s == pytest.approx(0.2)
    assert run(respond(context(payload("demo:deltas=10 demo:gap_ms=0"), gap_s=0.5))).waited_s == 0


def test_http_1_0_gets_no_chunks(payload, context, run):
    result = run(respond(context(payload(), minor=0)))
    assert b"transfer-encoding" not in result.sent
    assert b"connection: close" in result.sent
    assert result.body_bytes.startswith(b"event: message_start\n")


def test_connection_close_is_echoed(payload, context, run):
    result = run(respond(context(payload(), headers={"connection": "close"})))
    assert dict(result.response()[0].headers)[b"connection"] == b"close"


def test_a_gzip_request_body_is_decoded(payload, context, run):
    packed = gzip.compress(json.dumps(payload()).encode())
    coding = {"Content-Encoding": "gzip"}
    assert isinstance(context(packed, headers=coding).reply(), Stream)
    for broken in (packed[:-9], b"no gzip"):
        result = run(respond(context(broken, headers=coding)))
        assert result.response()[0].status_code == 400


@pytest.mark.parametrize(
    ("method", "target", "status", "type"),
    [
        ("GET", "/nowhere", 404, "not_found_error"),
        ("GET", "/v1/models/unknown", 404, "not_found_error"),
        ("GET", "/v1/messages", 405, "invalid_request_error"),
        ("POST", "/v1/models", 405, "invalid_request_error"),
        ("POST", "/v1/messages", 400, "invalid_request_error"),
        ("POST", "/v1/messages/count_tokens", 400, "invalid_request_error"),
        ("GET", "/v1/models?limit=no", 400, "invalid_request_error"),
        ("GET", "/v1/modelsx", 404, "not_found_error"),
    ],
)
def test_errors_have_the_format_of_anthropic(context, run, method, target, status, type):
    result = run(respond(context(b"", method=method, target=target)))
    assert result.response()[0].status_code == status
    document = result.document()
    assert (document["type"], document["error"]["type"]) == ("error", type)
    assert document["request_id"] == "req_demos1"


def test_count_tokens(payload, context, run):
    request = {"model": "m", "messages": payload("x" * 400)["messages"]}
    result = run(respond(context(request, target="/v1/messages/count_tokens?beta=true")))
    assert 100 <= result.document()["input_tokens"] <= 130


def test_models_are_listed_and_retrieved(context, run):
    page = run(respond(context(method="GET", target="/v1/models?limit=1"))).document()
    assert page["has_more"] is True
    one = run(respond(context(method="GET", target=f"/v1/models/{page['first_id']}"))).document()
    assert one == page["data"][0]


def test_head_of_hello_has_a_length_and_no_body(context, run):
    result = run(respond(context(method="HEAD", target="/api/hello")))
    assert b"content-length: 19\r\n" in result.sent
    assert result.body_bytes == b""
    with pytest.raises(h11.RemoteProtocolError):
        result.response()  # h11 expects the body of a GET


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/v1/files"),
        ("DELETE", "/v1/files/file_1?beta=true"),
        ("GET", "/v1/messages/batches/b/results"),
        ("GET", "/v1/skills"),
    ],
)
def test_other_paths_are_echoed(context, run, method, target):
    made = context(b"\x00\xff", method=method, target=target, headers={"X-A": "1", "B": "2"})
    echo = run(respond(made)).document()
    assert (echo["method"], echo["headers"]) == (method, ["X-A", "B"])
    assert echo["path"] + ("?" + echo["query"] if echo["query"] else "") == target
    assert echo["body_sha256"] == hashlib.sha256(b"\x00\xff").hexdigest()
