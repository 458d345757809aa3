import base64
import json

import pytest

from ccrelay.demo.cloud import Accepted
from ccrelay.demo.plan import Document
from tests.unit.demo.conftest import NOW

VERTEX = "/v1/projects/p/locations/global/publishers/anthropic/models/claude-opus-5-5:rawPredict"
GOOGLE = "/v1/projects/p/locations/global/workspaces/w/invoke/v1/messages"
TURN = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


def body_for(dialect):
    if dialect == "vertex":
        return TURN | {"anthropic_version": "vertex-2023-10-16"}
    if dialect == "bedrock-invoke":
        return TURN | {"anthropic_version": "bedrock-2023-05-31"}
    return TURN | {"model": "anthropic.claude-opus-5-5" if dialect == "mantle" else "claude-opus-5"}


TARGETS = {
    "bedrock-invoke": "/model/us.anthropic.claude-opus-5-5/invoke",
    "mantle": "/anthropic/v1/messages",
    "claude-aws": "/v1/messages",
    "vertex": VERTEX,
    "claude-google": GOOGLE,
    "azure": "/anthropic/v1/messages",
}


@pytest.fixture
def ask(cloud_context):
    """Send a request with these credential fields: ask(dialect, {name: value}, **cloud)."""

    def asks(dialect, headers, **members) -> Document:
        none = {"authorization": ""}
        return cloud_context(
            dialect,
            body_for(dialect),
            target=TARGETS[dialect],
            headers=none | headers,
            **members,
        ).reply()

    return asks


@pytest.mark.parametrize("dialect", TARGETS)
def test_a_token_is_accepted_and_others_are_not(ask, dialect):
    assert ask(dialect, {"authorization": "Bearer test-token-1"}).status == 200
    wrong = ask(dialect, {"authorization": "Bearer test-token-2"})
    missing = ask(dialect, {})
    assert {wrong.status, missing.status} <= {401, 403}
    assert wrong.body != missing.body or dialect == "azure"


@pytest.mark.parametrize("dialect", TARGETS)
def test_an_expired_token_is_refused(ask, dialect):
    accepted = Accepted(expired=("test-token-1",))
    found = ask(dialect, {"authorization": "Bearer test-token-1"}, accepted=accepted)
    assert found.status in (401, 403)


@pytest.mark.parametrize(
    ("dialect", "header", "status"),
    [
        ("mantle", "x-api-key", 200),
        ("claude-aws", "x-api-key", 200),
        ("azure", "x-api-key", 200),
        ("azure", "api-key", 200),
        ("bedrock-invoke", "x-api-key", 403),
        ("vertex", "x-api-key", 401),
        ("claude-google", "x-api-key", 401),
    ],
)
def test_keys_are_read_where_a_cloud_has_them(ask, dialect, header, status):
    assert ask(dialect, {header: "test-key-1"}).status == status


def test_errors_have_the_form_of_the_cloud(ask):
    aws = ask("bedrock-invoke", {})
    assert json.loads(aws.body) == {"message": "Missing Authentication Token"}
    assert dict(aws.headers)["x-amzn-errortype"].startswith("MissingAuthenticationTokenException:")
    google = ask("vertex", {"authorization": "Bearer no"})
    assert json.loads(google.body)["error"]["status"] == "UNAUTHENTICATED"
    assert "invalid_token" in dict(google.headers)["www-authenticate"]
    azure = ask("azure", {"x-api-key": "no"})
    assert json.loads(azure.body)["error"]["code"] == "401"


def test_a_workspace_must_be_named_on_claude_aws(ask):
    found = ask(
        "claude-aws", {"authorization": "Bearer test-token-1", "anthropic-workspace-id": ""}
    )
    assert found.status == 400
    assert b"anthropic-workspace-id" in found.body


def test_a_project_may_be_fixed(ask):
    token = {"authorization": "Bearer test-token-1"}
    assert ask("vertex", token, project="p").status == 200
    other = ask("vertex", token, project="other")
    assert (other.status, json.loads(other.body)["error"]["status"]) == (403, "PERMISSION_DENIED")


def jwt(**claims):
    parts = (json.dumps({"alg": "RS256"}), json.dumps(claims), "signature")
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"aud": "https://ai.azure.com", "exp": NOW.timestamp() + 60}, 200),
        ({"aud": "https://ai.azure.com/", "exp": NOW.timestamp() + 60}, 200),
        ({"aud": "https://management.azure.com", "exp": NOW.timestamp() + 60}, 401),
        ({"aud": "https://ai.azure.com", "exp": NOW.timestamp() - 60}, 401),
        ({"aud": ["https://ai.azure.com"], "exp": "soon"}, 401),
        ({}, 401),
    ],
)
def test_a_web_token_of_entra_is_judged_by_audience_and_expiry(ask, claims, status):
    assert ask("azure", {"authorization": f"Bearer {jwt(**claims)}"}).status == status


@pytest.mark.parametrize("token", ["a.b.c", "a.!!!.c", "..", "a.bnVsbA.c"])
def test_what_is_no_web_token_is_refused(ask, token):
    assert ask("azure", {"authorization": f"Bearer {token}"}).status == 401
