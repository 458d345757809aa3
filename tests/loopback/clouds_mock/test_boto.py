"""botocore as the judge of the mock of Bedrock: what AWS's own client sends and reads."""

import json
from contextlib import closing

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from ccrelay.demo.cloud import Accepted, Cloud
from tests.mock_clouds import mock_cloud

OPUS = "us.anthropic.claude-opus-5-5"
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
TURN = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "demo:text=eins zwei"}],
}
BODY = json.dumps(TURN).encode()


@pytest.fixture
def connect(monkeypatch):
    """Create a client of the mock: connect(server, "bedrock-runtime", secret=..., token=...)."""
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    made = []

    def connects(server, service="bedrock-runtime", *, secret="test-secret-1", token=None):
        session = botocore.session.get_session()
        client = session.create_client(
            service,
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(retries={"max_attempts": 0}, proxies={}),
        )
        made.append(client)
        return client

    yield connects
    for client in made:
        client.close()


@pytest.fixture
def server():
    with mock_cloud(Cloud(dialect="bedrock-invoke", region="us-east-1")) as running:
        yield running


def events(answer):
    with closing(answer["body"]) as body:
        return [json.loads(event["chunk"]["bytes"]) for event in body if "chunk" in event]


def read(answer):
    with closing(answer["body"]) as body:
        return json.loads(body.read())


def code_of(call, *arguments, **options):
    with pytest.raises(ClientError) as caught:
        call(*arguments, **options)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.parametrize("model", [OPUS, SONNET])
@pytest.mark.parametrize("token", [None, "test-session-1"])
def test_an_answer(connect, server, model, token):
    client = connect(server, token=token)
    answer = client.invoke_model(modelId=model, body=BODY)
    message = read(answer)
    assert message["content"][0]["text"] == "eins zwei"
    assert answer["ResponseMetadata"]["RequestId"]


def test_a_stream(connect, server):
    answer = connect(server).invoke_model_with_response_stream(modelId=SONNET, body=BODY)
    assert answer["contentType"] == "application/json"
    found = events(answer)
    assert [event["type"] for event in found][:2] == ["message_start", "content_block_start"]
    text = "".join(
        event["delta"]["text"] for event in found if event["type"] == "content_block_delta"
    )
    assert text == "eins zwei"
    assert found[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 2


def test_all_optional_headers_and_an_arn(connect, server):
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456"
    answer = connect(server).invoke_model(
        modelId=arn,
        body=BODY,
        trace="ENABLED",
        guardrailIdentifier="gr1",
        guardrailVersion="1",
        performanceConfigLatency="optimized",
        serviceTier="priority",
    )
    assert read(answer)["type"] == "message"


def test_a_count(connect, server):
    client = connect(server)
    wanted = {"invokeModel": {"body": BODY}}
    base = SONNET.partition(".")[2]
    assert client.count_tokens(modelId=base, input=wanted)["inputTokens"] > 0
    code, message = code_of(client.count_tokens, modelId=SONNET, input=wanted)
    assert (code, "counting tokens" in message) == ("ValidationException", True)


def test_lists(connect, server):
    client = connect(server, "bedrock")
    pages = client.get_paginator("list_inference_profiles").paginate(
        typeEquals="SYSTEM_DEFINED", PaginationConfig={"PageSize": 7}
    )
    ids = [one["inferenceProfileId"] for page in pages for one in page["inferenceProfileSummaries"]]
    assert OPUS in ids
    assert len(ids) == len(set(ids)) > 7
    found = client.get_inference_profile(inferenceProfileIdentifier=SONNET)
    assert found["models"][0]["modelArn"].endswith(SONNET.partition(".")[2])
    assert client.list_foundation_models(byProvider="anthropic")["modelSummaries"]


def test_errors_have_codes_that_botocore_knows(connect, server):
    client = connect(server)
    base = OPUS.partition(".")[2]
    assert "on-demand throughput" in code_of(client.invoke_model, modelId=base, body=BODY)[1]
    assert code_of(client.invoke_model, modelId="nope", body=BODY)[0] == "ValidationException"
    wrong = connect(server, secret="test-secret-2")
    code = code_of(wrong.invoke_model, modelId=OPUS, body=BODY)[0]
    assert code == "InvalidSignatureException"
    code = code_of(connect(server, token="no").invoke_model, modelId=OPUS, body=BODY)[0]
    assert code == "UnrecognizedClientException"


@pytest.mark.parametrize(
    "name",
    [
        "ThrottlingException",
        "ServiceUnavailableException",
        "ModelNotReadyException",
        "ModelErrorException",
        "AccessDeniedException",
        "ExpiredTokenException",
        "InternalServerException",
        "ModelTimeoutException",
        "ResourceNotFoundException",
    ],
)
def test_errors_by_name(connect, server, name):
    server.set_fault(f"cloud_error,name={name}")
    assert code_of(connect(server).invoke_model, modelId=OPUS, body=BODY)[0] == name


@pytest.mark.parametrize("after", [0, 3])
def test_an_exception_in_a_stream(connect, server, after):
    server.set_fault(f"exception,name=throttlingException,after={after}")
    answer = connect(server).invoke_model_with_response_stream(modelId=OPUS, body=BODY)
    with pytest.raises(EventStreamError) as caught:
        events(answer)
    assert caught.value.response["Error"]["Code"] == "throttlingException"


def test_a_frame_of_an_unknown_type_is_skipped(connect, server):
    server.set_fault("unknown_frames")
    answer = connect(server).invoke_model_with_response_stream(modelId=OPUS, body=BODY)
    assert events(answer)[-1]["type"] == "message_stop"


@pytest.mark.parametrize(("skew", "code"), [(-240, ""), (600, "InvalidSignatureException")])
def test_a_skewed_clock(connect, skew, code):
    cloud = Cloud(dialect="bedrock-invoke", clock_skew_s=skew)
    with mock_cloud(cloud) as running:
        client = connect(running)
        if code:
            found, message = code_of(client.invoke_model, modelId=OPUS, body=BODY)
            assert (found, "Signature expired" in message) == (code, True)
        else:
            assert read(client.invoke_model(modelId=OPUS, body=BODY))


def test_credentials_may_change_while_it_runs(connect, server):
    client = connect(server, token="test-session-1")
    read(client.invoke_model(modelId=OPUS, body=BODY))
    accepted = Accepted(expired=("test-session-1",))
    server.cloud = Cloud(dialect="bedrock-invoke", accepted=accepted)
    code = code_of(client.invoke_model, modelId=OPUS, body=BODY)[0]
    assert code == "ExpiredTokenException"
