import base64
import json

import pytest

from ccrelay.demo.plan import Document, Stream

TURN = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
INVOKE = TURN | {"anthropic_version": "bedrock-2023-05-31"}
VERTEX = TURN | {"anthropic_version": "vertex-2023-10-16"}
MESSAGES = "/anthropic/v1/messages"


def invoke(model="us.anthropic.claude-opus-5-5", verb="invoke"):
    return f"/model/{model}/{verb}"


def vertex(model="claude-opus-5-5", verb="rawPredict", location="global"):
    return f"/v1/projects/p/locations/{location}/publishers/anthropic/models/{model}:{verb}"


def text_of(reply):
    assert isinstance(reply, Document)
    return reply.status, json.loads(reply.body)


def message_of(reply):
    status, plain = text_of(reply)
    assert status == 400
    return plain.get("message") or plain["error"]["message"]


def test_invoke_answers_by_its_path(cloud_context):
    whole = cloud_context("bedrock-invoke", INVOKE, target=invoke()).reply()
    assert text_of(whole)[1]["model"] == "claude-opus-5-5"
    verb = "invoke-with-response-stream"
    assert isinstance(
        cloud_context("bedrock-invoke", INVOKE, target=invoke(verb=verb)).reply(), Stream
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (TURN, "anthropic_version: Field required"),
        (TURN | {"anthropic_version": "2023-06-01"}, "anthropic_version: Input should be"),
        (INVOKE | {"model": "m"}, "model: Extra inputs are not permitted"),
        (INVOKE | {"stream": True}, "stream: Extra inputs are not permitted"),
        (INVOKE | {"anthropic_beta": "a"}, "anthropic_beta: Input should be a valid list"),
        (INVOKE | {"anthropic_beta": ["nope"]}, "invalid beta flag"),
        ([], "The request body cannot be read"),
        ({"anthropic_version": "bedrock-2023-05-31"}, "The request body cannot be read"),
    ],
)
def test_invoke_refuses(cloud_context, body, words):
    assert words in message_of(cloud_context("bedrock-invoke", body, target=invoke()).reply())


def test_the_new_version_is_refused_by_ids_of_version_v1_0(cloud_context):
    body = TURN | {"anthropic_version": "2026-10-21"}
    old = invoke("us.anthropic.claude-haiku-4-5-20251001-v1:0")
    assert cloud_context("bedrock-invoke", body, target=invoke()).reply().status == 200
    assert "anthropic_version" in message_of(
        cloud_context("bedrock-invoke", body, target=old).reply()
    )


def test_a_flag_of_the_header_is_not_in_force_on_invoke(cloud_context):
    body = INVOKE | {"tools": [{"name": "a", "defer_loading": True}]}
    flag = "tool-search-tool-2025-10-19"
    header = {"anthropic-beta": flag}
    found = cloud_context("bedrock-invoke", body, target=invoke(), headers=header).reply()
    assert message_of(found) == "tools.0.defer_loading: Extra inputs are not permitted"
    listed = cloud_context("bedrock-invoke", body | {"anthropic_beta": [flag]}, target=invoke())
    assert listed.reply().status == 200


def test_vertex_has_no_model_in_the_body(cloud_context):
    assert cloud_context("vertex", VERTEX, target=vertex()).reply().status == 200
    found = cloud_context("vertex", VERTEX | {"model": "m"}, target=vertex()).reply()
    assert message_of(found) == "model: Extra inputs are not permitted"
    streamed = VERTEX | {"stream": True}
    found = cloud_context("vertex", streamed, target=vertex(verb="streamRawPredict")).reply()
    assert isinstance(found, Stream)


@pytest.mark.parametrize("dialect", ["mantle", "azure", "bedrock"])
def test_a_version_is_required_in_the_header(cloud_context, dialect):
    body = TURN | {"model": "my-model" if dialect == "azure" else "anthropic.claude-opus-5-5"}
    assert cloud_context(dialect, body, target=MESSAGES).reply().status == 200
    for version in ("", "2020-01-01"):
        headers = {"anthropic-version": version}
        found = cloud_context(dialect, body, target=MESSAGES, headers=headers).reply()
        assert "anthropic-version" in message_of(found)


