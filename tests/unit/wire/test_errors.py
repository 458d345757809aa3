import json

import h11
import pytest

from ccrelay.errors import BadRequest, NoTarget, Unauthorized
from ccrelay.wire import errors


def parse(response: bytes, method: str = "POST") -> tuple[h11.Response, bytes]:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(response)
    head = client.next_event()
    assert isinstance(head, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    return head, body


def sse_data(event: bytes) -> dict[str, object]:
    assert event.startswith(b"event: error\ndata: ")
    assert event.endswith(b"\n\n")
    data = event.removeprefix(b"event: error\ndata: ").removesuffix(b"\n\n")
    assert b"\n" not in data
    assert b"\r" not in data
    loaded = json.loads(data)
    assert isinstance(loaded, dict)
    return loaded


def test_an_error_body_has_anthropics_shape() -> None:
    body = errors.error_body(BadRequest("no model"), "req_1")
    assert json.loads(body) == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "no model"},
        "request_id": "req_1",
    }


def test_error_body_accepts_a_type_and_message() -> None:
    body = json.loads(errors.error_body(("billing_error", "empty"), None))
    assert body["error"] == {"type": "billing_error", "message": "empty"}
    assert body["request_id"] is None


def test_a_message_with_a_lone_surrogate_is_encoded() -> None:
    body = json.loads(errors.error_body(("api_error", "cut \ud83d off"), None))
    assert body["error"]["message"] == "cut ? off"


def test_an_error_response_is_complete_http_with_its_request_id() -> None:
    head, body = parse(errors.error_response(NoTarget("all rest"), "req_9", keep_alive=True))
    fields = dict(head.headers)
    assert head.status_code == 529
    assert fields[b"request-id"] == b"req_9"
    assert fields[b"content-type"] == b"application/json"
    assert b"retry-after" not in fields
    assert b"x-should-retry" not in fields
    assert b"connection" not in fields
    assert json.loads(body)["error"]["type"] == "overloaded_error"


@pytest.mark.parametrize(("asked", "sent"), [(5, b"5"), (60, b"60"), (3600, b"60"), (-1, b"0")])
def test_an_estimated_retry_after_is_capped(asked: int, sent: bytes) -> None:
    error = NoTarget("later", retry_after_s=asked)
    head, _ = parse(errors.error_response(error, "r", keep_alive=True))
    assert dict(head.headers)[b"retry-after"] == sent


@pytest.mark.parametrize(("flag", "sent"), [(True, b"true"), (False, b"false")])
def test_should_retry_is_sent_when_set(flag: bool, sent: bytes) -> None:
    error = Unauthorized("revoked", should_retry=flag)
    head, _ = parse(errors.error_response(error, "r", keep_alive=False))
    assert dict(head.headers)[b"x-should-retry"] == sent
    assert dict(head.headers)[b"connection"] == b"close"


def test_a_head_response_has_the_length_and_no_body() -> None:
    response = errors.error_response(Unauthorized("no"), "r", keep_alive=True, body_wanted=False)
    head, body = parse(response, "HEAD")
    assert int(dict(head.headers)[b"content-length"]) > 0
    assert body == b""


def test_json_response_adds_extra_fields() -> None:
    head, body = parse(errors.json_response(200, b"{}", [(b"x-a", b"1")]))
    assert (head.status_code, head.reason, body) == (200, b"OK", b"{}")
    assert dict(head.headers)[b"x-a"] == b"1"


@pytest.mark.parametrize(
    ("status", "reason"), [(404, b"Not Found"), (529, b"Overloaded"), (499, b"Error")]
)
def test_every_status_has_a_reason(status: int, reason: bytes) -> None:
    assert parse(errors.json_response(status, b"{}"))[0].reason == reason


@pytest.mark.parametrize(
    ("status", "kind"),
    [(529, "overloaded_error"), (418, "invalid_request_error"), (599, "api_error")],
)
def test_unlisted_statuses_get_their_class_type(status: int, kind: str) -> None:
    assert errors.error_type(status) == kind


def test_an_sse_error_is_one_event() -> None:
    data = sse_data(errors.sse_error("overloaded_error", "line\none"))
    assert data == {"type": "error", "error": {"type": "overloaded_error", "message": "line\none"}}


def test_an_anthropic_error_body_becomes_an_event_unchanged() -> None:
    body = (
        b'{\r\n "type":"error",\n "error":{"type":"x_error","message":"a\\nb","n":1.0},"e":1e400}\n'
    )
    event = errors.sse_error_from_body(400, body)
    data = event.split(b"data: ", 1)[1]
    assert data.replace(b" ", b"") == body.translate(None, b" \r\n") + b"\n\n"
    assert sse_data(event)["type"] == "error"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"prompt is too long: 5 tokens > 4 maximum"}}', "prompt is too long"),
        (b'{"error":"model missing"}', "model missing"),
        (b'{"detail":"nope"}', "nope"),
        (b'{"message":"plain"}', "plain"),
        (b"upstream connect error", "upstream connect error"),
        (b"<html><body>502</body></html>", "The provider answered with status 502."),
        (b"", "The provider answered with status 502."),
        (b"[1]", "The provider answered with status 502."),
        (b'{"error":{"message":{"deep":1}}}', "The provider answered with status 502."),
        (b'{"type":"x","error":{"type":"y","message":"own type"}}', "own type"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_foreign_bodies_keep_the_sentence_the_client_matches(body: bytes, message: str) -> None:
    error = sse_data(errors.sse_error_from_body(502, body))["error"]
    assert isinstance(error, dict)
    assert error["type"] == "api_error"
    assert error["message"].startswith(message)


def test_a_long_foreign_text_is_truncated() -> None:
    assert len(errors.foreign_message(500, b"x" * 100_000)) == errors.FOREIGN_TEXT_MAX


def test_the_ping_is_an_event_of_its_own() -> None:
    assert errors.PING == b'event: ping\ndata: {"type": "ping"}\n\n'
