"""The cloud clients of the Anthropic SDK, and botocore, against a relay before Anthropic's API."""

import importlib
import json

import pytest

from tests.client.modes import SPACE
from tests.client.rig import RELAY_TOKEN, SENT_MODEL, mapped

pytestmark = [pytest.mark.client, pytest.mark.process]

PROFILE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456"
AWS = {"aws_region": "us-east-1", "api_key": RELAY_TOKEN}
# A client signs with what it has; the token is in a header of its own.
KEYS = {
    "aws_region": "us-east-1",
    "aws_access_key": "AKIDEXAMPLE",
    "aws_secret_key": "test-secret-1",
    "default_headers": {"x-api-key": RELAY_TOKEN},
}
# Client, its arguments, what comes behind the relay's URL, a model.
WAYS = {
    "invoke": ("AnthropicBedrock", AWS, "", PROFILE),
    "invoke_signed": ("AnthropicBedrock", KEYS, "", "global.anthropic.claude-opus-5-5"),
    "mantle": ("AnthropicBedrockMantle", AWS, "/anthropic", "anthropic.claude-opus-5-5"),
    "mantle_signed": ("AnthropicBedrockMantle", KEYS, "/anthropic", "anthropic.claude-haiku-4-5"),
    "vertex": (
        "AnthropicVertex",
        {"region": "global", "project_id": "p-1", "access_token": RELAY_TOKEN},
        "/v1",
        "claude-sonnet-4-5@20250929",
    ),
    "vertex_without_v1": (
        "AnthropicVertex",
        {"region": "us-east5", "project_id": "p-1", "access_token": RELAY_TOKEN},
        "",
        "claude-opus-5-5",
    ),
    "foundry": ("AnthropicFoundry", {"api_key": RELAY_TOKEN}, "/anthropic", "claude-opus-5-5"),
    "foundry_entra": (
        "AnthropicFoundry",
        {"azure_ad_token_provider": lambda: RELAY_TOKEN},
        "/anthropic",
        "claude-opus-5-5",
    ),
    "claude_aws": ("AnthropicAWS", {"workspace_id": "w-1", **AWS}, "", "claude-opus-5-5"),
    "claude_google": (
        "AnthropicGoogleCloud",
        {
            "project": "test-project-1",
            "workspace_id": "wrkspc_test1",
            "token_provider": lambda: RELAY_TOKEN,
        },
        SPACE,
        "claude-opus-5-5",
    ),
}
NO_COUNT = {"invoke", "invoke_signed"}  # the SDK refuses it itself
# The 429 comes last, because the key rests after it.
ERRORS = [("400", 400, 400), ("500", 500, 500), ("529", 529, 503), ("429", 429, 429)]


class Way:
    """A client of the SDK, and the relay that it talks to."""

    def __init__(self, name, client, rig, model):
        self.name = name
        self.client = client
        self.rig = rig
        self.model = model

    def asked(self, text, **members):
        messages = [{"role": "user", "content": text}]
        return {"model": self.model, "max_tokens": 2048, "messages": messages} | members


@pytest.fixture(params=list(WAYS))
def way(request, anthropic, open_rig, monkeypatch):
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    kind, arguments, path, model = WAYS[request.param]
    rig = open_rig(mapped)
    with getattr(anthropic, kind)(base_url=rig.url + path, max_retries=0, **arguments) as client:
        yield Way(request.param, client, rig, model)


