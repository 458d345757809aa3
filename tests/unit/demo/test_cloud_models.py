import pytest

from ccrelay.demo.cloud import Surface
from ccrelay.demo.cloud_errors import CloudError
from ccrelay.demo.cloud_models import (
    MODELS,
    UNKNOWN,
    base_model,
    deployed_model,
    first_party_model,
    invoke_model,
    mantle_model,
    model_in_body,
    runtime_model,
    vertex_model,
)

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012:"


def message(call, *arguments):
    with pytest.raises(CloudError) as caught:
        call(*arguments)
    return caught.value.message


@pytest.mark.parametrize(
    ("model_id", "region", "name"),
    [
        (f"us.{SONNET}", "us-east-1", "claude-sonnet-4-5"),
        (f"us.{SONNET}", "ca-central-1", "claude-sonnet-4-5"),
        (f"global.{SONNET}", "sa-east-1", "claude-sonnet-4-5"),
        ("eu.anthropic.claude-opus-4-6-v1", "eu-west-1", "claude-opus-4-6"),
        ("apac.anthropic.claude-opus-5-5", "ap-south-1", "claude-opus-5-5"),
        ("jp.anthropic.claude-haiku-5-5", "ap-northeast-1", "claude-haiku-5-5"),
        ("au.anthropic.claude-haiku-5-5", "ap-southeast-2", "claude-haiku-5-5"),
        (f"us-gov.{SONNET}", "us-gov-west-1", "claude-sonnet-4-5"),
        (f"{ARN}inference-profile/us.{SONNET}", "us-east-1", "claude-sonnet-4-5"),
        (f"{ARN}application-inference-profile/abc", "us-east-1", "unknown"),
        (f"{ARN}provisioned-model/abc", None, "unknown"),
    ],
)
def test_ids_of_invoke_model(model_id, region, name):
    assert invoke_model(model_id, region).name == name


@pytest.mark.parametrize(
    ("model_id", "region"),
    [
        ("claude-opus-5-5", None),
        ("us.claude-opus-5-5", None),
        ("us.anthropic.claude-sonnet-4-5", None),
        ("us.anthropic.claude-opus-5-5-v1:0", None),
        ("eu.anthropic.claude-opus-5-5", "us-east-1"),
        ("us.anthropic.claude-opus-5-5", "eu-west-1"),
        ("us.anthropic.claude-opus-5-5", "us-gov-west-1"),
        ("jp.anthropic.claude-opus-5-5", "ap-south-1"),
        (f"{ARN}inference-profile/us.{SONNET}", "us-west-2"),
        ("", None),
        ("us." + SONNET.upper(), None),
    ],
)
def test_other_ids_are_invalid(model_id, region):
    assert message(invoke_model, model_id, region) == "The provided model identifier is invalid."


def test_a_base_id_needs_a_profile():
    assert "on-demand throughput isn’t supported" in message(invoke_model, SONNET, None)


def test_bedrock_runtime_has_no_ids_of_version_v1_0():
    assert runtime_model("us.anthropic.claude-opus-5-5", None).name == "claude-opus-5-5"
    assert "invalid" in message(runtime_model, f"us.{SONNET}", None)


def test_counts_know_base_ids_only():
    assert base_model(SONNET).name == "claude-sonnet-4-5"
    assert base_model(f"arn:aws:bedrock:us-east-1::foundation-model/{SONNET}") is base_model(SONNET)
    assert "doesn't support counting" in message(base_model, f"us.{SONNET}")
    assert "invalid" in message(base_model, "claude-opus-5-5")


def test_ids_of_mantle_have_neither_prefix_nor_version():
    assert mantle_model("anthropic.claude-haiku-4-5").name == "claude-haiku-4-5"
    for other in ("claude-haiku-4-5", SONNET, "us.anthropic.claude-opus-5-5", "anthropic.nope"):
        assert "does not exist" in message(mantle_model, other)


def test_ids_of_vertex_have_dates_up_to_4_5():
    assert vertex_model("claude-opus-4-5@20251101", "us-east5").name == "claude-opus-4-5"
    assert vertex_model("claude-opus-5-5", "eu").name == "claude-opus-5-5"
    assert vertex_model("claude-opus-5-5@default", "global").name == "claude-opus-5-5"
    for model_id, location in (
        ("claude-opus-4-5", "global"),
        ("claude-opus-4-5-20251101", "global"),
        ("claude-opus-5-5", "us-east5"),
        ("anthropic.claude-opus-5-5", "global"),
    ):
        assert "was not found" in message(vertex_model, model_id, location)


def test_first_party_ids_and_deployments():
    assert first_party_model("claude-opus-4-5-20251101").name == "claude-opus-4-5"
    assert message(first_party_model, "claude-2") == "model: claude-2"
    assert deployed_model("my-opus", ()) is UNKNOWN
    assert deployed_model("claude-opus-5", ()).name == "claude-opus-5"
    assert "does not exist" in message(deployed_model, "other", ("my-opus",))


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_every_model_is_found_by_each_of_its_ids(model):
    assert invoke_model(f"global.{model.base}", "us-east-1") is model
    assert base_model(model.base) is model
    ids = {
        Surface.MANTLE: f"anthropic.{model.name}",
        Surface.VERTEX: model.vertex,
        Surface.CLAUDE_AWS: model.first_party,
        Surface.CLAUDE_GOOGLE: model.name,
        Surface.AZURE: model.name,
    }
    for surface, model_id in ids.items():
        assert model_in_body(surface, model_id, None, ()) is model
