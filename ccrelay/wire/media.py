"""Finds base64 images and PDFs in a request body, whose length does not reflect their tokens.

A screenshot is half a megabyte of base64 but 1,600 tokens; by length it would count as 200,000,
more than many keys allow. Nothing is decoded. Text cannot match the pattern, because its quotes are
escaped.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from ccrelay.wire.tokens import IMAGE_TOKENS, PAGE_BYTES, PAGE_TOKENS

# Shorter strings are ignored.
MEDIA_BYTES_MIN = 4096
# Far above the API's limit of 100 images; bounds the work on hostile bodies.
ITEMS_MAX = 1000

_DATA = re.compile(rb'"data"[ \t]{0,4}:[ \t]{0,4}"')
# A source is {"type":"base64","media_type":"image/png","data":"..."}, in this order by every SDK.
_BEFORE_BYTES = 100


class Media(NamedTuple):
    """Bytes of base64, and about how many tokens they are worth."""

    size: int
    tokens: int


def media_of(body: bytes) -> Iterator[Media]:
    """Yield each image and document of a body, in order."""
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
    """Total of the last items that fit into `size` bytes: a conversation grows at its end.

    With the size of the whole body: all of them.
    """
    found = tokens = 0
    for one in reversed(list(media_of(body))):
        if found + one.size > size:
            break
        found += one.size
        tokens += one.tokens
    return Media(found, tokens)