@pytest.mark.parametrize("model", [None, 5, ""])
def test_a_model_is_required(cloud_context, model):
    found = cloud_context("azure", TURN | {"model": model}, target=MESSAGES).reply()
    assert message_of(found) == "model: Field required"


def test_a_profile_in_the_body_is_of_bedrock_runtime(cloud_context):
    body = TURN | {"model": "us.anthropic.claude-opus-5-5", "metadata": {"user_id": "x"}}
    found = cloud_context("bedrock", body, target=MESSAGES).reply()
    assert text_of(found)[1] == {"message": "metadata: Extra inputs are not permitted"}


def test_counts_of_each_form(cloud_context):
    inner = base64.b64encode(json.dumps(INVOKE).encode()).decode()
    wrapped = {"input": {"invokeModel": {"body": inner}}}
    target = invoke("anthropic.claude-opus-5-5", "count-tokens")
    found = text_of(cloud_context("bedrock-invoke", wrapped, target=target).reply())
    assert found[1]["inputTokens"] > 0
    count = {"model": "claude-haiku-4-5@20251001", "messages": TURN["messages"]}
    found = text_of(cloud_context("vertex", count, target=vertex("count-tokens")).reply())
    assert found[1]["input_tokens"] > 0
    body = {"model": "anthropic.claude-opus-5-5", "messages": TURN["messages"]}
    found = text_of(cloud_context("mantle", body, target=f"{MESSAGES}/count_tokens").reply())
    assert found[1]["input_tokens"] > 0


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        (TURN, "anthropic_version: Field required"),
        ({"anthropic_version": "bedrock-2023-05-31"}, "max_tokens: Field required"),
        ("not base64!", "input.invokeModel.body"),
        (None, "input.invokeModel.body"),
    ],
)
def test_a_count_of_invoke_needs_a_whole_body(cloud_context, inner, words):
    text = inner
    if isinstance(inner, dict):
        text = base64.b64encode(json.dumps(inner).encode()).decode()
    body = {"input": {"invokeModel": {"body": text}}}
    target = invoke("anthropic.claude-opus-5-5", "count-tokens")
    assert words in message_of(cloud_context("bedrock-invoke", body, target=target).reply())


def test_bedrock_runtime_counts_nothing_and_says_so_with_a_success(cloud_context):
    body = {"model": "us.anthropic.claude-opus-5-5", "messages": []}
    found = text_of(cloud_context("bedrock", body, target=f"{MESSAGES}/count_tokens").reply())
    assert found[0] == 200
    assert "UnknownOperationException" in found[1]["Output"]["__type"]


@pytest.mark.parametrize(
    ("dialect", "target", "size", "status"),
    [
        ("bedrock-invoke", invoke(), 20 << 20, 413),
        ("vertex", vertex(), 30 << 20, 400),
    ],
)
def test_large_bodies_are_refused(cloud_context, dialect, target, size, status):
    found = cloud_context(dialect, b" " * (size + 1), target=target).reply()
    assert found.status == status


def test_models_without_access(cloud_context):
    denied = {"denied": ("claude-opus-5-5",)}
    aws = cloud_context("bedrock-invoke", INVOKE, target=invoke(), **denied).reply()
    assert (aws.status, "x-amzn-errortype" in dict(aws.headers)) == (403, True)
    google = cloud_context("vertex", VERTEX, target=vertex(), **denied).reply()
    assert text_of(google)[1]["error"]["status"] == "PERMISSION_DENIED"
    body = TURN | {"model": "claude-opus-5-5"}
    azure = cloud_context("azure", body, target=MESSAGES, **denied).reply()
    assert text_of(azure)[1]["error"]["code"] == "PermissionDenied"


def test_a_lenient_cloud_refuses_no_members(cloud_context):
    body = INVOKE | {"nope": 1, "anthropic_beta": ["nope"]}
    found = cloud_context("bedrock-invoke", body, target=invoke(), strict=False).reply()
    assert found.status == 200
