"""Readable twin of ccrelay._fast.json: what a scan knows after a document, or the start of one."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

DEPTH_MAX = 10_000  # levels, the document's own object included
KEY_MAX = 256  # raw bytes

SCANNING, COMPLETE, INVALID = 0, 1, -1

SPACE = b" \t\r\n"
DIGITS = b"0123456789"
CLOSER = {ord("{"): ord("}"), ord("["): ord("]")}
KEY_TEXT = re.compile(rb'(?:[^\\]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*', re.DOTALL)


class NeedMore(Exception):
    pass


class Bad(Exception):
    def __init__(self, at: int) -> None:
        self.at = at


@dataclass
class Slot:
    seen: int = 0
    span: tuple[int, int] | None = None
    value: bytes | None = None


@dataclass
class Members:
    state: int
    offset: int
    slots: list[Slot]
    elements: int = 0  # commas and opening brackets outside of strings


def members(data: bytes, names: Sequence[str], capture_max: int = 1024) -> Members:
    """The members called `names` of the object that starts `data`."""
    reader = _Reader(data, list(names), capture_max)
    try:
        reader.document()
    except NeedMore:
        state = COMPLETE if reader.closed else SCANNING
        return Members(state, len(data), reader.slots, reader.elements)
    except Bad as bad:
        return Members(INVALID, bad.at, reader.slots, reader.elements)
    raise AssertionError("a document never ends by itself: white space may follow")


class _Reader:
    def __init__(self, data: bytes, names: list[str], capture_max: int) -> None:
        self.data = data
        self.names = names
        self.capture_max = capture_max
        self.slots = [Slot() for _ in names]
        self.at = 0
        self.closed = False
        self.elements = 0

    def peek(self) -> int:
        if self.at == len(self.data):
            raise NeedMore
        return self.data[self.at]

    def peek_behind_space(self) -> int:
        while self.peek() in SPACE:
            self.at += 1
        return self.peek()

    def expect(self, allowed: bytes) -> int:
        byte = self.peek()
        if byte not in allowed:
            raise Bad(self.at)
        self.at += 1
        return byte

    def document(self) -> None:
        self.peek_behind_space()
        self.expect(b"{")
        self.elements += 1
        if self.peek_behind_space() == ord("}"):
            self.at += 1
        else:
            self.member()
            while self.peek_behind_space() == ord(","):
                self.at += 1
                self.elements += 1
                self.peek_behind_space()
                self.member()
            self.expect(b"}")
        self.closed = True
        self.peek_behind_space()
        raise Bad(self.at)

    def member(self) -> None:
        key = self.key()
        slot = self.slots[self.names.index(key)] if key in self.names else Slot()
        slot.seen += 1
        self.peek_behind_space()
        self.expect(b":")
        self.peek_behind_space()
        start = self.at
        self.skip_value()
        if slot.seen == 1:
            slot.span = start, self.at
            fits = self.at - start <= self.capture_max
            slot.value = self.data[start : self.at] if fits else None

    def key(self) -> str | None:
        self.expect(b'"')
        start = self.at
        while self.peek() != ord('"'):
            if self.peek() == ord("\\"):
                self.at += 1
            if self.peek() < 0x20:
                raise Bad(self.at)
            self.at += 1
        raw = self.data[start : self.at]
        self.at += 1
        if len(raw) > KEY_MAX:
            return None
        if not KEY_TEXT.fullmatch(raw):
            raise Bad(self.at - 1)
        key = json.loads(f'"{raw.decode("utf-8", "surrogateescape")}"')
        assert isinstance(key, str)
        return key

    def skip_value(self) -> None:
        first = self.peek()
        if first == ord('"'):
            self.skip_string()
        elif first in CLOSER:
            self.skip_nested()
        elif first in b"-0123456789":
            self.skip_number()
        else:
            for word in (b"true", b"false", b"null"):
                if first == word[0]:
                    for byte in word:
                        self.expect(bytes([byte]))
                    return
            raise Bad(self.at)

    def skip_string(self) -> None:
        self.expect(b'"')
        while self.peek() != ord('"'):
            if self.peek() == ord("\\"):
                self.at += 1
                self.peek()
            self.at += 1
        self.at += 1

    def skip_nested(self) -> None:
        closer = CLOSER[self.peek()]
        depth = 1  # the document
        while True:
            byte = self.peek()
            if byte == ord('"'):
                self.skip_string()
                continue
            if byte == ord("\\") or (byte in b"{[" and depth == DEPTH_MAX):
                raise Bad(self.at)
            self.elements += byte in b"{[,"
            if byte in b"{[":
                depth += 1
            elif byte in b"}]":
                depth -= 1
                if depth == 1:
                    self.expect(bytes([closer]))
                    return
            self.at += 1

    def skip_number(self) -> None:
        if self.peek() == ord("-"):
            self.at += 1
        if self.peek() == ord("0"):
            self.at += 1
            if self.peek() in DIGITS:
                raise Bad(self.at)
        else:
            self.skip_digits()
        if self.peek() == ord("."):
            self.at += 1
            self.skip_digits()
        if self.peek() in b"eE":
            self.at += 1
            if self.peek() in b"+-":
                self.at += 1
            self.skip_digits()

    def skip_digits(self) -> None:
        self.expect(DIGITS)
        while self.peek() in DIGITS:
            self.at += 1
