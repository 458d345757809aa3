import base64
import json

import pytest
from botocore.eventstream import EventStreamBuffer

from ccrelay.demo.cloud import DIALECTS
from ccrelay.demo.handler import RequestHandler
from ccrelay.demo.limits import Limiter, Quotas
from ccrelay.demo.plan import respond
from ccrelay.demo.script import Script, ScriptRun
from tests.unit.demo.test_cloud_auth import TARGETS, body_for

STREAM = "/model/us.anthropic.claude-opus-5-5/invoke-with-response-stream"


def frames(data):
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return list(buffer)


@pytest.fixture
def made(cloud_context):
    def make(dialect, **members):
        return cloud_context(dialect, body_for(dialect) | members, target=TARGETS[dialect])

    return make


def handled(context, run, *, script="ok", quotas=""):
    limiter = Limiter(Quotas.parse(quotas), lambda: 1000.0)
    handler = RequestHandler(context, ScriptRun(Script.parse(script)), limiter)
    body = context.body
    return run(handler.steps(), context, body), limiter, handler


@pytest.mark.parametrize(
    ("dialect", "id", "fields"),
    [
        ("bedrock-invoke", "msg_bdrk_s1", {b"x-amzn-requestid"}),
        ("mantle", "msg_bdrk_s1", {b"x-amzn-requestid", b"request-id"}),
        ("claude-aws", "msg_demos1", {b"x-amzn-requestid", b"request-id"}),
        ("vertex", "msg_vrtx_s1", {b"request-id"}),
        ("claude-google", "msg_demos1", {b"request-id"}),
        ("azure", "msg_demos1", {b"request-id", b"apim-request-id"}),
    ],
)
def test_answers_have_the_ids_of_the_cloud(made, run, dialect, id, fields):
    result = run(respond(made(dialect)))
    names = {name for name, _ in result.response()[0].headers}
    assert result.document()["id"] == id
    assert fields <= names
    has_limits = any(name.startswith(b"anthropic-ratelimit") for name in names)
    assert has_limits == (dialect == "claude-aws")


def test_a_stream_of_invoke_is_an_event_stream(cloud_context, run):
    body = body_for("bedrock-invoke") | {"max_tokens": 1000}
    result = run(respond(cloud_context("bedrock-invoke", body, target=STREAM)))
    head, data = result.response()
    headers = dict(head.headers)
    assert headers[b"content-type"] == b"application/vnd.amazon.eventstream"
    assert headers[b"x-amzn-bedrock-content-type"] == b"application/json"
    events = [
        json.loads(base64.b64decode(json.loads(frame.payload)["bytes"])) for frame in frames(data)
    ]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start"
    assert "ping" not in kinds
    metrics = events[-1]["amazon-bedrock-invocationMetrics"]
    assert metrics["outputTokenCount"] == events[-2]["usage"]["output_tokens"]


def test_other_streams_are_text(made, run):
    result = run(respond(made("vertex", stream=True)))
    assert [event["type"] for event in result.events()][-1] == "message_stop"


def test_a_limit_is_throttling_without_a_time(made, run):
    result, *_ = handled(made("bedrock-invoke"), run, quotas="itpm=1")
    head, _ = result.response()
    assert (head.status_code, b"retry-after" in dict(head.headers)) == (429, False)
    assert dict(head.headers)[b"x-amzn-errortype"].startswith(b"ThrottlingException")
    result, *_ = handled(made("azure"), run, quotas="itpm=1")
    assert dict(result.response()[0].headers)[b"retry-after"]


def test_who_is_refused_does_not_count(cloud_context, run):
    context = cloud_context(
        "vertex", body_for("vertex"), target=TARGETS["vertex"], headers={"authorization": "no"}
    )
    result, limiter, _ = handled(context, run, quotas="rpm=5")
    assert result.response()[0].status_code == 401
    assert limiter.ledger().get("none", {"requests": 0})["requests"] == 0


@pytest.mark.parametrize("dialect", TARGETS)
def test_scripts_apply_to_messages_of_every_cloud(made, run, dialect):
    result, _, handler = handled(made(dialect), run, script="status=503")
    assert handler.fault == "status"
    assert result.response()[0].status_code == 503


def test_the_clock_of_the_cloud_is_in_the_date(cloud_context, run):
    body = body_for("vertex")
    context = cloud_context("vertex", body, target=TARGETS["vertex"], clock_skew_s=3600.0)
    head, _ = run(respond(context)).response()
    assert dict(head.headers)[b"date"] == b"Sun, 22 Nov 2026 13:00:00 GMT"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_unknown_path_is_answered(cloud_context, run, dialect):
    result, *_ = handled(cloud_context(dialect, b"", target="/nope"), run, script="529")
    assert result.response()[0].status_code == 404


def test_lists_are_answered_for_bedrock(cloud_context):
    found = cloud_context("bedrock-invoke", method="GET", target="/inference-profiles").reply()
    assert json.loads(found.body)["inferenceProfileSummaries"]
    one = "/inference-profiles/us.anthropic.claude-haiku-4-5-20251001-v1%3A0"
    found = cloud_context("bedrock-invoke", method="GET", target=one).reply()
    assert json.loads(found.body)["status"] == "ACTIVE"
    models = cloud_context("claude-aws", method="GET", target="/v1/models").reply()
    assert json.loads(models.body)["data"]
    converse = cloud_context("bedrock-invoke", b"{}", target="/model/m/converse").reply()
    assert converse.status == 400
