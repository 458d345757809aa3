import pytest

from ccrelay.tui.glyphs import ASCII, UNICODE, glyphs


def test_the_fallbacks_are_those_of_the_design() -> None:
    pairs = dict(zip(UNICODE, ASCII, strict=True))
    wanted = {"█": "#", "▓": "=", "▒": "-", "✕": "x", "╱": "/", "┆": ":"}
    assert {char: pairs[char] for char in wanted} == wanted
    assert (UNICODE.other, ASCII.other) == ("░", ".")


def test_the_fallbacks_are_ascii() -> None:
    assert all(char.isascii() for char in ASCII)
    assert glyphs(unicode=False) is ASCII
    assert glyphs(unicode=True) is UNICODE


@pytest.mark.parametrize(
    ("model", "glyph"),
    [("claude-opus-5-5", "█"), ("claude-sonnet-5-5", "▓"), ("anthropic.claude-haiku-5", "▒"),
     ("glm-5.3", "░"), ("", "░")],
)  # fmt: skip
def test_a_family_has_its_glyph(model: str, glyph: str) -> None:
    assert UNICODE.of_model(model) == glyph
