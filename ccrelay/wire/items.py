"""Iterates over the objects of an array inside a body, without decoding the array.

For inspecting single messages or blocks of a body that is not edited. Memory is bounded by one
step, and the number of objects by the caller.
"""

import re
from collections.abc import Iterator

import msgspec

from ccrelay._fast.json import MemberScan, ScanState
from ccrelay.wire.bodies import UNREADABLE

# Bytes copied out of the body per step, doubling.
STEP_FIRST_BYTES = 1024
STEP_MAX_BYTES = 65_536
# `capture_max` of a scan whose values are read by `word`: six bytes per escaped letter.
WORD_BYTES_MAX = 64

_INVALID = int(ScanState.INVALID)
# What precedes an object of an array: the bracket or a comma.
_OPEN = re.compile(rb"[\[,][ \t\r\n]*(?=\{)")

_STRING = msgspec.json.Decoder(str)

Span = tuple[int, int]


def objects(body: bytes, span: Span, scan: MemberScan, most: int) -> Iterator[int]:
    """Yield the offset of each object of the array at `span`, at most `most` of them.

    At each step `scan` holds that object's values and spans, relative to the object's first byte.
    Yields nothing for other values, and stops at the first item that is not an object.
    """
    at, end = span
    for _ in range(most):
        opening = _OPEN.match(body, at, end)
        if opening is None:
            return
        start = opening.end()
        _read(body, start, end, scan)
        at = start + scan.offset
        yield start


def span_of(scan: MemberScan, slot: int, start: int) -> Span | None:
    """Span of a member's value in the body, for the object that `objects` yielded at `start`."""
    found = scan.span(slot)
    return None if found is None else (start + found[0], start + found[1])


def word(scan: MemberScan, slot: int) -> str | None:
    """A member's value, if it is a short string such as a role or type; else None."""
    raw = scan.value(slot)
    if raw is None:
        return None
    try:
        return _STRING.decode(raw)
    except UNREADABLE:
        return None


def string_of(scan: MemberScan, slot: int, start: int, body: bytes) -> Span | None:
    """`span_of` a string member without its quotes; None for any other value."""
    span = span_of(scan, slot, start)
    return None if span is None else inside(body, span)


def inside(body: bytes, span: Span) -> Span | None:
    """Span of a string without its quotes; None: the value at `span` is not a string."""
    return (span[0] + 1, span[1] - 1) if body.startswith(b'"', span[0]) else None


def _read(body: bytes, at: int, end: int, scan: MemberScan) -> None:
    # The scan stops behind the object, whose next byte is invalid to it.
    scan.reset()
    step = STEP_FIRST_BYTES
    while at < end and scan.feed_bytes(body[at : min(at + step, end)]) != _INVALID:
        at += step
        step = min(2 * step, STEP_MAX_BYTES)
