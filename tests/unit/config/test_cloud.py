"""Base URLs, default surfaces, identities of credentials, values from the environment."""

import msgspec
import pytest

from ccrelay.config.cloud import (
    credential_name,
    identity_of,
    is_identity,
    partition_of,
    with_environment,
)
from ccrelay.config.model import Config, Credential, Key, Provider
from ccrelay.config.resolve import resolve


def resolved(**members: object) -> Provider:
    return resolve(Config(providers=[Provider(name="p", **members)])).providers[0]


# Derived by the official SDK for the same settings, and by botocore's partitions.
@pytest.mark.parametrize(
    ("members", "base_url"),
    [
        (
            {"type": "bedrock", "region": "eu-west-1"},
            "https://bedrock-mantle.eu-west-1.api.aws/anthropic",
        ),
        (
            {"type": "bedrock", "region": "eu-west-1", "api": "messages"},
            "https://bedrock-runtime.eu-west-1.amazonaws.com",
        ),
        (
            {"type": "bedrock", "region": "us-gov-west-1", "api": "invoke"},
            "https://bedrock-runtime.us-gov-west-1.amazonaws.com",
        ),
        (
            {"type": "bedrock", "region": "cn-north-1", "api": "invoke"},
            "https://bedrock-runtime.cn-north-1.amazonaws.com.cn",
        ),
        (
            {"type": "bedrock", "region": "eusc-de-east-1", "api": "invoke"},
            "https://bedrock-runtime.eusc-de-east-1.amazonaws.eu",
        ),
        (
            {"type": "claude-aws", "region": "eu-west-1", "workspace": "wrkspc_test1"},
            "https://aws-external-anthropic.eu-west-1.api.aws",
        ),
        ({"type": "vertex"}, "https://aiplatform.googleapis.com"),
        ({"type": "vertex", "location": "us"}, "https://aiplatform.us.rep.googleapis.com"),
        ({"type": "vertex", "location": "eu"}, "https://aiplatform.eu.rep.googleapis.com"),
        ({"type": "vertex", "location": "us-east5"}, "https://us-east5-aiplatform.googleapis.com"),
        (
            {"type": "claude-google", "project": "test-project-1", "workspace": "wrkspc_test1"},
            "https://claude.googleapis.com/v1/projects/test-project-1/locations/global/workspaces/"
            "wrkspc_test1/invoke",
        ),
        (
            {"type": "azure", "resource": "my-resource"},
            "https://my-resource.services.ai.azure.com/anthropic",
        ),
    ],
)
def test_base_urls_are_those_of_the_sdk(members, base_url):
    assert resolved(**members).base_url == base_url


@pytest.mark.parametrize(
    ("members", "base_url"),
    [
        (
            {"type": "bedrock", "region": "us-east-1", "base_url": "https://vpce.example/"},
            "https://vpce.example",
        ),
        # As ANTHROPIC_VERTEX_BASE_URL has it.
        (
            {"type": "vertex", "base_url": "https://us-east5-aiplatform.googleapis.com/v1/"},
            "https://us-east5-aiplatform.googleapis.com",
        ),
        (
            {"type": "azure", "base_url": "https://gateway.example/anthropic"},
            "https://gateway.example/anthropic",
        ),
    ],
)
def test_a_base_url_of_ones_own_stands_for_the_same_part(members, base_url):
    assert resolved(**members).base_url == base_url


@pytest.mark.parametrize(
    "model",
    [
        "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/abc",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us.anthropic.claude-opus-5-5",
        "global.anthropic.claude-opus-5-5",
        "us-gov.anthropic.claude-sonnet-4-6",
        "anthropic.claude-opus-4-6-v1",
    ],
)
@pytest.mark.parametrize("place", ["models", "model_mapping"])
def test_the_surface_follows_from_the_models_named(model, place):
    named = {"models": [model]} if place == "models" else {"model_mapping": {"claude-*": model}}
    provider = resolved(type="bedrock", region="us-east-1", **named)
    assert provider.api == "invoke"
    assert provider.inference_profile == "geo"
    assert resolved(type="bedrock", region="us-east-1", api="messages", **named).api == "messages"


@pytest.mark.parametrize("model", ["claude-opus-5-5", "anthropic.claude-opus-5-5", "claude-*"])
def test_the_default_surface_is_mantle(model):
    provider = resolved(type="bedrock", region="us-east-1", models=[model])
    assert (provider.api, provider.inference_profile) == ("mantle", "none")
    assert provider.count_tokens == "forward"


