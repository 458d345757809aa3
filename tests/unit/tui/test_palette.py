import re

import pytest
from rich.color import Color
from rich.style import Style

from ccrelay.cli.screen import Screen
from ccrelay.tui.dashboard import THEMES
from ccrelay.tui.glyphs import UNICODE
from ccrelay.tui.paint import picked
from ccrelay.tui.palette import PALETTES

SCREEN = Screen(colour=True)
STYLES = ("bold", "dim", "red", "green", "amber", "accent")


def luminance(color: Color) -> float:
    assert color.triplet is not None
    parts = [value / 255 for value in color.triplet]
    red, green, blue = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(style: Style) -> float:
    assert style.color is not None
    assert style.bgcolor is not None
    light, dark = sorted([luminance(style.color), luminance(style.bgcolor)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_theme_has_its_palette() -> None:
    assert set(PALETTES) == set(THEMES)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("is_picked", [False, True])
def test_text_has_contrast_on_both_surfaces(theme: str, style: str, is_picked: bool) -> None:
    line = " " + SCREEN.paint("text", style)
    if is_picked:
        line = picked(line, 10, UNICODE)
    strip = PALETTES[theme].strip(line, 10)
    [segment] = [segment for segment in strip if segment.text == "text"]
    assert segment.style is not None
    assert contrast(segment.style) >= 4.5


def test_what_is_not_printable_never_reaches_the_terminal() -> None:
    assert PALETTES["dark"].strip("a\x1b]0;x\x07", 20).text == "a\\u001b]0;x\\u0007   "


def test_without_colour_there_is_none() -> None:
    line = picked(" " + "".join(SCREEN.paint(style, style) for style in STYLES), 60, UNICODE)
    for segment in PALETTES["none"].strip(line, 60):
        assert segment.style is not None
        assert segment.style.color is None
        assert segment.style.bgcolor is None


def test_the_terminals_own_colours_are_used_by_their_names() -> None:
    strip = PALETTES["system"].strip(SCREEN.paint("x", "amber"), 5)
    [style] = [segment.style for segment in strip if segment.text == "x"]
    assert style is not None
    assert style.color is not None
    assert style.color.name == "yellow"
    assert style.bgcolor is None


@pytest.mark.parametrize("theme", THEMES)
def test_a_line_has_the_width_also_with_wide_characters(theme: str) -> None:
    strip = PALETTES[theme].strip("日本 " + SCREEN.paint("x", "red"), 20)
    assert strip.cell_length == 20
    assert re.match("日本 x +", strip.text)
