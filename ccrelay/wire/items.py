"""The objects of an array inside a body, one after another, without decoding the array.

For questions about one message or block of a body that is otherwise left alone. Memory is that of
one step, whatever the body holds; the number of objects looked at is bounded by the caller.
"""

import re
from collections.abc import Iterator

import msgspec

from ccrelay._fast.json import MemberScan, ScanState
from ccrelay.wire.bodies import UNREADABLE

# Bytes copied out of the body per step; most messages fit the first few.
STEP_FIRST_BYTES = 1024
STEP_MAX_BYTES = 65_536
# `capture_max` of a scan whose values are asked for as a `word`: six bytes a letter, all escaped.
WORD_BYTES_MAX = 64

_INVALID = int(ScanState.INVALID)
# What stands before an object of an array: the bracket, or the comma behind the one before.
_OPEN = re.compile(rb"[\[,][ \t\r\n]*(?=\{)")

_STRING = msgspec.json.Decoder(str)

Span = tuple[int, int]


def objects(body: bytes, span: Span, scan: MemberScan, most: int) -> Iterator[int]:
    """Offset of each object of the array at `span`, at most `most` of them.

    With each step `scan` has read that object: its values and spans are there to be asked for until
    the next step; spans count from the object's first byte. What is no array has no objects, and
    the first item that is no object ends it.
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
    """Where a member's value stands in the body, for the object that `objects` found at `start`."""
    found = scan.span(slot)
    return None if found is None else (start + found[0], start + found[1])


def word(scan: MemberScan, slot: int) -> str | None:
    """A member's value if it is a short string, like a role or a type."""
    raw = scan.value(slot)
    if raw is None:
        return None
    try:
        return _STRING.decode(raw)
    except UNREADABLE:
        return None


def string_of(scan: MemberScan, slot: int, start: int, body: bytes) -> Span | None:
    """`span_of` a member that is a string, without its quotes; None for any other value."""
    span = span_of(scan, slot, start)
    return None if span is None else inside(body, span)


def inside(body: bytes, span: Span) -> Span | None:
    """A string without its quotes; None when the value at `span` is none."""
    return (span[0] + 1, span[1] - 1) if body.startswith(b'"', span[0]) else None


def _read(body: bytes, at: int, end: int, scan: MemberScan) -> None:
    # The scan stops at the byte behind the object: to a scan it is one too many.
    scan.reset()
    step = STEP_FIRST_BYTES
    while at < end and scan.feed_bytes(body[at : min(at + step, end)]) != _INVALID:
        at += step
        step = min(2 * step, STEP_MAX_BYTES)
