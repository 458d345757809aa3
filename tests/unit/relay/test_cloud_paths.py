"""What the paths of cloud clients mean."""

import pytest

from ccrelay.errors import BadRequest, MethodNotAllowed, NotFound
from ccrelay.relay.api_endpoints import CLOUD_PREFIXES, TABLE
from ccrelay.relay.cloud_paths import (
    BEDROCK,
    LISTING,
    MESSAGES,
    VERTEX,
    CloudRequest,
    find,
    is_aws,
    model_id,
    profile_id,
)
from ccrelay.types import RequestClass

COUNT = RequestClass.COUNT_TOKENS
PLACE = b"/projects/p-1/locations/us-east5"
MODELS = PLACE + b"/publishers/anthropic/models/"
SPACE = PLACE + b"/workspaces/wrkspc_1/invoke"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/model/m-1/invoke", CloudRequest(BEDROCK, model="m-1")),
        (b"/model/m%3A0/invoke", CloudRequest(BEDROCK, model="m:0")),
        (b"/model/m/invoke-with-response-stream", CloudRequest(BEDROCK, model="m", stream=True)),
        (b"/model/m/count-tokens", CloudRequest(BEDROCK, COUNT, "m")),
        (MODELS + b"m@1:rawPredict", CloudRequest(VERTEX, model="m@1")),
        (b"/v1" + MODELS + b"m:x:rawPredict", CloudRequest(VERTEX, model="m:x")),
        (MODELS + b"m:streamRawPredict", CloudRequest(VERTEX, model="m", stream=True)),
        (MODELS + b"count-tokens:rawPredict", CloudRequest(VERTEX, COUNT)),
        (MODELS + b"m%401%3ArawPredict", CloudRequest(VERTEX, model="m@1")),
        (MODELS + b"count-tokens%3arawPredict", CloudRequest(VERTEX, COUNT)),
        (b"/model/arn:aws:x%2Fy/invoke", CloudRequest(BEDROCK, model="arn:aws:x/y")),
        (b"/model/arn:aws:x/y/count-tokens", CloudRequest(BEDROCK, COUNT, "arn:aws:x/y")),
        (b"/anthropic/v1/messages", CloudRequest(MESSAGES, path=b"/v1/messages")),
        (b"/anthropic/v1/models/a%2Fb", CloudRequest(MESSAGES, path=b"/v1/models/a%2Fb")),
        (SPACE + b"/v1/models", CloudRequest(MESSAGES, path=b"/v1/models")),
        (
            b"/v1" + SPACE + b"/v1/messages/count_tokens",
            CloudRequest(MESSAGES, path=b"/v1/messages/count_tokens"),
        ),
    ],
)
def test_paths_that_are_served(path: bytes, found: CloudRequest) -> None:
    assert find(b"POST", path) == found
    assert path.startswith(CLOUD_PREFIXES)


@pytest.mark.parametrize(
    "path",
    [
        *(b"/model/m", b"/model/m/", b"/model/m/invoke/", b"/model/m/converse", b"/model/m/x"),
        *(b"/model/m/n/invoke", b"/model/arn:x/../invoke/x/invoke"),
        *(b"/models/m/invoke", b"/anthropic", b"/anthropic/v1", b"/anthropic/v1/files"),
        *(b"/anthropic/v1/messages/batches", b"/anthropic/anthropic/v1/messages"),
        *(
            MODELS + b"m",
            MODELS + b"m:predict",
            MODELS + b":rawPredict",
            MODELS + b"a/b:rawPredict",
        ),
        *(PLACE + b"/publishers/google/models/m:rawPredict", b"/v1" + SPACE, SPACE + b"/v1/files"),
        *(b"/inference-profiles/a/b", b"/inference-profilesx", b"/foundation-models/a"),
    ],
)
def test_paths_that_are_not(path: bytes) -> None:
    with pytest.raises(NotFound):
        find(b"GET" if path.startswith(b"/inf") else b"POST", path)


@pytest.mark.parametrize(
    "segment",
    [b"..", b"%2e%2e", b"a%2F..%2Fb", b"a%2F.", b"a b", b"a%20b", b"a;b", b"%00", b"%0d%0a",
     b"\xe9", b"a%25b", b"x" * 2049, b"-a", b"%2Fa", b'a"b'],
)  # fmt: skip
def test_ids_that_are_none(segment: bytes) -> None:
    with pytest.raises(BadRequest):
        model_id(segment)


def test_lists_are_read_only() -> None:
    assert find(b"GET", b"/inference-profiles") == CloudRequest(
        LISTING, path=b"/inference-profiles"
    )
    assert find(b"GET", b"/foundation-models").form == LISTING
    assert find(b"GET", b"/inference-profiles/us.a%3A0").form == LISTING
    for method, path in (
        (b"POST", b"/inference-profiles"),
        (b"GET", b"/model/m/invoke"),
        (b"GET", MODELS + b"m:rawPredict"),
    ):
        with pytest.raises(MethodNotAllowed):
            find(method, path)


def test_profiles_by_path() -> None:
    assert profile_id(b"/inference-profiles/us.a%3A0") == "us.a:0"
    assert profile_id(b"/inference-profiles") == ""


def test_who_reads_awss_errors() -> None:
    assert is_aws(b"/model/m/invoke")
    assert is_aws(b"/inference-profiles")
    assert not is_aws(b"/anthropic/v1/messages")
    assert not is_aws(MODELS)


def test_no_path_of_the_relays_own_begins_like_a_clouds() -> None:
    assert not [row.path for row in TABLE if row.path.encode().startswith(CLOUD_PREFIXES)]
