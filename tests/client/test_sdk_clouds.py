"""The cloud clients of the Anthropic SDK as judges of the mock clouds, and of each other."""

import pytest

from ccrelay.demo.cloud import Cloud
from tests.mock_clouds import mock_cloud

pytestmark = pytest.mark.client

AWS = {
    "aws_access_key": "AKIDEXAMPLE",
    "aws_secret_key": "test-secret-1",
    "aws_region": "us-east-1",
}
GOOGLE = {"region": "global", "project_id": "test-project-1", "access_token": "test-token-1"}
BASH = {
    "name": "bash",
    "description": "Run a command",
    "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}},
}
# Client, its arguments, the dialect of the mock, what comes after its URL, and a model.
WAYS = {
    "invoke": ("AnthropicBedrock", AWS, "bedrock-invoke", "", "us.anthropic.claude-opus-5-5"),
    "invoke_key": (
        "AnthropicBedrock",
        {"api_key": "test-bedrock-key-1", "aws_region": "us-east-1"},
        "bedrock-invoke",
        "",
        "global.anthropic.claude-opus-5-5",
    ),
    "invoke_session": (
        "AnthropicBedrock",
        AWS | {"aws_session_token": "test-session-1"},
        "bedrock-invoke",
        "",
        "us.anthropic.claude-haiku-5-5",
    ),
    "mantle": (
        "AnthropicBedrockMantle",
        AWS,
        "bedrock",
        "/anthropic",
        "anthropic.claude-opus-5-5",
    ),
    "mantle_key": (
        "AnthropicBedrockMantle",
        {"api_key": "test-bedrock-key-1", "aws_region": "us-east-1"},
        "mantle",
        "/anthropic",
        "anthropic.claude-haiku-4-5",
    ),
    "claude_aws": (
        "AnthropicAWS",
        AWS | {"workspace_id": "wrkspc_test1"},
        "claude-aws",
        "",
        "claude-opus-5-5",
    ),
    "claude_aws_key": (
        "AnthropicAWS",
        {"api_key": "test-key-1", "workspace_id": "wrkspc_test1", "aws_region": "us-east-1"},
        "claude-aws",
        "",
        "claude-haiku-4-5-20251001",
    ),
    "vertex": ("AnthropicVertex", GOOGLE, "vertex", "/v1", "claude-opus-5-5"),
    "vertex_dated": ("AnthropicVertex", GOOGLE, "vertex", "/v1", "claude-haiku-4-5@20251001"),
    "claude_google": (
        "AnthropicGoogleCloud",
        {
            "project": "test-project-1",
            "workspace_id": "wrkspc_test1",
            "token_provider": lambda: "test-token-1",
        },
        "claude-google",
        "/v1/projects/test-project-1/locations/global/workspaces/wrkspc_test1/invoke",
        "claude-opus-5-5",
    ),
    "azure": ("AnthropicFoundry", {"api_key": "test-key-1"}, "azure", "/anthropic", "my-opus"),
    "azure_entra": (
        "AnthropicFoundry",
        {"azure_ad_token_provider": lambda: "test-token-1"},
        "azure",
        "/anthropic",
        "claude-opus-5-5",
    ),
}
NO_COUNT = {"invoke", "invoke_key", "invoke_session"}  # the SDK refuses it itself


class Way:
    """A client of the SDK and the mock that it talks to."""

    def __init__(self, name, client, server, model):
        self.name = name
        self.client = client
        self.server = server
        self.model = model

    def asked(self, text, **members):
        messages = [{"role": "user", "content": text}]
        return {"model": self.model, "max_tokens": 2048, "messages": messages} | members


@pytest.fixture
def way_by(anthropic, monkeypatch):
    """Open a way by its name."""
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    opened = []

    def opens(name):
        kind, arguments, dialect, path, model = WAYS[name]
        running = mock_cloud(Cloud(dialect=dialect))
        server = running.__enter__()
        client = getattr(anthropic, kind)(base_url=server.url + path, max_retries=0, **arguments)
        opened.append((running, client))
        return Way(name, client, server, model)

    yield opens
    for running, client in opened:
        client.close()
        running.__exit__(None, None, None)


@pytest.fixture(params=list(WAYS))
def way(request, way_by):
    return way_by(request.param)


def test_create(way):
    message = way.client.messages.create(**way.asked("demo:text=eins zwei"))
    assert message.content[0].text == "eins zwei"
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 2)


def test_stream(way):
    with way.client.messages.stream(**way.asked("demo:text=eins zwei drei")) as stream:
        assert "".join(stream.text_stream) == "eins zwei drei"
        final = stream.get_final_message()
    assert final.usage.output_tokens == 3


def test_tools_and_their_results(way):
    asked = way.asked("demo:tool=bash", tools=[BASH])
    with way.client.messages.stream(**asked) as stream:
        first = stream.get_final_message()
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [call.input["command"] for call in calls] == [f"echo demo tool {n}" for n in (1, 2)]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "done"} for call in calls]
    turns = [
        *asked["messages"],
        {"role": "assistant", "content": [block.to_dict() for block in first.content]},
        {"role": "user", "content": results},
    ]
    final = way.client.messages.create(**asked | {"messages": turns})
    assert "2 tool results" in final.content[0].text


def test_count(way):
    if way.name in NO_COUNT:
        with pytest.raises(Exception, match="not support"):
            way.client.messages.count_tokens(model=way.model, messages=[])
        return
    messages = [{"role": "user", "content": "How many?"}]
    found = way.client.messages.count_tokens(model=way.model, messages=messages)
    assert found.input_tokens > 0


def test_a_flag_is_sent_where_it_is_read(way):
    flag = "context-1m-2025-08-07"
    message = way.client.beta.messages.create(**way.asked("demo:text=beta"), betas=[flag])
    assert message.content[0].text == "beta"


def test_an_unknown_flag_is_refused(way, anthropic):
    with pytest.raises(anthropic.BadRequestError) as caught:
        way.client.beta.messages.create(**way.asked("hi"), betas=["nope-2026-01-01"])
    assert "invalid beta flag" in str(caught.value) or "Unexpected value" in str(caught.value)


def test_an_unknown_member_is_refused(way, anthropic):
    with pytest.raises(anthropic.BadRequestError, match="nope: Extra inputs are not permitted"):
        way.client.messages.create(**way.asked("hi"), extra_body={"nope": 1})


@pytest.mark.parametrize("stream", [False, True])
def test_a_limit_is_read_as_one(way, anthropic, stream):
    way.server.set_fault("cloud_error")
    with pytest.raises(anthropic.RateLimitError):
        way.client.messages.create(**way.asked("hi"), stream=stream)


def test_an_error_in_a_stream_is_raised(way, anthropic):
    way.server.set_fault("error_mid")
    with (
        pytest.raises(anthropic.APIError),
        way.client.messages.stream(**way.asked("demo:deltas=20")) as stream,
    ):
        stream.get_final_message()


@pytest.mark.parametrize("name", ["invoke", "mantle", "claude_aws"])
def test_a_wrong_secret_is_refused(anthropic, name):
    kind, arguments, dialect, path, model = WAYS[name]
    wrong = arguments | {"aws_secret_key": "test-secret-2"}
    with mock_cloud(Cloud(dialect=dialect)) as server:
        url = server.url + path
        with getattr(anthropic, kind)(base_url=url, max_retries=0, **wrong) as client:
            asked = {
                "model": model,
                "max_tokens": 9,
                "messages": [{"role": "user", "content": "a"}],
            }
            with pytest.raises(anthropic.PermissionDeniedError, match="signature we calculated"):
                client.messages.create(**asked)
