import re

import pytest
import yaml

from ccrelay.config.defaults import (
    KNOWN_KEYS,
    Ollama,
    config_without_file,
    detect,
    ollama_url,
    starter,
)
from ccrelay.config.model import Key, Provider

EVERY = {known.variable: f"canary-{known.name}" for known in KNOWN_KEYS}
OLLAMA = Ollama("http://localhost:11434", ("qwen3:32b", 'evil"\n- name: x', "a/b:c"))


def test_without_a_file_the_environment_key_becomes_the_provider():
    config = config_without_file({"ANTHROPIC_API_KEY": "test-key-1"})
    key = Key(key="test-key-1", name="ANTHROPIC_API_KEY")
    assert config.providers == [Provider(name="anthropic", type="anthropic", keys=[key])]


@pytest.mark.parametrize("env", [{}, {"ANTHROPIC_API_KEY": ""}])
def test_without_file_and_key_the_clients_credential_passes_through(env):
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
def test_the_address_of_ollama_is_read_as_its_client_reads_it(text, url):
    assert ollama_url({} if text is None else {"OLLAMA_HOST": text}) == url


def providers_in(text: str) -> list[dict[str, object]]:
    return yaml.safe_load(text)["providers"]


def test_the_starter_names_variables_and_never_holds_a_key():
    text = starter(detect({**EVERY, "ANTHROPIC_API_KEY": "canary-a"}, OLLAMA))
    assert "canary" not in text
    for variable in [*EVERY, "ANTHROPIC_API_KEY"]:
        assert f'"${{{variable}}}"' in text
    names = [provider["name"] for provider in providers_in(text)]
    assert names == ["anthropic", "zai", "minimax", "kimi", "deepseek", "openrouter", "ollama"]


def test_the_starter_without_any_key_passes_the_clients_login_through():
    (provider,) = providers_in(starter(detect({}, None)))
    assert provider == {"name": "anthropic", "type": "anthropic"}


def test_with_other_keys_only_the_first_of_them_answers_for_claude_models():
    first, *others = providers_in(starter(detect(EVERY, None)))
    assert first["name"] == "zai"
    assert first["model_mapping"] == {"claude-haiku*": "glm-5.3-flash", "claude-*": "glm-5.3"}
    assert all("model_mapping" not in provider for provider in others)


def test_no_two_providers_of_a_starter_serve_claude_models():
    for env in ({**EVERY, "ANTHROPIC_API_KEY": "x"}, EVERY):
        providers = providers_in(starter(detect(env, OLLAMA)))
        claude = [p for p in providers if p["name"] == "anthropic" or "model_mapping" in p]
        assert len(claude) == 1
        assert all("models" in p for p in providers if p["name"] != "anthropic")


def test_models_of_ollama_are_listed_and_odd_names_left_out():
    provider = providers_in(starter(detect({}, OLLAMA)))[-1]
    assert provider["models"] == ["qwen3:32b", "a/b:c"]


@pytest.mark.parametrize("env", [{}, EVERY, {**EVERY, "ANTHROPIC_API_KEY": "test-key-0"}])
@pytest.mark.parametrize("ollama", [None, OLLAMA, Ollama("http://localhost:11434", ())])
def test_every_starter_loads_without_a_finding(load_text, env, ollama):
    loaded = load_text(starter(detect(env, ollama)), **env)
    assert loaded.warnings == []


def test_what_the_starter_has_commented_out_may_be_switched_on(load_text):
    text = starter(detect({"ANTHROPIC_API_KEY": "x"}, None))
    head, rules, rest = text.partition("  # rules:")
    text = head + re.sub(r"^( *)# ", r"\1", rules + rest, flags=re.MULTILINE)
    loaded = load_text(text)
    assert loaded.warnings == []
    assert len(loaded.config.routing.rules) == 1
    assert loaded.config.providers[0].keys[0].tpm_limit == 100_000
    assert loaded.config.logging.format == "json"
