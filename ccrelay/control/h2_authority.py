"""Reads `:authority` of the first request of an HTTP/2 connection, in passing.

grpc does not tell its servicers, and a web page that rebinds its own name to a loopback address is
known by nothing else. A browser uses a connection for one name, so the first request says it for
all. HPACK (RFC 7541) is decoded as far as that takes: the dynamic table is empty at that point, and
of other fields only the length matters.
"""

from collections.abc import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BLOCK_MAX = 32 * 1024
_FRAME_HEAD = 9
_HEADERS, _CONTINUATION = 0x1, 0x9
_END_HEADERS, _PADDED, _PRIORITY = 0x4, 0x8, 0x20
_STATIC_ENTRIES = 61
_AUTHORITY = b":authority"

# Length of the Huffman code of each octet and of the end mark (RFC 7541, appendix B): `a` is 5
# bits. The code is canonical, so that the lengths are all of it.
_LENGTHS = (
    "isxxxxxxxtzxxzxxxxxxxxzxxxxxxxxxbffhibdgffdgdbbbaaabbbbbbbcdkbhfibccccccccccccccccccccccdcdioijb"
    "kabababbbaccbbbabcbaabccccckgjixprpprrrsrssssststtrstssssqrsrsstrqprrssqsrrtqrssqqrqsrssprrrsrrsv"
    "vporsruvvvwwvtuoqvwwvwtqqvvxwwwptpqrqqsrruuttvsvwvvwwwwwxwwwwwvz"
)


class NotReadable(Exception):
    """No HTTP/2, or no HPACK."""


class AuthorityReader:
    """Takes the bytes that a client sends, from the preface on, until it knows.

    `authority` is None until `is_done`, and remains None where it cannot be read.
    """

    def __init__(self) -> None:
        self.authority: str | None = None
        self.is_done = False
        self._buffer = bytearray()
        self._skip = len(PREFACE)
        self._block: bytearray | None = None  # of HEADERS that goes on in CONTINUATION

    def feed(self, data: bytes) -> None:
        """Take what comes next. Nothing is done once `is_done`."""
        if self.is_done:
            return
        self._buffer += data
        try:
            while self._take_frame():
                pass
        except (NotReadable, IndexError, UnicodeDecodeError):
            self.is_done = True
        if self.is_done:
            self._buffer.clear()

    def _take_frame(self) -> bool:
        """Whether there may be another one to take."""
        if self._skip:  # the preface, or a frame that says nothing
            skipped = min(self._skip, len(self._buffer))
            del self._buffer[:skipped]
            self._skip -= skipped
        if self._skip or len(self._buffer) < _FRAME_HEAD:
            return False
        size = int.from_bytes(self._buffer[:3], "big")
        kind, flags = self._buffer[3], self._buffer[4]
        if kind not in (_HEADERS, _CONTINUATION):
            self._skip = _FRAME_HEAD + size
            return True
        if size > BLOCK_MAX or (kind == _CONTINUATION) != (self._block is not None):
            raise NotReadable
        if len(self._buffer) < _FRAME_HEAD + size:
            return False
        payload = bytes(self._buffer[_FRAME_HEAD : _FRAME_HEAD + size])
        del self._buffer[: _FRAME_HEAD + size]
        self._add(payload if kind == _CONTINUATION else _fragment(payload, flags), flags)
        return not self.is_done

    def _add(self, fragment: bytes, flags: int) -> None:
        block = self._block if self._block is not None else bytearray()
        block += fragment
        self._block = block
        if len(block) > BLOCK_MAX:
            raise NotReadable
        if flags & _END_HEADERS:
            found = [value for name, value in fields(bytes(block)) if name == _AUTHORITY]
            self.authority = found[0].decode("ascii") if len(found) == 1 else None
            self.is_done = True


def _fragment(payload: bytes, flags: int) -> bytes:
    start, end = 0, len(payload)
    if flags & _PADDED:
        start, end = 1, end - payload[0]
    if flags & _PRIORITY:
        start += 5
    if start > end:
        raise NotReadable
    return payload[start:end]


# ---- HPACK


Field = tuple[bytes, bytes]


def fields(block: bytes) -> Iterator[Field]:
    """Decode the first header block of a connection. Names from the static table are b"",
    but for `:authority`. Raises NotReadable or IndexError.
    """
    added: list[Field] = []
    at = 0
    while at < len(block):
        first = block[at]
        if first & 0x80:  # indexed
            index, at = _integer(block, at, 7)
            yield _entry(index, added)
        elif first & 0xE0 == 0x20:  # size of the dynamic table
            _, at = _integer(block, at, 5)
        else:
            is_added = bool(first & 0x40)
            index, at = _integer(block, at, 6 if is_added else 4)
            if index:
                name = _entry(index, added)[0]
            else:
                name, at = _string(block, at)
            value, at = _string(block, at)
            if is_added:  # nothing is evicted: an encoder does not refer to what is
                added.insert(0, (name, value))
            yield name, value


def _entry(index: int, added: list[Field]) -> Field:
    if index == 0:
        raise NotReadable
    if index <= _STATIC_ENTRIES:
        return (_AUTHORITY if index == 1 else b"", b"")
    return added[index - _STATIC_ENTRIES - 1]


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    limit = (1 << bits) - 1
    value = block[at] & limit
    at += 1
    if value < limit:
        return value, at
    for shift in range(0, 28, 7):
        octet = block[at]
        at += 1
        value += (octet & 0x7F) << shift
        if not octet & 0x80:
            return value, at
    raise NotReadable


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    is_huffman = bool(block[at] & 0x80)
    size, at = _integer(block, at, 7)
    if at + size > len(block):
        raise NotReadable
    data = block[at : at + size]
    return (_unpack(data) if is_huffman else data), at + size


def _code_table() -> dict[tuple[int, int], int]:
    """(length, code) -> octet."""
    lengths = [ord(letter) - ord("a") + 5 for letter in _LENGTHS]
    table: dict[tuple[int, int], int] = {}
    code = before = 0
    for symbol in sorted(range(len(lengths)), key=lambda symbol: (lengths[symbol], symbol)):
        code <<= lengths[symbol] - before
        before = lengths[symbol]
        table[before, code] = symbol
        code += 1
    return table


_CODES = _code_table()
_LONGEST = 30


def _unpack(data: bytes) -> bytes:
    text = bytearray()
    code = length = 0
    for octet in data:
        for bit in range(7, -1, -1):
            code = code << 1 | octet >> bit & 1
            length += 1
            symbol = _CODES.get((length, code))
            if symbol is not None:
                if symbol > 0xFF:
                    raise NotReadable
                text.append(symbol)
                code = length = 0
            elif length >= _LONGEST:
                raise NotReadable
    if length > 7 or code != (1 << length) - 1:  # padding is the beginning of the end mark
        raise NotReadable
    return bytes(text)
