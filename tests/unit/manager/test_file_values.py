"""What the text of the file says of the settings that can be overridden."""

import pytest

from ccrelay.manager.file_values import FileTextValues, parse

YAML = """\
providers:
- {name: one, enabled: false, keys: [{key: a, weight: 7}, {key: b, enabled: "${B}"}]}
- {name: two}
"""
TOML = '[[providers]]\nname = "one"\nenabled = false\n[[providers.keys]]\nkey = "a"\nweight = 7\n'


@pytest.mark.parametrize(("text", "is_toml"), [(YAML, False), (TOML, True)])
def test_values_and_defaults(text: str, is_toml: bool) -> None:
    values = FileTextValues(text, is_toml=is_toml)
    assert values.value("one", None, "enabled") == 0
    assert values.value("one", 0, "weight") == 7
    assert values.value("one", 0, "enabled") == 1
    assert values.value("gone", None, "enabled") is None
    assert values.value("one", 9, "weight") is None
    assert values.index("one") == 0


def test_expressions_stay_text() -> None:
    values = FileTextValues(YAML, is_toml=False)
    assert values.value("one", 1, "enabled") == "${B}"
    assert values.value("two", 0, "weight") is None  # no keys stand there


def test_without_a_file_the_defaults_hold() -> None:
    values = FileTextValues("", is_toml=False)
    assert values.value("anthropic", None, "enabled") == 1
    assert values.value("anthropic", 0, "weight") == 1


@pytest.mark.parametrize(
    "text", ["[", "- a", "providers: x", "providers: [1, {name: [a]}]", "\x07"]
)
@pytest.mark.parametrize("is_toml", [True, False])
def test_nonsense_says_nothing(text: str, is_toml: bool) -> None:
    parse(text, is_toml=is_toml)
    values = FileTextValues(text, is_toml=is_toml)
    assert values.index("one") is None
    assert values.value("one", 0, "enabled") in (None, 1)
