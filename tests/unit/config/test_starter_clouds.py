"""The clouds in the starter file."""

import re

import pytest
import yaml

from ccrelay.config.defaults import detect, starter_config
from ccrelay.config.starter_clouds import AWS_FILES, GOOGLE_FILE, Machine, find_clouds

SECRETS = ("canary-token", "canary-key", "canary-secret")
ENVS = {
    "bedrock_key": {"AWS_BEARER_TOKEN_BEDROCK": "canary-token", "AWS_REGION": "eu-west-1"},
    "bedrock_mode": {"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_PROFILE": "dev"},
    "mantle_mode": {"CLAUDE_CODE_USE_MANTLE": "true", "AWS_DEFAULT_REGION": "us-west-2"},
    "claude_aws": {
        "CLAUDE_CODE_USE_ANTHROPIC_AWS": "1",
        "ANTHROPIC_AWS_WORKSPACE_ID": "wrkspc_test1",
        "ANTHROPIC_AWS_API_KEY": "canary-key",
    },
    "vertex": {
        "CLAUDE_CODE_USE_VERTEX": "1",
        "ANTHROPIC_VERTEX_PROJECT_ID": "test-project-1",
        "CLOUD_ML_REGION": "global",
    },
    "claude_google": {
        "CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD": "1",
        "ANTHROPIC_GOOGLE_CLOUD_PROJECT": "test-project-1",
        "ANTHROPIC_GOOGLE_CLOUD_WORKSPACE_ID": "wrkspc_test1",
    },
    "azure_key": {
        "ANTHROPIC_FOUNDRY_RESOURCE": "my-resource",
        "ANTHROPIC_FOUNDRY_API_KEY": "canary-key",
    },
    "azure_entra": {
        "ANTHROPIC_FOUNDRY_RESOURCE": "my-resource",
        "AZURE_TENANT_ID": "tenant-1",
        "AZURE_CLIENT_ID": "client-1",
        "AZURE_CLIENT_SECRET": "canary-secret",
    },
}
EVERY = {name: value for env in ENVS.values() for name, value in env.items()}
FILES = frozenset({*AWS_FILES, GOOGLE_FILE})


def starter(env: dict[str, str], **machine: object) -> str:
    return starter_config(detect(env, None, find_clouds(Machine(env, **machine))))


def providers_in(text: str) -> list[dict[str, object]]:
    return yaml.safe_load(text)["providers"]


@pytest.mark.parametrize("env", [*ENVS.values(), EVERY], ids=[*ENVS, "every"])
def test_every_starter_loads_without_warnings_and_has_no_secret(load_text, env):
    text = starter(env)
    assert not any(secret in text for secret in SECRETS)
    loaded = load_text(text, **env)
    assert loaded.warnings == []
    assert loaded.config.providers
    # As all faces show it.
    assert {key.name for one in loaded.config.providers for key in one.keys} <= {"default"}


def test_what_claude_code_is_set_to_use_becomes_a_provider():
    assert providers_in(starter(ENVS["bedrock_key"])) == [
        {
            "name": "bedrock",
            "type": "bedrock",
            "region": "${AWS_REGION}",
            "keys": [{"name": "default", "key": "${AWS_BEARER_TOKEN_BEDROCK}"}],
        }
    ]
    (bedrock,) = providers_in(starter(ENVS["bedrock_mode"], aws_region="eu-central-1"))
    assert bedrock["api"] == "invoke"
    assert bedrock["region"] == "eu-central-1"
    assert bedrock["keys"][0]["credential"] == {"profile": "${AWS_PROFILE}"}
    (mantle,) = providers_in(starter(ENVS["mantle_mode"]))
    assert "api" not in mantle
    assert mantle["keys"][0]["credential"] == {}
    (azure,) = providers_in(starter(ENVS["azure_entra"]))
    assert azure["keys"][0]["credential"]["client_secret"] == "${AZURE_CLIENT_SECRET}"
    (vertex,) = providers_in(starter(ENVS["vertex"]))
    assert vertex["location"] == "${CLOUD_ML_REGION}"


def test_credentials_alone_become_a_comment(load_text):
    env = {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AZURE_TENANT_ID": "t",
        "AZURE_CLIENT_ID": "c",
        "AZURE_CLIENT_SECRET": "canary-secret",
    }
    text = starter(env, files=FILES)
    assert providers_in(text) == [{"name": "anthropic", "type": "anthropic"}]
    assert "AKIDEXAMPLE" not in text
    assert text.count("# Credentials are here (") == 3
    # As comments they are valid, but for names that have to be filled in.
    blocks = re.findall(r"to use them:\n((?:  # .*\n)+)", text)
    shown = "providers:\n" + "".join(re.sub(r"(?m)^  # ", "  ", block) for block in blocks)
    shown = shown.replace("PROJECT", "test-project-1")
    names = [one.name for one in load_text(shown, **env).config.providers]
    assert names == ["bedrock", "vertex", "azure"]


def test_a_mode_that_lacks_a_name_becomes_a_comment():
    for env in (
        {"CLAUDE_CODE_USE_VERTEX": "1"},
        {"CLAUDE_CODE_USE_FOUNDRY": "1"},
        {"CLAUDE_CODE_USE_ANTHROPIC_AWS": "1"},
        {"CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD": "1"},
    ):
        (cloud,) = find_clouds(Machine(env))
        assert not cloud.is_used
        assert cloud.found_by == tuple(f"${name}" for name in env)


def test_a_mode_that_is_off_is_no_mode():
    for value in ("0", "false", "", "no"):
        assert find_clouds(Machine({"CLAUDE_CODE_USE_BEDROCK": value})) == ()


def test_nothing_is_found_on_an_empty_machine():
    assert find_clouds(Machine({})) == ()
    # A region says nothing about what is used.
    assert find_clouds(Machine({"AWS_REGION": "us-east-1", "CLOUD_ML_REGION": "x"})) == ()


def test_claude_models_are_served_by_clouds_in_order():
    env = ENVS["bedrock_key"] | {"ZAI_API_KEY": "canary-key"}
    text = starter(env)
    assert [one["name"] for one in providers_in(text)] == ["bedrock", "zai"]
    assert all("model_mapping" not in one for one in providers_in(text))
    assert "strategy: simple-shuffle\n" in text
    text = starter(ENVS["bedrock_key"] | {"ANTHROPIC_API_KEY": "canary-key"})
    assert [one["name"] for one in providers_in(text)] == ["anthropic", "bedrock"]
    assert "strategy: failover\n" in text


def test_a_region_of_a_wrong_shape_is_not_written():
    text = starter(ENVS["bedrock_mode"], aws_region="x\n  - name: evil")
    assert "evil" not in text
    assert providers_in(text)[0]["region"] == "us-east-1"


def test_the_extra_that_is_needed():
    def extra(env: dict[str, str]) -> str:
        return find_clouds(Machine(env))[0].extra

    assert extra(ENVS["bedrock_key"]) == ""
    assert extra(ENVS["bedrock_mode"]) == "aws"
    assert extra(ENVS["vertex"]) == "gcp"
    assert extra(ENVS["azure_key"]) == ""
    assert extra(ENVS["azure_entra"]) == "azure"
