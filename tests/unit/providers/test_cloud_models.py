"""Ids of models on the clouds, and the first party's names of them."""

import pytest
from hypothesis import given, strategies as st

from ccrelay.config.model import Config, Provider
from ccrelay.config.resolve import resolve
from ccrelay.providers.cloud_models import (
    first_party,
    is_known,
    known_names,
    matcher_of,
    model_id,
    profile_prefix,
)

ARN = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc123"
SYSTEM_ARN = (
    "arn:aws:bedrock:us-east-1:111122223333:inference-profile/us.anthropic.claude-opus-4-6-v1"
)
BASE_ARN = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0"


def provider(**members: object) -> Provider:
    return resolve(Config(providers=[Provider(name="p", **members)])).providers[0]


MANTLE = provider(type="bedrock", region="us-east-1", api="mantle")
INVOKE = provider(type="bedrock", region="us-east-1", api="invoke")
MESSAGES = provider(type="bedrock", region="eu-west-1", api="messages")
GLOBAL = provider(type="bedrock", region="us-east-1", api="invoke", inference_profile="global")
BASE = provider(type="bedrock", region="us-east-1", api="invoke", inference_profile="none")
VERTEX = provider(type="vertex", project="p-1")
AZURE = provider(type="azure", resource="r")
CLAUDE_AWS = provider(type="claude-aws", region="us-east-1", workspace="wrkspc_test1")
CLAUDE_GOOGLE = provider(type="claude-google", project="p-1", workspace="wrkspc_test1")

# What Claude Code sends to each cloud: name, invoke in the US, mantle, Vertex.
IDS = [
    ("claude-opus-5-5", "anthropic.claude-opus-5-5", "claude-opus-5-5", "claude-opus-5-5"),
    ("claude-opus-5", "anthropic.claude-opus-5", "claude-opus-5", "claude-opus-5"),
    ("claude-opus-4-8", "anthropic.claude-opus-4-8", "claude-opus-4-8", "claude-opus-4-8"),
    ("claude-opus-4-7", "anthropic.claude-opus-4-7", "claude-opus-4-7", "claude-opus-4-7"),
    ("claude-opus-4-6", "anthropic.claude-opus-4-6-v1", "claude-opus-4-6", "claude-opus-4-6"),
    (
        "claude-opus-4-5",
        "anthropic.claude-opus-4-5-20251101-v1:0",
        "claude-opus-4-5",
        "claude-opus-4-5@20251101",
    ),
    ("claude-sonnet-5-5", "anthropic.claude-sonnet-5-5", "claude-sonnet-5-5", "claude-sonnet-5-5"),
    ("claude-sonnet-5", "anthropic.claude-sonnet-5", "claude-sonnet-5", "claude-sonnet-5"),
    ("claude-sonnet-4-6", "anthropic.claude-sonnet-4-6", "claude-sonnet-4-6", "claude-sonnet-4-6"),
    (
        "claude-sonnet-4-5",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "claude-sonnet-4-5",
        "claude-sonnet-4-5@20250929",
    ),
    ("claude-haiku-5-5", "anthropic.claude-haiku-5-5", "claude-haiku-5-5", "claude-haiku-5-5"),
    (
        "claude-haiku-4-5",
        "anthropic.claude-haiku-4-5-20251001-v1:0",
        "claude-haiku-4-5",
        "claude-haiku-4-5@20251001",
    ),
    ("claude-fable-5", "anthropic.claude-fable-5", "claude-fable-5", "claude-fable-5"),
    ("claude-fable-5-1", "anthropic.claude-fable-5-1", "claude-fable-5-1", "claude-fable-5-1"),
    ("claude-mythos-5-1", "anthropic.claude-mythos-5-1", "claude-mythos-5-1", "claude-mythos-5-1"),
]
ALIASES = [
    ("claude-opus-4-5-20251101", "claude-opus-4-5"),
    ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
    ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
    ("claude-haiku-4-5-20251001[1m]", "claude-haiku-4-5"),
    ("claude-sonnet-4-5[1M]", "claude-sonnet-4-5"),
    ("claude-opus-5-5[1m]", "claude-opus-5-5"),
]


