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
from ccrelay.wire.bodies import UNREADABLE, read_body, read_items

ESTIMATE_HEADER = (b"x-ccrelay-estimate", b"true")

BYTES_PER_TOKEN = 3.6
MESSAGE_TOKENS = 4
IMAGE_TOKENS = 1600
PAGE_TOKENS = 1500
PAGE_BYTES = 40_000
# Tool results contain blocks; deeper nesting is not valid.
NESTING_MAX = 3

_NULL = Raw(b"null")


class _Source(msgspec.Struct, gc=False):
    type: str = ""
    data: Raw = _NULL


class _Block(msgspec.Struct, gc=False):
    type: str = ""
    text: str = ""
    thinking: str = ""
    content: "str | list[_Block] | None" = None
    input: Raw = _NULL
    source: _Source | None = None


class _Turn(msgspec.Struct, gc=False):
    content: str | list[_Block] | None = None


_CONTENT = msgspec.json.Decoder(str | list[_Block] | None)
_TURN = msgspec.json.Decoder(_Turn)
_TURNS = msgspec.json.Decoder(list[_Turn])


def estimate(body: bytes) -> int:
    """Input tokens of a request body, at least 1. Unreadable parts count by length."""
    try:
        top = read_body(body)
    except BadRequest:
        return max(1, round(len(body) / BYTES_PER_TOKEN))
    tokens = _system(top.get("system", _NULL)) + _length(top.get("tools", _NULL))
    tokens += _messages(top.get("messages", _NULL))
    return max(1, round(tokens))


def answer(tokens: int) -> bytes:
    """The body of a count_tokens response."""
    return b'{"input_tokens":%d}' % tokens


def _system(raw: Raw) -> float:
    try:
        return _content(_CONTENT.decode(raw), 0)
    except UNREADABLE:
        return _length(raw)


def _messages(raw: Raw) -> float:
    # One pass; turn by turn only if one of them is invalid.
    try:
        turns = _TURNS.decode(raw)
    except UNREADABLE:
        return sum(MESSAGE_TOKENS + _turn(turn) for turn in read_items(raw) or ())
    return sum(MESSAGE_TOKENS + _content(turn.content, 0) for turn in turns)


def _turn(raw: Raw) -> float:
    try:
        return _content(_TURN.decode(raw).content, 0)
    except UNREADABLE:
        return _length(raw)


def _content(content: str | list[_Block] | None, depth: int) -> float:
    if isinstance(content, str):
        return _text(content)
    if content is None or depth >= NESTING_MAX:
        return 0.0
    return sum(_block(block, depth) for block in content)


def _block(block: _Block, depth: int) -> float:
    match block.type:
        case "text":
            return _text(block.text)
        case "image":
            return IMAGE_TOKENS
        case "document":
            return _document(block.source or _Source())
        case _:
            own = _text(block.text) + _text(block.thinking) + _length(block.input)
            return own + _content(block.content, depth + 1)


def _document(source: _Source) -> float:
    if source.type == "text":
        return _length(source.data)
    return PAGE_TOKENS * max(1.0, len(memoryview(source.data)) / PAGE_BYTES)


def _text(text: str) -> float:
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return size / BYTES_PER_TOKEN


def _length(raw: Raw) -> float:
    return 0.0 if raw == _NULL else len(memoryview(raw)) / BYTES_PER_TOKEN
