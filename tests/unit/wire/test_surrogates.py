"""Lone surrogates are replaced, and nothing else, wherever windows are cut."""

import random
import re

import pytest

from ccrelay.wire import surrogates
from ccrelay.wire.surrogates import without_lone

TOKENS = [
    b"\\",
    b"\\",
    b"u",
    rb"\ud800",
    rb"\udc00",
    rb"\ud83d\ude00",
    b"x",
    rb"\\ud83d\ude00",
    rb"\n",
]
ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


def plainly(body: bytes) -> bytes:
    """Escape by escape, from left to right."""
    out, at = b"", 0
    while (match := ESCAPE.search(body, at)) is not None:
        out += body[at : match.start()]
        at = match.end()
        code = int(match[1], 16) if match[1] else 0
        if not 0xD800 <= code < 0xE000:
            out += match[0]
            continue
        low = ESCAPE.match(body, at)
        if code < 0xDC00 and low is not None and low[1] and 0xDC00 <= int(low[1], 16) < 0xE000:
            out += match[0] + low[0]
            at = low.end()
        else:
            out += rb"\ufffd"
    return out + body[at:]


@pytest.mark.parametrize("window", [(262_144, 65_536), (64, 40), (200, 60)])
def test_windows_do_not_matter(window: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surrogates, "_WINDOW_BYTES", window[0])
    monkeypatch.setattr(surrogates, "_RUN_BYTES_MAX", window[1])
    dice = random.Random(3)
    for _ in range(5000):
        body = b"".join(dice.choice(TOKENS) for _ in range(dice.randrange(1, 40)))
        assert without_lone(body) == plainly(body)


def test_the_number_of_replacements_is_bounded() -> None:
    body = rb"\ud800" * (surrogates.SURROGATES_MAX + 5)
    assert without_lone(body).count(rb"\ud800") == 5