@pytest.mark.parametrize(("name", "base", "mantle", "vertex"), IDS)
def test_every_surface_has_ids_of_its_own(name, base, mantle, vertex):
    assert is_known(name)
    assert name in known_names()
    assert model_id(INVOKE, name) == f"us.{base}"
    assert model_id(MESSAGES, name) == f"eu.{base}"
    assert model_id(GLOBAL, name) == f"global.{base}"
    assert model_id(BASE, name) == base
    assert model_id(MANTLE, name) == f"anthropic.{mantle}"
    assert model_id(VERTEX, name) == vertex
    assert model_id(AZURE, name) == name
    assert model_id(CLAUDE_AWS, name) == name
    assert model_id(CLAUDE_GOOGLE, name) == name


@pytest.mark.parametrize(("alias", "name"), ALIASES)
def test_an_alias_is_the_model_it_names(alias, name):
    for one in (INVOKE, MESSAGES, GLOBAL, BASE, MANTLE, VERTEX, AZURE):
        assert model_id(one, alias) == model_id(one, name)
    assert model_id(CLAUDE_AWS, alias) == alias.removesuffix("[1m]").removesuffix("[1M]")


@pytest.mark.parametrize("name", [row[0] for row in IDS])
@pytest.mark.parametrize(
    "one", [MANTLE, INVOKE, MESSAGES, GLOBAL, BASE, VERTEX, AZURE, CLAUDE_AWS, CLAUDE_GOOGLE]
)
def test_the_name_is_found_again_and_an_id_is_kept(one, name):
    sent = model_id(one, name)
    assert first_party(sent) == name
    assert model_id(one, sent) == sent


@pytest.mark.parametrize("name", [row[0] for row in IDS])
def test_an_id_of_one_surface_is_understood_by_another(name):
    surfaces = [MANTLE, INVOKE, VERTEX]
    for one in surfaces:
        for other in surfaces:
            assert model_id(other, model_id(one, name)) in (
                model_id(other, name),
                # An id with a version is one of the runtime's, whatever its prefix.
                model_id(one, name),
            )
    assert model_id(MANTLE, model_id(INVOKE, name)) == model_id(MANTLE, name)
    assert model_id(INVOKE, model_id(MANTLE, name)) == model_id(INVOKE, name)
    assert model_id(VERTEX, model_id(INVOKE, name)) == model_id(VERTEX, name)
    assert model_id(INVOKE, model_id(VERTEX, name)) == model_id(INVOKE, name)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (SYSTEM_ARN, "claude-opus-4-6"),
        (BASE_ARN, "claude-haiku-4-5"),
        (ARN, ARN),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0:200k", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5@default", "claude-sonnet-4-5"),
        ("publishers/anthropic/models/claude-opus-5", "claude-opus-5"),
        ("claude-3-5-haiku-20241022", "claude-3-5-haiku"),
        ("my-deployment", "my-deployment"),
        ("", ""),
        ("us.amazon.nova-pro-v1:0", "us.amazon.nova-pro-v1:0"),
    ],
)
def test_first_party_names(given, name):
    assert first_party(given) == name


@pytest.mark.parametrize(
    "given",
    [
        ARN,
        SYSTEM_ARN,
        BASE_ARN,
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "apac.anthropic.claude-sonnet-4-20250514-v1:0",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "global.anthropic.claude-opus-5-5",
        "us.amazon.nova-pro-v1:0",
        "meta.llama3-1-70b-instruct-v1:0",
    ],
)
def test_an_id_of_the_runtime_is_sent_as_it_is(given):
    assert model_id(INVOKE, given) == given
    assert model_id(MESSAGES, given) == given


