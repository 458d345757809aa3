"""What AWS lists, of the relay's models."""

import json

import pytest

from ccrelay.errors import BadRequest, NotFound
from ccrelay.relay.cloud_listings import aws_list
from ccrelay.wire.models import ModelEntry

ENTRIES = [
    ModelEntry(name, b"{}")
    for name in ("claude-opus-5-5", "claude-haiku-4-5", "glm-5.3", "us.anthropic.claude-opus-5-5")
]
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"


def test_each_claude_is_one_profile() -> None:
    found = json.loads(aws_list(ENTRIES, b"/inference-profiles", b"type=SYSTEM_DEFINED"))
    profiles = found["inferenceProfileSummaries"]
    assert [one["inferenceProfileId"] for one in profiles] == [
        "global.anthropic.claude-opus-5-5",
        "global." + HAIKU,
    ]
    assert {one["status"] for one in profiles} == {"ACTIVE"}
    assert profiles[1]["inferenceProfileName"] == "claude-haiku-4-5"
    assert profiles[1]["models"][0]["modelArn"].endswith("::foundation-model/" + HAIKU)


def test_there_are_none_of_accounts() -> None:
    found = json.loads(aws_list(ENTRIES, b"/inference-profiles", b"type=APPLICATION"))
    assert found == {"inferenceProfileSummaries": []}


def test_foundation_models() -> None:
    found = json.loads(aws_list(ENTRIES, b"/foundation-models", b""))["modelSummaries"]
    assert [one["modelId"] for one in found] == ["anthropic.claude-opus-5-5", HAIKU]


@pytest.mark.parametrize("prefix", ["us.", "global.", "eu.", "apac.", "us-gov.", ""])
def test_one_profile_names_its_model_whatever_the_relay_serves(prefix: str) -> None:
    path = f"/inference-profiles/{prefix}{HAIKU}".replace(":", "%3A").encode()
    found = json.loads(aws_list([], path, b""))
    assert found["inferenceProfileId"] == prefix + HAIKU
    assert found["models"][0]["modelArn"].rpartition("/")[2] == HAIKU


def test_a_profile_of_an_account_is_unknown() -> None:
    arn = b"arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc"
    with pytest.raises(NotFound):
        aws_list(ENTRIES, b"/inference-profiles/" + arn, b"")
    with pytest.raises(BadRequest):
        aws_list(ENTRIES, b"/inference-profiles/a%20b", b"")
