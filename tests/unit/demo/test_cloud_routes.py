import json

import pytest

from ccrelay.demo.cloud import Cloud
from ccrelay.demo.cloud_errors import CloudError
from ccrelay.demo.cloud_routes import is_stream_verb, route
from ccrelay.demo.http1 import RequestHead

MODELS = "/v1/projects/p/locations/eu/publishers/anthropic/models/"
SPACE = "/v1/projects/p/locations/global/workspaces/w/invoke"


def call(dialect, method, target, headers=()):
    return route(Cloud(dialect=dialect), RequestHead(method, target, 1, list(headers)))


@pytest.mark.parametrize(
    ("dialect", "method", "target", "operation"),
    [
        ("bedrock-invoke", "POST", "/model/m/invoke", "messages"),
        ("bedrock-invoke", "POST", "/model/m/invoke-with-response-stream", "messages"),
        ("bedrock-invoke", "POST", "/model/m/count-tokens", "count"),
        ("bedrock-invoke", "POST", "/model/m/converse", "unsupported"),
        ("bedrock-invoke", "GET", "/inference-profiles?type=SYSTEM_DEFINED", "profiles"),
        ("bedrock-invoke", "GET", "/inference-profiles/us.a%3A0", "profile"),
        ("bedrock-invoke", "GET", "/foundation-models?byProvider=anthropic", "foundation_models"),
        ("bedrock", "POST", "/anthropic/v1/messages?beta=true", "messages"),
        ("mantle", "POST", "/anthropic/v1/messages/count_tokens", "count"),
        ("claude-aws", "POST", "/v1/messages", "messages"),
        ("claude-aws", "GET", "/v1/models?limit=5", "models"),
        ("vertex", "POST", MODELS + "claude-opus-5-5:rawPredict", "messages"),
        ("vertex", "POST", MODELS + "count-tokens:rawPredict", "count"),
        ("claude-google", "POST", SPACE + "/v1/messages?beta=true", "messages"),
        ("claude-google", "POST", SPACE + "/v1/messages/count_tokens", "count"),
        ("claude-google", "GET", SPACE + "/v1/models", "models"),
        ("azure", "POST", "/anthropic/v1/messages", "messages"),
        ("azure", "POST", "/anthropic/v1/messages/count_tokens", "count"),
    ],
)
def test_paths_of_the_clouds(dialect, method, target, operation):
    assert call(dialect, method, target).operation == operation


@pytest.mark.parametrize(
    ("dialect", "method", "target"),
    [
        ("bedrock-invoke", "POST", "/v1/messages"),
        ("bedrock-invoke", "GET", "/model/m/invoke"),
        ("bedrock-invoke", "POST", "/model/a/b/invoke"),  # an ARN's slash must be escaped
        ("bedrock-invoke", "POST", "/inference-profiles"),
        ("bedrock", "POST", "/v1/messages"),
        ("mantle", "GET", "/anthropic/v1/models"),
        ("claude-aws", "POST", "/anthropic/v1/messages"),
        ("vertex", "POST", "/v1/messages"),
        ("vertex", "GET", MODELS + "claude-opus-5-5:rawPredict"),
        ("vertex", "POST", MODELS + "claude-opus-5-5:predict"),
        ("vertex", "POST", MODELS + "a/b:rawPredict"),
        ("vertex", "POST", MODELS.replace("/v1/", "/") + "claude-opus-5-5:rawPredict"),
        ("claude-google", "POST", "/v1/messages"),
        ("azure", "POST", "/models/chat/completions"),
        ("azure", "POST", "/v1/messages"),
        ("azure", "GET", "/anthropic/v1/models"),
    ],
)
def test_other_paths_get_the_404_of_the_cloud(cloud_context, dialect, method, target):
    with pytest.raises(CloudError) as caught:
        call(dialect, method, target)
    assert caught.value.status == 404
    found = cloud_context(dialect, target=target, method=method).reply()
    plain = json.loads(found.body)
    assert found.status == 404
    assert ("message" in plain) == (dialect not in ("vertex", "claude-google", "azure"))


def test_ids_are_decoded_once():
    assert call("bedrock-invoke", "POST", "/model/a%3A0%2Fb/invoke").target == "a:0/b"
    assert call("bedrock-invoke", "POST", "/model/a:0/invoke").target == "a:0"
    assert call("bedrock-invoke", "POST", "/model/a%253A0/invoke").target == "a%3A0"
    found = call("vertex", "POST", MODELS + "claude-opus-4-5@20251101:streamRawPredict")
    assert (found.target, found.stream) == ("claude-opus-4-5@20251101", True)
    assert (found.project, found.location) == ("p", "eu")


def test_streams_are_told_by_the_path_where_it_says_so():
    assert call("bedrock-invoke", "POST", "/model/m/invoke-with-response-stream").stream is True
    assert call("bedrock-invoke", "POST", "/model/m/invoke").stream is False
    assert call("azure", "POST", "/anthropic/v1/messages").stream is None
    assert is_stream_verb(RequestHead("POST", MODELS + "m:streamRawPredict?a=1", 1, []))


@pytest.mark.parametrize(
    ("headers", "surface"),
    [
        ([("authorization", "AWS4-HMAC-SHA256 Credential=A/1/r/bedrock/aws4_request")], "messages"),
        ([("authorization", "AWS4-HMAC-SHA256 Credential=A/1/r/bedrock-mantle/aws4_request")], ""),
        ([("host", "bedrock-runtime.us-east-1.amazonaws.com")], "messages"),
        ([], ""),
    ],
)
def test_bedrock_tells_its_hosts_apart(headers, surface):
    found = call("bedrock", "POST", "/anthropic/v1/messages", headers).surface
    assert (found.value == "bedrock-messages") == bool(surface)