def test_what_the_table_does_not_know_gets_a_sensible_id():
    assert model_id(INVOKE, "claude-opus-9") == "us.anthropic.claude-opus-9"
    assert model_id(MANTLE, "claude-opus-9") == "anthropic.claude-opus-9"
    assert model_id(VERTEX, "claude-opus-9") == "claude-opus-9"
    # With a date it is an older one.
    old = "claude-sonnet-4-20250514"
    assert model_id(INVOKE, old) == "us.anthropic.claude-sonnet-4-20250514-v1:0"
    assert model_id(VERTEX, old) == "claude-sonnet-4@20250514"
    assert model_id(MANTLE, "openai.gpt-oss-120b") == "openai.gpt-oss-120b"
    assert model_id(AZURE, "my-deployment") == "my-deployment"
    assert model_id(MANTLE, ARN) == ARN


@pytest.mark.parametrize(
    ("region", "geo", "everywhere"),
    [
        ("us-east-1", "us.", "global."),
        ("us-west-2", "us.", "global."),
        ("ca-central-1", "us.", "global."),
        ("eu-central-1", "eu.", "global."),
        ("ap-northeast-1", "jp.", "global."),
        ("ap-northeast-3", "jp.", "global."),
        ("ap-northeast-2", "global.", "global."),
        ("ap-southeast-2", "au.", "global."),
        ("ap-southeast-4", "au.", "global."),
        ("ap-south-1", "global.", "global."),
        ("sa-east-1", "global.", "global."),
        ("us-gov-west-1", "us-gov.", ""),
        ("cn-north-1", "", ""),
        ("us-iso-east-1", "", ""),
        ("eusc-de-east-1", "", ""),
    ],
)
def test_the_profile_follows_from_the_region(region, geo, everywhere):
    def prefix(profile: str) -> str:
        return profile_prefix(
            provider(type="bedrock", region=region, api="invoke", inference_profile=profile)
        )

    assert (prefix("geo"), prefix("global"), prefix("none")) == (geo, everywhere, "")


def test_a_matcher_finds_the_id_and_a_mapping_wins():
    one = provider(
        type="bedrock",
        region="us-east-1",
        model_mapping={"claude-opus-*": ARN, "fast": "claude-haiku-4-5"},
    )
    assert one.api == "invoke"
    matcher = matcher_of(one)
    assert matcher.resolve("claude-opus-5-5[1m]") == ARN
    assert matcher.resolve("fast") == "claude-haiku-4-5"  # as it is written
    assert matcher.resolve("claude-sonnet-5") == "us.anthropic.claude-sonnet-5"
    assert matcher.resolve("claude-sonnet-5") == "us.anthropic.claude-sonnet-5"  # remembered
    assert matcher.resolve("glm-5") is None


def test_others_have_no_table():
    plain = provider(type="anthropic")
    assert matcher_of(plain).resolve("claude-sonnet-4-5") == "claude-sonnet-4-5"
    assert model_id(plain, "claude-sonnet-4-5@x") == "claude-sonnet-4-5@x"


@given(
    model=st.text(max_size=60)
    | st.from_regex(r"(us\.|eu\.)?(anthropic\.)?claude-[a-z0-9@:.-]*(\[1m\])?", fullmatch=True)
)
def test_any_name_has_an_id_that_is_stable(model):
    for one in (MANTLE, INVOKE, VERTEX, AZURE, CLAUDE_AWS):
        sent = model_id(one, model)
        assert isinstance(sent, str)
        assert model_id(one, sent) == sent
    assert first_party(first_party(model)) == first_party(model)


def test_hostile_names_cost_little():
    for name in ("claude-" + "@0" * 500_000, "claude-" + "-v1" * 300_000, "us." * 300_000):
        assert first_party(name) == name
        assert model_id(VERTEX, name) == name
    assert first_party("claude-x@0@0-v1-v1:0") == "claude-x"
