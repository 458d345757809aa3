"""Shapes of secrets and of names. Messages as a whole: test_no_secret_in_problems.py."""

import pytest

from ccrelay.config.secret_shapes import (
    is_dubious,
    is_key,
    looks_secret,
    names_secret,
    without_quotes,
    without_secrets,
)

NAMES = [
    "claude-sonnet-4-5-20250929",
    "Qwen3-Coder-480B-A35B-Instruct",
    "DeepSeek-R1-Distill-Qwen-32B-GGUF-Q4_K_M",
    "us.anthropic.claude-sonnet-4-20250514-v1:0",
    "Meta-Llama-3.1-405B-Instruct-Turbo-FP8",
    "mistralai/Mixtral-8x22B-Instruct-v0.1",
    "fine-grained-tool-streaming-2025-05-14",
    "context-management-2025-06-27",
    "ANTHROPIC_API_KEY_TWO",
    "/etc/ccrelay/second.key",
    "https://my-resource-name.openai.azure.com/anthropic",
    "192.168.178.123:11434",
    "2001:db8:85a3::8a2e:370:7334",
    "gcp-vertex-europe-west4",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_models_betas_hosts_and_files_are_no_secrets(name: str) -> None:
    assert without_secrets(name) == name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key 9f8e7d6c5b4a39281706f5e4d3c2b1a0 is", "key ... is"),
        ("https://h.example/9f8e7d6c5b4a39281706f5e4d3c2b1a0/v1", "https://h.example/.../v1"),
        ("q2Xo+sT9vLk3/ZrYp8WmNdQeUaCg==", "..."),
        ("/nowhere/sk-canary-abc", "/nowhere/..."),
        ("x-token-1234", "..."),
    ],
)
def test_only_the_word_is_hidden(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_what_a_word_says_of_itself() -> None:
    assert names_secret("test-key-1")
    assert names_secret("my_password")
    assert not names_secret("key_strategy")
    assert not names_secret("ZAI_API_KEY_2")
    assert not looks_secret("sketch")


@pytest.mark.parametrize(
    ("name", "key", "dubious"),
    [
        ("anthropic", False, False),
        ("xai-primary", False, False),
        ("hf-router-eu", False, False),
        ("sk-short-canary", False, True),
        ("sk-canary-abcdefghijklm", True, True),
        ("xai-canary-abcdefghijklm", True, True),
        ("9f8e7d6c5b4a39281706f5e4d3c2b1a0", False, True),
        ("claude-max-20x-account-b", False, False),
    ],
)
def test_names_of_providers_may_begin_as_keys_do(name: str, key: bool, dubious: bool) -> None:
    assert (is_key(name), is_dubious(name)) == (key, dubious)


def test_parsers_messages_keep_their_marks_but_not_the_text() -> None:
    assert without_quotes("Expected '=' after a key") == "Expected '=' after a key"
    assert without_quotes("Duplicate inline table key 'abcdef'") == "Duplicate inline table key ..."
    assert without_quotes("Cannot declare ('a', 'b') twice") == "Cannot declare ... twice"
