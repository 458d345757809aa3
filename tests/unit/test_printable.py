"""Text from elsewhere, as it may be shown."""

import json

import pytest

from ccrelay.printable import printable, printable_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("Schlüssel 鍵 🔑", "Schlüssel 鍵 🔑"),
        ("a\rb", "a\\u000db"),
        ("\x1b[2J", "\\u001b[2J"),
        ("\x7f\x9b", "\\u007f\\u009b"),
        ("\u2028\u202e", "\\u2028\\u202e"),
        ("\U000e0041", "\\U000e0041"),
        ("\udc80", "\\udc80"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["é", "\u2028", "\U000e0041 é", "\x7f", "plain"])
def test_json_means_the_same_afterwards(text: str) -> None:
    data = json.dumps({text: [text]}, ensure_ascii=False).encode()
    shown = printable_json(data)
    assert json.loads(shown) == {text: [text]}
    assert shown.decode().isprintable()
