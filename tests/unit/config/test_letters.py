"""Letters of providers."""

from ccrelay.config.letters import letters


def test_letters_are_those_of_the_names_where_they_are_free() -> None:
    assert letters(["anthropic", "bedrock", "zai"]) == {
        "anthropic": "A",
        "bedrock": "B",
        "zai": "Z",
    }
    assert letters(["anthropic", "azure", "aaa"]) == {
        "anthropic": "A",
        "azure": "Z",
        "aaa": "B",
    }
    assert letters(["日本"]) == {"日本": "A"}
    many = letters(str(number) for number in range(50))
    assert list(many.values()).count("?") == 14
    assert len({letter for letter in many.values() if letter != "?"}) == 36
