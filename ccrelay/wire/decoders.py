"""Content codings of responses, undone piece by piece (RFC 9110 section 8.4.1).

gzip and deflate always; br and zstd where their library is installed (`ccrelay-proxy[compression]`,
or Python 3.14 for zstd).
"""

import re
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Protocol

# What one piece of br or zstd may become: they are not asked to stop in the middle of one.
_PIECE_MAX = 8 * 1024 * 1024
# A response may become so much longer than it came, beyond the first bytes. Events of a stream that
# differ in a word each become 10 to 20 times as long; what becomes more is made to cost memory or
# time.
_FREE_BYTES = 1024 * 1024
_RATIO_MAX = 64
_ITEM = re.compile(rb"\s*([^\s;,]+)\s*(?:;\s*q\s*=\s*([^\s;,]*))?[^,]*", re.IGNORECASE)
_SAME = {b"x-gzip": b"gzip"}


_MEMBER = b"\x1f"  # begins a member of gzip


class ContentDecoder(Protocol):
    """Undoes one coding."""

    def decode(self, data: bytes, most: int, /) -> tuple[bytes, bytes]:
        """At most about `most` bytes of what `data` stands for, and the rest of `data`.

        Raises:
            ValueError: `data` is not in this coding.
        """


class _Bounded:
    """A decoder whose output is in proportion to its input."""

    def __init__(self, decoder: ContentDecoder) -> None:
        self._decoder = decoder
        self._allowed = _FREE_BYTES

    def decode(self, data: bytes, most: int, /) -> tuple[bytes, bytes]:
        """See `ContentDecoder`."""
        piece, rest = self._decoder.decode(data, most)
        self._allowed += _RATIO_MAX * (len(data) - len(rest)) - len(piece)
        if self._allowed < 0:
            raise ValueError("it becomes too long")
        return piece, rest


class _Zlib:
    """gzip (several members too) and deflate (with zlib's frame, as specified, or without)."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._begun = b""
        self._decoder = None if wbits == zlib.MAX_WBITS else zlib.decompressobj(wbits)
        self._is_over = False

    def decode(self, data: bytes, most: int, /) -> tuple[bytes, bytes]:
        """See `ContentDecoder`."""
        if self._is_over:  # what follows says nothing
            return b"", b""
        if self._decoder is None:
            data = self._begun + data
            if len(data) < 2:
                self._begun = data
                return b"", b""
            # RFC 1950: method 8, and a check sum over both bytes.
            framed = data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._decoder = zlib.decompressobj(self._wbits if framed else -self._wbits)
        decoder = self._decoder
        try:
            piece = decoder.decompress(data, most)
            if not decoder.unconsumed_tail:
                piece += decoder.decompress(b"")  # a match that was cut by `most`
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if not decoder.eof:
            return piece, decoder.unconsumed_tail
        rest = decoder.unused_data
        if rest[:1] == _MEMBER:
            self._decoder = zlib.decompressobj(self._wbits)
            return piece, rest
        self._is_over = len(rest) > 0
        return piece, b""


class _Brotli:
    def __init__(self) -> None:
        brotli = import_module("brotli")
        self._decoder = brotli.Decompressor()
        self._error = brotli.error

    def decode(self, data: bytes, most: int, /) -> tuple[bytes, bytes]:
        """See `ContentDecoder`; here `most` holds for each step, all steps are taken."""
        pieces = []
        size = 0
        try:
            piece = self._decoder.process(data, output_buffer_limit=most)
            while piece:
                pieces.append(piece)
                size += len(piece)
                if size > _PIECE_MAX:
                    raise ValueError("too much for one piece")
                piece = self._decoder.process(b"", output_buffer_limit=most)
        except self._error as error:
            raise ValueError(str(error)) from error
        return b"".join(pieces), b""


class _Zstd:
    def __init__(self) -> None:
        try:
            self._library = import_module("compression.zstd")
        except ImportError:
            self._library = import_module("backports.zstd")
        self._decoder = self._library.ZstdDecompressor()

    def decode(self, data: bytes, most: int, /) -> tuple[bytes, bytes]:
        """See `ContentDecoder`."""
        if self._decoder.eof:
            self._decoder = self._library.ZstdDecompressor()
        decoder = self._decoder
        try:
            pieces = [decoder.decompress(data, most)]
            size = len(pieces[0])
            while not decoder.eof and not decoder.needs_input:
                pieces.append(decoder.decompress(b"", most))
                size += len(pieces[-1])
                if size > _PIECE_MAX:
                    raise ValueError("too much for one piece")
        except self._library.ZstdError as error:
            raise ValueError(str(error)) from error
        return b"".join(pieces), decoder.unused_data if decoder.eof else b""


_DECODERS: dict[bytes, Callable[[], ContentDecoder]] = {
    b"gzip": lambda: _Zlib(zlib.MAX_WBITS | 16),
    b"deflate": lambda: _Zlib(zlib.MAX_WBITS),
    b"br": _Brotli,
    b"zstd": _Zstd,
}


def coding_of(value: bytes) -> bytes:
    """The coding that a Content-Encoding names, lower case; b"": identity alone.

    Several codings, one over the other, are returned as they stand: no decoder is found for them.
    """
    codings = [name for part in value.lower().split(b",") if (name := part.strip())]
    codings = [_SAME.get(name, name) for name in codings if name != b"identity"]
    return b", ".join(codings)


def decoder_for(coding: bytes) -> ContentDecoder | None:
    """A decoder for one response; None: there is none, or its library is not installed."""
    make = _DECODERS.get(coding)
    try:
        return None if make is None else _Bounded(make())
    except ImportError:
        return None


def accepts(accept_encoding: bytes | None, coding: bytes) -> bool:
    """Whether a client takes a coding (RFC 9110 section 12.5.3); without the header it takes none.

    A client that says nothing would get any coding by the letter, but most cannot undo it.
    """
    if accept_encoding is None:
        return False
    wanted = dict.fromkeys(coding.split(b", "))
    taken: dict[bytes, bool] = {}
    for name, quality in _ITEM.findall(accept_encoding.lower()):
        try:
            taken[_SAME.get(name, name)] = float(quality or 1) > 0
        except ValueError:
            taken[name] = False
    return all(taken.get(name, taken.get(b"*", False)) for name in wanted)
