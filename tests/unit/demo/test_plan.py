import gzip
import hashlib
import json

import h11
import pytest

from ccrelay.demo.plan import Stream, answer


def test_a_stream_comes_chunked_with_the_headers_anthropic_sends(ask, scene, perform):
    shown = perform(answer(scene(ask())))
    head, _ = shown.response()
    headers = dict(head.headers)
    assert head.status_code == 200
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"request-id"] == b"req_demos1"
    assert headers[b"anthropic-ratelimit-requests-remaining"] == b"999999"
    assert headers[b"anthropic-ratelimit-requests-reset"] == b"2026-11-22T12:00:30Z"
    assert headers[b"date"] == b"Sun, 22 Nov 2026 12:00:00 GMT"
    assert [event["type"] for event in shown.events()][-1] == "message_stop"


def test_each_event_has_its_own_chunk(ask, scene, perform):
    shown = perform(answer(scene(ask("demo:deltas=3"))))
    chunks = [chunk for chunk in shown.body_bytes.split(b"\r\n") if chunk.startswith(b"event: ")]
    assert len(chunks) == len(shown.events())


def test_a_request_without_stream_gets_a_document(ask, scene, perform):
    shown = perform(answer(scene(ask(stream=False))))
    assert shown.document()["type"] == "message"
    assert shown.waited_s == 0


def test_there_is_a_gap_before_each_delta_and_the_prompt_may_set_it(ask, scene, perform):
    assert perform(answer(scene(ask("demo:deltas=10"), gap_s=0.5))).waited_s == 5
    prompt = "demo:deltas=10 demo:gap_ms=20"
    assert perform(answer(scene(ask(prompt), gap_s=0.5))).waited_s == pytest.approx(0.2)
    assert perform(answer(scene(ask("demo:deltas=10 demo:gap_ms=0"), gap_s=0.5))).waited_s == 0


def test_http_1_0_gets_no_chunks(ask, scene, perform):
    shown = perform(answer(scene(ask(), minor=0)))
    assert b"transfer-encoding" not in shown.sent
    assert b"connection: close" in shown.sent
    assert shown.body_bytes.startswith(b"event: message_start\n")


def test_a_request_that_closes_is_told_so(ask, scene, perform):
    shown = perform(answer(scene(ask(), headers={"connection": "close"})))
    assert dict(shown.response()[0].headers)[b"connection"] == b"close"


def test_a_gzip_request_body_is_understood(ask, scene, perform):
    packed = gzip.compress(json.dumps(ask()).encode())
    coding = {"Content-Encoding": "gzip"}
    assert isinstance(scene(packed, headers=coding).reply(), Stream)
    for broken in (packed[:-9], b"no gzip"):
        shown = perform(answer(scene(broken, headers=coding)))
        assert shown.response()[0].status_code == 400


@pytest.mark.parametrize(
    ("method", "target", "status", "type"),
    [
        ("GET", "/nowhere", 404, "not_found_error"),
        ("GET", "/v1/models/nobody", 404, "not_found_error"),
        ("GET", "/v1/messages", 405, "invalid_request_error"),
        ("POST", "/v1/models", 405, "invalid_request_error"),
        ("POST", "/v1/messages", 400, "invalid_request_error"),
        ("POST", "/v1/messages/count_tokens", 400, "invalid_request_error"),
        ("GET", "/v1/models?limit=no", 400, "invalid_request_error"),
        ("GET", "/v1/modelsx", 404, "not_found_error"),
    ],
)
def test_errors_have_anthropics_shape(scene, perform, method, target, status, type):
    shown = perform(answer(scene(b"", method=method, target=target)))
    assert shown.response()[0].status_code == status
    document = shown.document()
    assert (document["type"], document["error"]["type"]) == ("error", type)
    assert document["request_id"] == "req_demos1"


def test_tokens_are_counted(ask, scene, perform):
    request = {"model": "m", "messages": ask("x" * 400)["messages"]}
    shown = perform(answer(scene(request, target="/v1/messages/count_tokens?beta=true")))
    assert 100 <= shown.document()["input_tokens"] <= 130


def test_models_are_listed_and_found(scene, perform):
    page = perform(answer(scene(method="GET", target="/v1/models?limit=1"))).document()
    assert page["has_more"] is True
    one = perform(answer(scene(method="GET", target=f"/v1/models/{page['first_id']}"))).document()
    assert one == page["data"][0]


def test_hello_has_a_length_and_no_body(scene, perform):
    shown = perform(answer(scene(method="HEAD", target="/api/hello")))
    assert b"content-length: 19\r\n" in shown.sent
    assert shown.body_bytes == b""
    with pytest.raises(h11.RemoteProtocolError):
        shown.response()  # h11 was told GET and misses the body


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/v1/files"),
        ("DELETE", "/v1/files/file_1?beta=true"),
        ("GET", "/v1/messages/batches/b/results"),
        ("GET", "/v1/skills"),
    ],
)
def test_what_is_passed_through_is_echoed(scene, perform, method, target):
    made = scene(b"\x00\xff", method=method, target=target, headers={"X-A": "1", "B": "2"})
    echo = perform(answer(made)).document()
    assert (echo["method"], echo["headers"]) == (method, ["X-A", "B"])
    assert echo["path"] + ("?" + echo["query"] if echo["query"] else "") == target
    assert echo["body_sha256"] == hashlib.sha256(b"\x00\xff").hexdigest()
