import gzip
import random
import zlib
from importlib import import_module

import pytest

from ccrelay.wire import decoders
from ccrelay.wire.decoders import accepts, coding_of, decoder_for

PLAIN = b"".join(b'data: {"type":"ping","n":%d}\n\n' % k for k in range(3000))
MOST = 4096


def br(data: bytes) -> bytes:
    return bytes(import_module("brotli").compress(data))


def zstd(data: bytes) -> bytes:
    try:
        library = import_module("compression.zstd")
    except ImportError:
        library = import_module("backports.zstd")
    return bytes(library.compress(data))


PACKED = {
    "gzip": (b"gzip", gzip.compress(PLAIN)),
    "two members": (b"gzip", gzip.compress(PLAIN[:9]) + gzip.compress(PLAIN[9:])),
    "padded": (b"gzip", gzip.compress(PLAIN) + bytes(7)),
    "trailing text": (b"gzip", gzip.compress(PLAIN) + b"more"),
    "zlib": (b"deflate", zlib.compress(PLAIN)),
    "raw": (b"deflate", zlib.compress(PLAIN)[2:-4]),
    "br": (b"br", br(PLAIN)),
    "zstd": (b"zstd", zstd(PLAIN)),
    "two frames": (b"zstd", zstd(PLAIN[:9]) + zstd(PLAIN[9:])),
}


def unpacked(coding: bytes, packed: bytes, size: int) -> bytes:
    decoder = decoder_for(coding)
    assert decoder is not None
    found = b""
    for at in range(0, len(packed), size):
        rest = packed[at : at + size]
        for _ in range(1000):
            if not rest:
                break
            piece, left = decoder.decode(rest, MOST)
            found, rest = found + piece, left
    return found


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_what_was_packed_comes_back_however_it_is_cut(name: str, size: int) -> None:
    coding, packed = PACKED[name]
    assert unpacked(coding, packed, size) == PLAIN


@pytest.mark.parametrize("name", ["gzip", "zlib"])
def test_a_piece_has_about_as_many_bytes_as_asked(name: str) -> None:
    coding, packed = PACKED[name]
    decoder = decoder_for(coding)
    assert decoder is not None
    assert len(decoder.decode(packed, MOST)[0]) <= MOST + 300


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd"])
def test_other_bytes_are_an_error(coding: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpacked(coding, b'\xff{"type":"message","content":[]}' * 9, 1000)


@pytest.mark.parametrize("coding", [b"br", b"zstd"])
def test_a_bomb_is_an_error(coding: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "_PIECE_MAX", 1_000_000)
    packed = (br if coding == b"br" else zstd)(bytes(4_000_000))
    with pytest.raises(ValueError, match="too much"):
        unpacked(coding, packed, 1 << 20)


def test_no_decoder_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(decoders, "import_module", missing)
    assert decoder_for(b"br") is decoder_for(b"zstd") is None
    assert decoder_for(b"gzip") is not None


@pytest.mark.parametrize(
    ("value", "coding"),
    [
        (b"", b""),
        (b"identity", b""),
        (b"GZIP", b"gzip"),
        (b" x-gzip ", b"gzip"),
        (b"identity, br", b"br"),
        (b"gzip, br", b"gzip, br"),
        (b"exotic", b"exotic"),
    ],
)
def test_the_coding_of_a_field(value: bytes, coding: bytes) -> None:
    assert coding_of(value) == coding


def test_codings_over_each_other_have_no_decoder() -> None:
    assert decoder_for(b"gzip, br") is None


@pytest.mark.parametrize(
    ("accepted", "coding", "expected"),
    [
        (None, b"gzip", False),
        (b"", b"gzip", False),
        (b"identity", b"gzip", False),
        (b"gzip", b"gzip", True),
        (b"X-GZIP", b"gzip", True),
        (b"gzip, deflate, br, zstd", b"zstd", True),
        (b"gzip;q=0", b"gzip", False),
        (b"gzip; q=0.000, *", b"gzip", False),
        (b"gzip;q=0.1", b"gzip", True),
        (b"*", b"br", True),
        (b"*;q=0, gzip", b"br", False),
        (b"gzip;q=x", b"gzip", False),
        (b"gzip, br", b"gzip, br", True),
        (b"gzip", b"gzip, br", False),
    ],
)
def test_what_a_client_accepts(accepted: bytes | None, coding: bytes, expected: bool) -> None:
    assert accepts(accepted, coding) is expected


BOMBS = {
    "gzip": (b"gzip", lambda data: gzip.compress(data)),
    "deflate": (b"deflate", lambda data: zlib.compress(data)),
    "br": (b"br", br),
    "zstd": (b"zstd", zstd),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_response_that_expands_without_measure_counts_as_damaged(name: str) -> None:
    coding, pack = BOMBS[name]
    bomb = pack(bytes(60_000_000))
    decoder = decoder_for(coding)
    assert decoder is not None
    came = []

    def decode(rest: bytes) -> None:
        while rest:
            piece, rest = decoder.decode(rest, 262_144)
            came.append(len(piece))

    with pytest.raises(ValueError, match="too"):
        decode(bomb)
    assert sum(came) <= 2**20 + 64 * len(bomb)


@pytest.mark.parametrize("name", BOMBS)
def test_an_answer_that_repeats_itself_does_not(name: str) -> None:
    coding, pack = BOMBS[name]
    event = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
    event += b'{"type":"text_delta","text":"%d"}}\n\n'
    dice = random.Random(1)
    plain = b"".join(event % dice.randrange(1000) for _ in range(30_000))
    assert unpacked(coding, pack(plain), 100_000) == plain
