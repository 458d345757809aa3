"""Images and PDFs inside a request body: what of its length says nothing of its tokens.

A screenshot is half a megabyte of base64 and 1,600 tokens; by its length it would be 200,000, more
than the limits of many a key. Nothing is decoded: the strings are found and skipped, and in text
the marks that they are found by are escaped.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from ccrelay.wire.tokens import IMAGE_TOKENS, PAGE_BYTES, PAGE_TOKENS

# Shorter strings are no matter.
MEDIA_BYTES_MIN = 4096
# Far more than a request may hold (100 images); bounds the work on a hostile one.
ITEMS_MAX = 1000

_DATA = re.compile(rb'"data"[ \t]{0,4}:[ \t]{0,4}"')
# A source is {"type":"base64","media_type":"image/png","data":"..."}, in this order by every SDK.
_BEFORE_BYTES = 100


class Media(NamedTuple):
    """Bytes of base64, and about how many tokens they are."""

    size: int
    tokens: int


def media_of(body: bytes) -> Iterator[Media]:
    """Each image and document of a body, in their order."""
    at = 0
    for _ in range(ITEMS_MAX):
        mark = _DATA.search(body, at)
        if mark is None:
            return
        at = body.find(b'"', mark.end())
        if at < 0:
            return
        size = at - mark.end()
        if size >= MEDIA_BYTES_MIN:
            before = max(mark.start() - _BEFORE_BYTES, 0)
            is_image = body.find(b"image/", before, mark.start()) >= 0
            pages = 0 if is_image else max(1.0, size / PAGE_BYTES)
            yield Media(size, IMAGE_TOKENS if is_image else int(PAGE_TOKENS * pages))


def newest(body: bytes, size: int) -> Media:
    """All that fits into so many bytes, counted from the last one: a conversation grows at its end.

    With the size of the whole body: all of it.
    """
    found = tokens = 0
    for one in reversed(list(media_of(body))):
        if found + one.size > size:
            break
        found += one.size
        tokens += one.tokens
    return Media(found, tokens)
