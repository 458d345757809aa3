"""Reading `:authority`: the examples of RFC 7541, frames in pieces, and garbage."""

import struct

import pytest
from hypothesis import given, strategies as st

from ccrelay.control.h2_authority import BLOCK_MAX, PREFACE, AuthorityReader, NotReadable, fields

# RFC 7541, appendix C.3.1 and C.4.1: the first request, plain and in Huffman code.
PLAIN = bytes.fromhex("828684410f7777772e6578616d706c652e636f6d")
HUFFMAN = bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")
# C.2.1: literal with indexing, a new name; C.2.3: never indexed.
CUSTOM = bytes.fromhex("400a637573746f6d2d6b65790d637573746f6d2d686561646572")
NEVER = bytes.fromhex("100870617373776f726406736563726574")
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
# C.6.1: every kind of character of a date, in Huffman code.
DATE = bytes.fromhex("6196d07abe941054d444a8200595040b8166e082a62d1bff")


def frame(kind: int, flags: int, payload: bytes, stream: int = 1) -> bytes:
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream)
        + payload
    )


def read(*pieces: bytes) -> AuthorityReader:
    reader = AuthorityReader()
    for piece in pieces:
        reader.feed(piece)
    return reader


@pytest.mark.parametrize(
    "block", [PLAIN, HUFFMAN, CUSTOM + HUFFMAN, NEVER + PLAIN, b"\x3f\xe1\x1f" + PLAIN]
)
@pytest.mark.parametrize("size", [1, 3, 9, 1000])
def test_the_first_request_says_it(block: bytes, size: int) -> None:
    data = PREFACE + SETTINGS + frame(8, 0, b"\0\0\1\0", 0) + frame(1, 4, block) + b"more"
    reader = read(*(data[at : at + size] for at in range(0, len(data), size)))
    assert (reader.is_done, reader.authority) == (True, "www.example.com")


def test_it_is_not_known_before_the_block_is_whole() -> None:
    data = PREFACE + frame(1, 4, PLAIN)
    reader = AuthorityReader()
    for at in range(len(data) - 1):
        reader.feed(data[at : at + 1])
        assert (reader.is_done, reader.authority) == (False, None)
    reader.feed(data[-1:])
    assert reader.authority == "www.example.com"


def test_padding_and_priority_are_no_part_of_it() -> None:
    padded = bytes([3]) + b"\0\0\0\0\x10" + PLAIN + b"\0\0\0"
    assert read(PREFACE, frame(1, 0x4 | 0x8 | 0x20, padded)).authority == "www.example.com"


def test_a_block_may_go_on() -> None:
    first, rest = PLAIN[:5], PLAIN[5:]
    data = PREFACE + frame(1, 0, first) + frame(9, 0, b"") + frame(9, 4, rest)
    assert read(data).authority == "www.example.com"


def test_only_the_first_request_counts() -> None:
    other = bytes.fromhex("8286844104") + b"evil"
    assert read(PREFACE, frame(1, 4, PLAIN), frame(1, 4, other, 3)).authority == "www.example.com"


@pytest.mark.parametrize(
    "frames",
    [
        frame(1, 4, b"\x82\x86"),  # none
        frame(1, 4, PLAIN + PLAIN[3:]),  # two
        frame(1, 4, b"\x80"),
        frame(1, 4, b"\xff\xff\xff\xff\xff\xff\xff\xff"),
        frame(1, 4, b"\xbf"),  # of an empty table
        frame(1, 4, b"\x41\x0fwww"),
        frame(1, 4, b"\x41\x82\0\0"),  # Huffman with wrong padding
        frame(1, 4, b"\x41\x84\xff\xff\xff\xff"),  # the end mark
        frame(1, 4, b"\x41\x03\xff\xfe\xfd"),  # not ASCII
        frame(9, 4, PLAIN),  # CONTINUATION of nothing
        frame(1, 0, PLAIN) + frame(1, 4, PLAIN),
        frame(1, 0x4 | 0x8, b"\xff" + PLAIN),
        b"\xff\xff\xff\1\4\0\0\0\1",
    ],
)
def test_what_cannot_be_read_is_unknown(frames: bytes) -> None:
    reader = read(PREFACE, SETTINGS, frames, frame(1, 4, PLAIN))
    assert (reader.is_done, reader.authority) == (True, None)


def test_blocks_without_end_are_given_up() -> None:
    reader = read(PREFACE, frame(1, 0, b"\0" * 16000))
    for _ in range(10):
        reader.feed(frame(9, 0, b"\0" * 16000))
    assert (reader.is_done, reader.authority) == (True, None)
    assert len(reader._buffer) < BLOCK_MAX


def test_an_entry_of_the_table_is_found_again() -> None:
    # A name that is indexed, then a value for it, and `:authority` by a name of the table.
    block = b"\x40\x0a:authority\x03abc" + b"\xbe"
    assert list(fields(block)) == [(b":authority", b"abc")] * 2


def test_other_fields_are_walked_over() -> None:
    assert list(fields(DATE + HUFFMAN))[-1] == (b":authority", b"www.example.com")
    assert next(fields(DATE))[1] == b"Mon, 21 Oct 2013 20:13:21 GMT"


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_nothing_makes_it_fail(pieces: list[bytes]) -> None:
    reader = read(PREFACE, *pieces)
    for each in pieces:
        reader.feed(frame(1, 4, each))
    assert reader.authority is None or isinstance(reader.authority, str)


@given(st.binary(max_size=80))
def test_blocks_are_decoded_or_refused(block: bytes) -> None:
    try:
        list(fields(block))
    except (NotReadable, IndexError):
        pass
