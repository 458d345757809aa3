"""Offsets are those of the text, whatever characters stand before."""

import pytest

from ccrelay.config.yaml_tree import yaml_tree


def test_offsets_styles_and_aliases() -> None:
    text = "é: &a 'x'\nü: [*a, \"y\"]\n"
    root = yaml_tree(text)
    (key, value), (_, items) = root.members()
    assert text[key.start : key.end] == "é"
    assert text[value.start : value.end] == "&a 'x'"
    assert value.has_properties
    alias, quoted = items.items
    assert (alias.kind, alias.resolved()) == ("alias", value)
    assert text[quoted.start : quoted.end] == '"y"'
    assert (quoted.is_quoted, items.is_flow, root.is_flow) == (True, True, False)
    assert text[items.start : items.end] == '[*a, "y"]'


@pytest.mark.parametrize("text", ["", "# only a comment\n", "[", "a: b: c", "\tx", "*a"])
def test_what_is_no_document(text: str) -> None:
    with pytest.raises((ValueError, LookupError)):
        yaml_tree(text)
