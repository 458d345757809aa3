"""The text of the first configuration is valid, and nothing gets into it that is not meant to."""

from pathlib import Path

import pytest

from ccrelay.config.load import load_text
from ccrelay.config.model import Config, Server
from ccrelay.config.starter_clouds import Machine, find_clouds
from ccrelay.first_run.choice import Choice, KeyStore, SetupProblem, settled
from ccrelay.first_run.text import config_text, variables_of, with_listen

ENV = {"KEY": "test-key-1"}


def loaded(*choices: Choice, env: dict[str, str] | None = None) -> Config:
    chosen = settled(choices)
    references = {one.name: "${KEY}" for one in chosen if one.key}
    text = config_text(chosen, references, find_clouds(Machine(env or {})))
    assert "test-key" not in text
    found = load_text(text.encode(), Path("/nonexistent/c.yaml"), env={**ENV, **(env or {})})
    assert not found.missing_secrets
    return found.config


def test_a_login_passes_through() -> None:
    [provider] = loaded(Choice(type="anthropic", pass_through=True)).providers
    assert (provider.name, provider.type, provider.keys) == ("anthropic", "anthropic", [])


@pytest.mark.parametrize("name", ["zai", "minimax", "kimi", "deepseek", "openrouter"])
def test_a_known_service_serves_claudes_names(name: str) -> None:
    [provider] = loaded(Choice(type=name, key="test-key-2")).providers
    assert [key.key for key in provider.keys] == ["test-key-1"]
    assert list(provider.model_mapping) == ["claude-haiku*", "claude-*"]
    assert provider.base_url


def test_a_model_that_was_chosen_stands_for_all() -> None:
    choice = Choice(type="compatible", base_url="http://127.0.0.1:9", key="k", model="m:1")
    [provider] = loaded(choice).providers
    assert provider.model_mapping == {"claude-haiku*": "m:1", "claude-*": "m:1"}
    assert provider.models == ["m:1"]


def test_a_service_without_a_key_says_so() -> None:
    [provider] = loaded(Choice(type="compatible", base_url="http://127.0.0.1:9")).providers
    assert provider.auth == "none"


def test_several_are_used_in_their_order() -> None:
    config = loaded(Choice(type="anthropic", pass_through=True), Choice(type="zai", key="k"))
    assert config.routing.strategy == "failover"
    assert [provider.name for provider in config.providers] == ["anthropic", "zai"]
    assert loaded(Choice(type="zai", key="k")).routing.strategy == "simple-shuffle"


def test_a_cloud_is_as_it_was_found_or_as_it_is_told() -> None:
    env = {"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_REGION": "eu-west-1"}
    [found] = loaded(Choice(type="bedrock"), env=env).providers
    assert (found.region, found.api) == ("eu-west-1", "invoke")
    told = Choice(type="bedrock", settings={"region": "us-west-2", "profile": "work"})
    [provider] = loaded(told, env=env).providers
    assert provider.region == "us-west-2"
    assert provider.keys[0].credential is not None
    assert provider.keys[0].credential.profile == "work"


@pytest.mark.parametrize(
    "name", ["no", "a: b", 'x"\n  - name: y', "${cmd:touch /ran}", "#", "true", "é", "-"]
)
def test_a_text_stays_a_text(name: str) -> None:
    choice = Choice(type="compatible", base_url="http://h", model=name, settings={"project": name})
    text = config_text(settled([choice]), {})
    import yaml

    [provider] = yaml.safe_load(text)["providers"]
    assert provider["project"].replace("$${", "${") == name
    assert "${cmd" not in text.replace("$${", "") or "cmd:..." in text
    assert provider["model_mapping"]["claude-*"].replace("$${", "${") == name


def test_the_comment_says_where_the_key_is() -> None:
    def comment(store: KeyStore, reference: str) -> str:
        [choice] = settled([Choice(type="zai", variable="KEY", store=store)])
        return config_text([choice], {"zai": reference})

    assert "`ccrelay keys set zai-2`" in comment(KeyStore.KEYCHAIN, "${keyring:zai-2}")
    assert "mode 0600" in comment(KeyStore.FILE, "${file:keys/zai}")
    assert "environment of `ccrelay serve`" in comment(KeyStore.ENVIRONMENT, "${KEY}")


def test_a_key_has_a_name_that_is_shown() -> None:
    [provider] = loaded(Choice(type="zai", key="test-key-1")).providers
    assert [one.name for one in provider.keys] == ["default"]


def test_an_address_that_others_can_reach_needs_a_token() -> None:
    text = config_text(settled([Choice(type="anthropic", pass_through=True)]), {})
    env = {"RELAY_TOKEN": "test-token-of-the-relay"}

    def server(listen: str) -> Server:
        found = load_text(with_listen(text, listen).encode(), Path("/nonexistent/c.yaml"), env=env)
        return found.config.server

    assert server("0.0.0.0:8787").auth.tokens == ["test-token-of-the-relay"]
    assert server("0.0.0.0:8787").listen == "0.0.0.0:8787"
    assert server("127.0.0.1:9000").auth.tokens == []
    assert server("127.0.0.1:9000").listen == "127.0.0.1:9000"
    with pytest.raises(SetupProblem):
        server("nonsense")


def test_variables_that_have_to_be_set_are_found() -> None:
    choices = settled([Choice(type="zai", variable="MY_KEY", model="a$${B}${C}")])
    text = config_text(choices, {"zai": "${MY_KEY}"})
    assert variables_of(text) == ["MY_KEY"]  # RELAY_TOKEN is in a comment
    assert variables_of(with_listen(text, "0.0.0.0:1")) == ["RELAY_TOKEN", "MY_KEY"]
    assert variables_of(config_text(choices, {"zai": "${file:keys/zai}"})) == []