def test_the_messages_api_of_the_runtime_counts_nothing():
    assert resolved(type="bedrock", region="r", api="messages").count_tokens == "estimate"
    own = resolved(type="bedrock", region="r", api="messages", count_tokens="forward")
    assert own.count_tokens == "forward"


@pytest.mark.parametrize("kind", ["bedrock", "claude-aws", "vertex", "claude-google", "azure"])
def test_a_cloud_without_keys_has_the_default_chain(kind):
    provider = resolved(type=kind, region="us-east-1")
    assert provider.keys == [
        Key(key="credential:{}", credential=Credential(), name="default chain")
    ]
    assert provider.signatures == "claude"
    assert "claude-*" in (provider.models or ())


def test_resolving_twice_changes_nothing():
    once = resolve(
        Config(
            providers=[
                Provider(name="a", type="bedrock", region="us-east-1"),
                Provider(name="b", type="vertex", project="p", keys=[Key(credential=Credential())]),
                Provider(name="c", type="azure", resource="r", keys=[Key(key="test-key-1")]),
            ]
        )
    )
    assert resolve(once) == once
    # It crosses the control channel.
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(once), type=Config) == once


def test_an_api_key_stays_as_it_is():
    provider = resolved(type="azure", resource="r", keys=[Key(key="test-key-1")])
    assert provider.keys == [Key(key="test-key-1")]


def test_an_identity_is_canonical_and_no_secret():
    credential = Credential(tenant_id="t", client_id="c", client_secret="test-secret-1")
    assert identity_of(credential) == 'credential:{"client_id":"c","tenant_id":"t"}'
    assert is_identity(identity_of(credential))
    assert not is_identity("test-key-1")
    assert identity_of(Credential()) == "credential:{}"


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ({}, "default chain"),
        ({"source": "default"}, "default chain"),
        ({"source": "metadata"}, "metadata"),
        ({"profile": "dev"}, "dev"),
        ({"profile": "dev", "role_arn": "arn:aws:iam::111122223333:role/path/claude"}, "claude"),
        ({"file": "/etc/keys/sa.json"}, "sa.json"),
        ({"impersonate": "claude@p.iam.gserviceaccount.com"}, "claude"),
        ({"tenant_id": "t", "client_id": "c", "client_secret": "test-secret-1"}, "c"),
        ({"certificate_file": "/etc/cert.pem", "client_id": "c"}, "cert.pem"),
    ],
)
def test_a_credential_is_named_by_what_it_is(members, name):
    assert credential_name(Credential(**members)) == name


def test_a_name_of_ones_own_is_kept():
    key = Key(credential=Credential(profile="dev"), name="mine")
    assert resolved(type="bedrock", region="us-east-1", keys=[key]).keys[0].name == "mine"


ENV = {
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "GOOGLE_CLOUD_PROJECT": "general-1",
    "ANTHROPIC_VERTEX_PROJECT_ID": "vertex-1",
}


def place(env: dict[str, str], **members: object) -> tuple[str | None, str | None]:
    config = with_environment(Config(providers=[Provider(name="p", **members)]), env)
    return config.providers[0].region, config.providers[0].project


def test_the_environment_fills_in_what_is_missing():
    assert place(ENV, type="bedrock") == ("eu-west-1", None)
    assert place(ENV | {"AWS_REGION": ""}, type="claude-aws") == ("us-east-1", None)
    assert place({}, type="bedrock") == (None, None)
    assert place(ENV, type="bedrock", region="us-west-2") == ("us-west-2", None)
    assert place(ENV, type="vertex") == (None, "vertex-1")
    assert place(ENV, type="claude-google") == (None, "general-1")
    assert place(ENV, type="vertex", project="p") == (None, "p")
    assert place(ENV, type="azure") == (None, None)
    assert place(ENV, type="anthropic") == (None, None)


def test_the_loader_asks_the_environment(load_text):
    loaded = load_text("providers: [{name: b, type: bedrock}]\n", AWS_REGION="eu-central-1")
    provider = loaded.config.providers[0]
    assert provider.region == "eu-central-1"
    assert provider.base_url == "https://bedrock-mantle.eu-central-1.api.aws/anthropic"


@pytest.mark.parametrize(
    ("region", "suffix"),
    [
        ("us-east-1", "amazonaws.com"),
        ("cn-northwest-1", "amazonaws.com.cn"),
        ("x", "amazonaws.com"),
    ],
)
def test_every_region_has_a_partition(region, suffix):
    assert partition_of(region).suffix == suffix
