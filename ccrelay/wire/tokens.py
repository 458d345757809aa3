"""Estimates input tokens, for providers without a counting endpoint.

Constants and their sources:

- 3.6 bytes of text per token. Anthropic states about 3.5 characters of English, Ollama's own
  estimate divides by 4 (providers reference, section 8); code and JSON are in between. UTF-8 bytes
  are counted instead of characters, because a Chinese character is three bytes and about a token.
- 4 tokens per message for the role and its delimiters, as in common chat templates.
- 1600 tokens per image: Anthropic's guide states width * height / 750, and scales images down to
  about 1.2 megapixels.
- 1500 tokens per document page at least (its guide: 1500 to 3000), one page per 40 KB of base64.

Responses carry the `ESTIMATE_HEADER`, so that they are not used for billing.
"""

import msgspec
from msgspec import Raw

from ccrelay.errors import BadRequest
from ccrelay.wire.bodies import (
    ARRAY,
    OBJECT,
    UNREADABLE,
    Word,
    first_byte,
    read_body,
    read_members,
    read_type,
    runs_of_items,
)

ESTIMATE_HEADER = (b"x-ccrelay-estimate", b"true")

BYTES_PER_TOKEN = 3.6
MESSAGE_TOKENS = 4
IMAGE_TOKENS = 1600
PAGE_TOKENS = 1500
PAGE_BYTES = 40_000
# Tool results contain blocks; deeper nesting is not valid.
NESTING_MAX = 3
# Longer turns and blocks are read without decoding their text: escapes count as what they are.
LONG_BYTES = 1_048_576

_NULL = Raw(b"null")


# Members and items of any type are read: see `ccrelay.wire.bodies`.
class _Source(msgspec.Struct, gc=False):
    type: Word = ""
    data: Raw = _NULL


class _Block(msgspec.Struct, gc=False):
    type: Word = ""
    text: Word = ""
    thinking: Word = ""
    content: "_Content" = None
    input: Raw = _NULL
    source: _Source | str | int | float | bool | list[Raw] | None = None


_Item = _Block | str | int | float | bool | list[Raw] | None
_Content = _Block | str | int | float | bool | list[_Item] | None


class _Turn(msgspec.Struct, gc=False):
    content: _Content = None


_CONTENT = msgspec.json.Decoder(_Content)
_TURN = msgspec.json.Decoder(_Turn)
_ITEM = msgspec.json.Decoder(_Item)


def estimate(body: bytes) -> int:
    """Input tokens of a request body, at least 1. Unreadable parts count by length."""
    try:
        top = read_body(body)
    except BadRequest:
        return by_length(len(body))
    tokens = _system(top.get("system", _NULL)) + _length(top.get("tools", _NULL))
    tokens += _messages(top.get("messages", _NULL))
    return max(1, round(tokens))


def by_length(size: int) -> int:
    """The same of a body of so many bytes that is not looked into."""
    return max(1, round(size / BYTES_PER_TOKEN))


def answer(tokens: int) -> bytes:
    """The body of a count_tokens response."""
    return b'{"input_tokens":%d}' % tokens


def _system(raw: Raw) -> float:
    try:
        return _content(_CONTENT.decode(raw), 0)
    except UNREADABLE:
        return _length(raw)


def _messages(raw: Raw) -> float:
    return sum(MESSAGE_TOKENS + _turn(turn) for turns in runs_of_items(raw) for turn in turns)


def _turn(raw: Raw) -> float:
    if first_byte(raw) != OBJECT:
        return _length(raw)
    if len(memoryview(raw)) > LONG_BYTES:
        return _long_turn(raw)
    try:
        return _content(_TURN.decode(raw).content, 0)
    except UNREADABLE:
        return _length(raw)


def _long_turn(raw: Raw) -> float:
    """A turn that is not decoded as a whole, since that would be one long step."""
    content = (read_members(raw) or {}).get("content", _NULL)
    if first_byte(content) != ARRAY:
        return _length(content)
    return sum(_long_block(block) for blocks in runs_of_items(content) for block in blocks)


def _long_block(raw: Raw) -> float:
    if len(memoryview(raw)) <= LONG_BYTES:
        try:
            block = _ITEM.decode(raw)
        except UNREADABLE:
            return _length(raw)
        return _block(block, 0) if isinstance(block, _Block) else 1
    match read_type(raw):
        case "image":
            return IMAGE_TOKENS
        case "document":
            return PAGE_TOKENS * len(memoryview(raw)) / PAGE_BYTES
        case _:
            return _length(raw)


def _content(content: object, depth: int) -> float:
    if isinstance(content, str):
        return _text(content)
    if not isinstance(content, list) or depth >= NESTING_MAX:
        return 0.0
    return sum(_block(block, depth) if isinstance(block, _Block) else 1 for block in content)


def _block(block: _Block, depth: int) -> float:
    match block.type:
        case "text":
            return _text(block.text)
        case "image":
            return IMAGE_TOKENS
        case "document":
            return _document(block.source if isinstance(block.source, _Source) else _Source())
        case _:
            own = _text(block.text) + _text(block.thinking) + _length(block.input)
            return own + _content(block.content, depth + 1)


def _document(source: _Source) -> float:
    if source.type == "text":
        return _length(source.data)
    return PAGE_TOKENS * max(1.0, len(memoryview(source.data)) / PAGE_BYTES)


def _text(text: object) -> float:
    if not isinstance(text, str):
        return 0.0
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return size / BYTES_PER_TOKEN


def _length(raw: Raw) -> float:
    return 0.0 if raw == _NULL else len(memoryview(raw)) / BYTES_PER_TOKEN
