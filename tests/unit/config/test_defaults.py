import re

import pytest
import yaml

from ccrelay.config.defaults import (
    KNOWN_KEYS,
    Ollama,
    config_without_file,
    detect,
    ollama_url,
    starter_config,
)
from ccrelay.config.model import Key, Provider

EVERY = {known.variable: f"canary-{known.name}" for known in KNOWN_KEYS}
OLLAMA = Ollama("http://localhost:11434", ("qwen3:32b", 'evil"\n- name: x', "a/b:c"))


def test_without_a_file_the_key_is_from_the_environment():
    config = config_without_file({"ANTHROPIC_API_KEY": "test-key-1"})
    key = Key(key="test-key-1", name="ANTHROPIC_API_KEY")
    assert config.providers == [Provider(name="anthropic", type="anthropic", keys=[key])]


@pytest.mark.parametrize("env", [{}, {"ANTHROPIC_API_KEY": ""}])
def test_without_file_and_key_the_client_credential_is_passed_through(env):
    assert config_without_file(env).providers == [Provider(name="anthropic", type="anthropic")]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (None, "http://localhost:11434"),
        ("", "http://localhost:11434"),
        ("box", "http://box:11434"),
        ("box:1", "http://box:1"),
        (":1234", "http://localhost:1234"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::]:5", "http://[::1]:5"),
        ("https://ollama.example/", "https://ollama.example"),
        ("http://box:1/sub", "http://box:1/sub"),
    ],
)
def test_ollama_host_is_parsed_as_by_ollama(text, url):
    assert ollama_url({} if text is None else {"OLLAMA_HOST": text}) == url


def providers_in(text: str) -> list[dict[str, object]]:
    return yaml.safe_load(text)["providers"]


def test_the_starter_references_variables_and_contains_no_keys():
    text = starter_config(detect({**EVERY, "ANTHROPIC_API_KEY": "canary-a"}, OLLAMA))
    assert "canary" not in text
    for variable in [*EVERY, "ANTHROPIC_API_KEY"]:
        assert f'"${{{variable}}}"' in text
    names = [provider["name"] for provider in providers_in(text)]
    assert names == ["anthropic", "zai", "minimax", "kimi", "deepseek", "openrouter", "ollama"]


def test_the_starter_without_keys_passes_the_client_credential_through():
    (provider,) = providers_in(starter_config(detect({}, None)))
    assert provider == {"name": "anthropic", "type": "anthropic"}


def test_without_an_anthropic_key_the_first_provider_serves_claude_models():
    first, *others = providers_in(starter_config(detect(EVERY, None)))
    assert first["name"] == "zai"
    assert first["model_mapping"] == {"claude-haiku*": "glm-5.3-flash", "claude-*": "glm-5.3"}
    assert all("model_mapping" not in provider for provider in others)


def test_only_one_provider_of_a_starter_serves_claude_models():
    for env in ({**EVERY, "ANTHROPIC_API_KEY": "x"}, EVERY):
        providers = providers_in(starter_config(detect(env, OLLAMA)))
        claude = [p for p in providers if p["name"] == "anthropic" or "model_mapping" in p]
        assert len(claude) == 1
        assert all("models" in p for p in providers if p["name"] != "anthropic")


def test_ollama_models_are_listed_without_unsafe_names():
    provider = providers_in(starter_config(detect({}, OLLAMA)))[-1]
    assert provider["models"] == ["qwen3:32b", "a/b:c"]


@pytest.mark.parametrize("env", [{}, EVERY, {**EVERY, "ANTHROPIC_API_KEY": "test-key-0"}])
@pytest.mark.parametrize("ollama", [None, OLLAMA, Ollama("http://localhost:11434", ())])
def test_every_starter_loads_without_warnings(load_text, env, ollama):
    loaded = load_text(starter_config(detect(env, ollama)), **env)
    assert loaded.warnings == []
    assert {key.name for one in loaded.config.providers for key in one.keys} <= {"default"}


def test_commented_settings_of_the_starter_are_valid(load_text):
    text = starter_config(detect({"ANTHROPIC_API_KEY": "x"}, None))
    head, rules, rest = text.partition("  # rules:")
    text = head + re.sub(r"^( *)# ", r"\1", rules + rest, flags=re.MULTILINE)
    loaded = load_text(text)
    assert loaded.warnings == []
    assert len(loaded.config.routing.rules) == 1
    assert loaded.config.providers[0].keys[0].tpm_limit == 100_000
    assert loaded.config.logging.format == "json"
