"""How wrong values are shown: quoted, and secrets never."""

import pytest

from ccrelay.config.wording import is_secret, shown

TYPE = ("providers", 0, "type")
URL = ("providers", 0, "base_url")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("antropic", '"antropic"'),
        ("claude-sonnet-4-5-20250929", '"claude-sonnet-4-5-20250929"'),
        ("x-api-keys", '"x-api-keys"'),
        ("60 per minute", '"60 per minute"'),
        ("a\x1b[31m", '"a?[31m"'),
        ("", "empty text"),
        ("api.example/anthropic", '"api.example/anthropic"'),
        ("htps://api.example:8443/a", '"htps://api.example:8443/a"'),
        ("https://me:test-key-1@api.example/a", '"https://...@api.example/a"'),
        ("me:p@ss/w@api.example", '"...@api.example"'),
        ("https://api.example/a?key=hidden#x", '"https://api.example/a?..."'),
        ("https://api.example/sk-live-hidden/v1", '"https://api.example/.../v1"'),
        ("name:a api_key:correct-horse", '"name:a api_key:..."'),
        ("Bearer correct-horse", '"Bearer ..."'),
        ("password=correct-horse", "text"),
    ],
)
def test_wrong_values_are_quoted_without_their_secret_parts(text: str, expected: str) -> None:
    assert shown(URL, text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "sk-live-hidden",
        "test-key-1",
        "my-secret",
        "relay_token_7",
        "hf_hidden",
        "9f8e7d6c5b4a39281706f5e4d3c2b1a0",
        "00000000-1111-2222-3333-4444aaaa5555",
        "Aa1" * 8,
    ],
)
def test_a_word_that_looks_like_a_key_is_never_shown(text: str) -> None:
    assert shown(TYPE, text) == "text"
    assert text not in shown(TYPE, f"Bearer {text}")


@pytest.mark.parametrize(
    "path",
    [
        ("providers", 0, "keys"),
        ("providers", 0, "keys", 1),
        ("providers", 0, "keys", 1, "key"),
        ("providers", 0, "keys", 1, "credential"),
        ("providers", 0, "keys", 1, "credential", "client_secret"),
        ("providers", 0, "keys", 1, "credential", "client_id"),
        ("providers", 0, "headers", "x-team"),
        ("server", "auth"),
        ("server", "auth", "tokens", 0),
    ],
)
def test_values_of_secret_settings_are_never_shown(path: tuple[str | int, ...]) -> None:
    assert is_secret(path)
    assert shown(path, "plain") == "text"


def test_words_of_a_credential_are_shown_unless_they_look_secret() -> None:
    place = ("providers", 0, "keys", 1, "credential", "source")
    assert not is_secret(place)
    assert shown(place, "imds") == '"imds"'
    assert shown(place, "sk-" + "ant-REAL0123456789abcdefghij") == "text"


def test_text_from_an_expression_is_never_shown() -> None:
    assert shown(TYPE, "plain", is_expanded=True) == "text from ${...}"
    assert shown(TYPE, "", is_expanded=True) == "empty text from ${...}"
    assert not is_secret(TYPE)
