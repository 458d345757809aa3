import json

import pytest

from ccrelay.demo.cloud_errors import CloudError
from ccrelay.demo.cloud_lists import foundation_models, profile, profiles
from ccrelay.demo.cloud_models import MODELS, invoke_model

TARGET = "/inference-profiles?type=SYSTEM_DEFINED"


def ids(region, target=TARGET):
    found = json.loads(profiles(region, target))["inferenceProfileSummaries"]
    return [one["inferenceProfileId"] for one in found]


@pytest.mark.parametrize(
    ("region", "prefixes"),
    [
        ("us-east-1", {"global", "us"}),
        ("eu-west-1", {"global", "eu"}),
        ("ap-northeast-1", {"global", "apac", "jp"}),
        ("ap-southeast-2", {"global", "apac", "au"}),
        ("ca-central-1", {"global", "us"}),
        ("us-gov-west-1", {"us-gov"}),
    ],
)
def test_profiles_are_those_of_the_region_and_can_be_invoked(region, prefixes):
    found = ids(region)
    assert {one.partition(".")[0] for one in found} == prefixes
    for one in found:
        invoke_model(one, region)


def test_pages_are_followed_by_a_token():
    first = json.loads(profiles("us-east-1", TARGET + "&maxResults=20"))
    rest = json.loads(profiles("us-east-1", f"{TARGET}&nextToken={first['nextToken']}"))
    assert len(first["inferenceProfileSummaries"]) == 20
    assert len(rest["inferenceProfileSummaries"]) == 2 * len(MODELS) - 20
    assert "nextToken" not in rest
    assert ids("us-east-1", "/inference-profiles?type=APPLICATION") == []
    with pytest.raises(CloudError):
        profiles("us-east-1", TARGET + "&nextToken=x")


def test_one_profile_names_its_models():
    found = json.loads(profile("us-east-1", "us.anthropic.claude-opus-5-5"))
    assert found["models"][0]["modelArn"].endswith("foundation-model/anthropic.claude-opus-5-5")
    own = "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc"
    assert json.loads(profile("us-east-1", own))["type"] == "APPLICATION"
    with pytest.raises(CloudError):
        profile("us-east-1", "eu.anthropic.claude-opus-5-5")


def test_foundation_models_have_base_ids():
    found = json.loads(foundation_models("us-east-1"))["modelSummaries"]
    assert [one["modelId"] for one in found] == [model.base for model in MODELS.values()]
