"""Images and PDFs are found by their base64, and nothing else is."""

import json

import pytest

from ccrelay.wire.media import MEDIA_BYTES_MIN, Media, media_of, newest
from ccrelay.wire.tokens import IMAGE_TOKENS, PAGE_BYTES, PAGE_TOKENS

SEPARATORS = [(",", ":"), (", ", ": ")]


def source(kind: str, size: int) -> dict[str, object]:
    return {"type": "base64", "media_type": kind, "data": "A" * size}


def body(*sources: dict[str, object], separators: tuple[str, str] = (",", ":")) -> bytes:
    blocks = [{"type": "image", "source": one} for one in sources]
    text = {"type": "text", "text": 'he said "data":"' + "B" * 9000 + '"'}
    made = {"model": "m", "messages": [{"role": "user", "content": [text, *blocks]}]}
    return json.dumps(made, separators=separators).encode()


@pytest.mark.parametrize("separators", SEPARATORS)
def test_images_count_flat_and_documents_by_page(separators):
    sent = body(
        source("image/png", 700_000),
        source("application/pdf", 4 * PAGE_BYTES),
        separators=separators,
    )
    assert list(media_of(sent)) == [
        Media(700_000, IMAGE_TOKENS),
        Media(4 * PAGE_BYTES, 4 * PAGE_TOKENS),
    ]


def test_short_strings_and_text_are_not_media():
    assert list(media_of(body(source("image/png", MEDIA_BYTES_MIN - 1)))) == []
    assert list(media_of(b'{"data":"' + b"A" * 9000)) == [], "it does not end"


def test_newest_counts_back_from_the_end():
    sent = body(source("image/png", 50_000), source("image/png", 60_000))
    assert newest(sent, len(sent)) == Media(110_000, 2 * IMAGE_TOKENS)
    assert newest(sent, 70_000) == Media(60_000, IMAGE_TOKENS)
    assert newest(sent, 10_000) == Media(0, 0)