def test_messages_streams_tools_and_counts(way):
    message = way.client.messages.create(**way.asked("demo:text=eins zwei"))
    assert message.content[0].text == "eins zwei"
    with way.client.messages.stream(**way.asked("demo:deltas=2000")) as stream:
        texts = list(stream.text_stream)
        final = stream.get_final_message()
    assert [text.strip() for text in texts] == [str(n) for n in range(2000)]
    assert (final.stop_reason, final.usage.input_tokens > 0) == ("end_turn", True)
    bash = {"name": "bash", "description": "x", "input_schema": {"type": "object"}}
    thinks = way.asked("think and use a tool", tools=[bash], thinking={"type": "adaptive"})
    with way.client.messages.stream(**thinks) as stream:
        blocks = stream.get_final_message().content
    assert [block.type for block in blocks] == ["thinking", "text", "tool_use", "tool_use"]
    if way.name not in NO_COUNT:
        counted = way.asked("How many?")
        del counted["max_tokens"]
        assert way.client.messages.count_tokens(**counted).input_tokens > 0
    for seen in way.rig.back.seen():
        assert seen.path in (b"/v1/messages", b"/v1/messages/count_tokens")
        body = json.loads(seen.body)
        assert body["model"] == SENT_MODEL
        assert not {"anthropic_version", "anthropic_beta"} & body.keys()
        assert seen.field(b"anthropic-version") is not None
        assert RELAY_TOKEN.encode() not in b"".join(value for _, value in seen.fields)
        assert not [name for name, _ in seen.fields if name.lower().startswith(b"x-amz")]


def test_errors_are_of_the_same_class_with_the_same_words(way, anthropic):
    late = way.asked("demo:fault=error_mid,message=the-mock-says-no demo:deltas=20")
    stream = way.client.messages.create(**late, stream=True)
    with pytest.raises(anthropic.APIError, match="the-mock-says-no"):
        list(stream)
    for fault, direct, of_invoke in ERRORS:
        told = of_invoke if way.name.startswith("invoke") else direct
        with pytest.raises(anthropic.APIStatusError, match="the-mock-says-no") as caught:
            way.client.messages.create(**way.asked(f"demo:fault={fault},message=the-mock-says-no"))
        assert caught.value.status_code == told


# ---- botocore


def without_tokens(upstream):
    """A relay that lets anybody in: botocore sends Bedrock API keys over TLS only, so it signs."""
    return {"providers": mapped(upstream)["providers"]}


@pytest.fixture
def bedrock(open_rig, monkeypatch):
    """botocore's client, which signs, and the rig."""
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    rig = open_rig(without_tokens)
    session = importlib.import_module("botocore.session").get_session()
    client = session.create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=rig.url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="test-secret-1",
        config=importlib.import_module("botocore.config").Config(retries={"max_attempts": 0}),
    )
    yield client, rig
    client.close()


def invoke_body(text):
    messages = [{"role": "user", "content": text}]
    version = "bedrock-2023-05-31"
    return json.dumps({"anthropic_version": version, "max_tokens": 64, "messages": messages})


@pytest.mark.parametrize("model", [PROFILE, ARN])
def test_botocore_invokes_models(bedrock, model):
    client, rig = bedrock
    body = invoke_body("demo:text=eins zwei")
    if model == ARN:  # no provider serves it: what it is is not known
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.invoke_model(modelId=model, body=body)
        return
    answer = client.invoke_model(modelId=model, body=body)
    assert answer["ResponseMetadata"]["RequestId"]
    assert json.loads(answer["body"].read())["content"][0]["text"] == "eins zwei"
    stream = client.invoke_model_with_response_stream(modelId=model, body=body)
    events = [json.loads(event["chunk"]["bytes"]) for event in stream["body"] if "chunk" in event]
    assert [event["type"] for event in events][-1] == "message_stop"
    assert json.loads(rig.back.seen()[-1].body)["model"] == SENT_MODEL
    counted = client.count_tokens(modelId=model, input={"invokeModel": {"body": body}})
    assert counted["inputTokens"] > 0


@pytest.mark.parametrize(
    ("fault", "name"),
    [("400", "ValidationException"), ("429", "ThrottlingException"),
     ("529", "ServiceUnavailableException"), ("500", "InternalServerException")],
)  # fmt: skip
def test_botocore_knows_the_errors(bedrock, fault, name):
    client, _ = bedrock
    with pytest.raises(getattr(client.exceptions, name), match="the-mock-says-no"):
        client.invoke_model(
            modelId=PROFILE, body=invoke_body(f"demo:fault={fault},message=the-mock-says-no")
        )
