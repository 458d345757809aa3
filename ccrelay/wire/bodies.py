"""Structural edits of request bodies that keep every untouched value byte for byte.

Only the levels down to an edit are decoded, into `msgspec.Raw` spans of the original bytes. Large
integers, `1.0`, `1e400`, key order, whitespace inside a value, string escapes, and unknown members
or blocks are preserved exactly, because thinking signatures and prompt caches depend on the exact
prefix (gateway contract, section 5).

Unreadable levels stay unchanged: the upstream rejects them with wording that Claude Code
recognises. Only a body that is not a JSON object raises `BadRequest`.
"""

import re
from collections.abc import Callable, Iterable

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ccrelay.errors import BadRequest

# Everything that decoding a hostile value can raise. Strings are checked for UTF-8, Raw spans not.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# System turn content that changes the conversation's tools; not allowed in user turns (providers
# reference, section 11: fields gated by a flag).
TOOL_CHANGES = frozenset({"tool_addition", "tool_removal"})

# First bytes of a value.
OBJECT, ARRAY, STRING = b'{["'

Members = dict[str, Raw]
Edit = Callable[[Raw], Raw | None]


class _Turn(msgspec.Struct, gc=False):
    role: str = ""
    content: Raw = Raw(b"null")
    output_config: Raw | UnsetType = UNSET


class _Typed(msgspec.Struct, gc=False):
    type: str = ""


_EMPTY_USER = Raw(b'{"role":"user","content":[]}')
_MEMBERS = msgspec.json.Decoder(Members)
_ITEMS = msgspec.json.Decoder(list[Raw])
_TURN = msgspec.json.Decoder(_Turn)
_TYPED = msgspec.json.Decoder(_Typed)
_ENCODER = msgspec.json.Encoder()

# A surrogate pair in escapes (valid), or a lone surrogate escape.
_SURROGATES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_PAIR_BYTES = 12
# Escapes checked before a body is rejected: some 50 ms of work, more than real clients need.
SURROGATES_MAX = 100_000
_REPLACEMENT = rb"\ufffd"


# --- reading and writing ----------------------------------------------------------------------


def read_body(body: bytes) -> Members:
    """The top-level members of a request body, in order.

    Lone surrogate escapes, which msgspec rejects, are replaced: JavaScript writes them when it
    truncates a string inside an emoji.

    Raises:
        BadRequest: not one JSON object, or nested too deeply.
    """
    try:
        return _MEMBERS.decode(body)
    except RecursionError as fault:
        raise too_deep() from fault
    except UNREADABLE:
        pass
    try:
        return _MEMBERS.decode(_SURROGATES.sub(_replace_lone, body, SURROGATES_MAX))
    except RecursionError as fault:
        raise too_deep() from fault
    except UNREADABLE as fault:
        raise BadRequest("The request body is not a JSON object: send one.") from fault


def too_deep() -> BadRequest:
    """The 400 for a body with more levels than can be followed."""
    return BadRequest("The JSON of the request body is nested too deeply: send fewer levels.")


def first_byte(value: bytes) -> int:
    """First byte of a raw value, which shows its type without a copy; 0 when empty."""
    return memoryview(value)[0] if value else 0


def read_members(value: bytes) -> Members | None:
    """The members of an object; None: not an object. `value` starts at the brace."""
    if first_byte(value) != OBJECT:
        return None
    try:
        return _MEMBERS.decode(value)
    except UNREADABLE:
        return None


def read_items(value: bytes) -> list[Raw] | None:
    """The items of an array; None: not an array. `value` starts at the bracket."""
    if first_byte(value) != ARRAY:
        return None
    try:
        return _ITEMS.decode(value)
    except UNREADABLE:
        return None


def read_type(value: bytes) -> str | None:
    """The `type` of a block or tool: empty when absent, None when unreadable."""
    try:
        return _TYPED.decode(value).type
    except UNREADABLE:
        return None


def write(value: Members | list[Raw]) -> Raw:
    """Encode one level as compact JSON; Raw values are copied unchanged."""
    return Raw(_ENCODER.encode(value))


def json_string(text: str) -> Raw:
    """Encode a JSON string. Lone surrogates, invalid in UTF-8, become question marks."""
    return Raw(_ENCODER.encode(text.encode("utf-8", "replace").decode("utf-8")))


def text_block(string: bytes) -> Raw:
    """A text block around an encoded JSON string."""
    return Raw(b'{"type":"text","text":%b}' % bytes(string))


# --- edits of one level -----------------------------------------------------------------------


def drop_members(top: Members, names: Iterable[str]) -> None:
    """Remove members by name, if present."""
    for name in names:
        top.pop(name, None)


def splice_member(body: bytes, span: tuple[int, int], value: bytes) -> bytes:
    """The body with the bytes of one value replaced; `span` as found by the scan."""
    view = memoryview(body)
    return b"".join((view[: span[0]], value, view[span[1] :]))


def map_items(array: Raw, edit: Edit) -> Raw:
    """Edit each item of an array; None drops it. Unchanged or not an array: the same object."""
    before = read_items(array)
    if before is None:
        return array
    edited = [edit(item) for item in before]
    if all(new is old for new, old in zip(edited, before, strict=True)):
        return array
    return write([item for item in edited if item is not None])


def map_member(value: Raw, name: str, edit: Edit) -> Raw:
    """Edit one member of an object; None drops it. Absent or not an object: the same object."""
    members = read_members(value)
    if members is None or name not in members:
        return value
    edited = edit(members[name])
    if edited is members[name]:
        return value
    if edited is None:
        del members[name]
    else:
        members[name] = edited
    return write(members)


# --- semantic edits ---------------------------------------------------------------------------


def drop_tool_member(tools: Raw, name: str, value: bytes | None = None) -> Raw:
    """Remove a member from every tool; with `value`, only where it is exactly that JSON."""

    def drop(member: Raw) -> Raw | None:
        return None if value is None or bytes(member) == value else member

    return map_items(tools, lambda tool: map_member(tool, name, drop))


def convert_blocks(messages: Raw, convert: Callable[[str, Raw], Raw]) -> Raw:
    """Apply `convert(type, block)` to every content block, also inside tool results.

    `convert` returns the same block to leave it unchanged. Unreadable blocks stay.
    """

    def block(raw: Raw) -> Raw:
        kind = read_type(raw)
        if kind is None:
            return raw
        if kind == "tool_result":
            return map_member(raw, "content", content)
        return convert(kind, raw)

    def content(raw: Raw) -> Raw:
        return map_items(raw, block)

    return map_items(messages, lambda turn: map_member(turn, "content", content))


def fold_system_turns(messages: Raw, gap: Raw | None = None) -> Raw:
    """Merge `role:"system"` turns into user turns, for providers without that role.

    A system turn joins the user turn before it, else the one after it (behind its tool results,
    which must come first), else becomes a user turn of its own, so that the sequence of roles stays
    valid. Blocks keep their order and `cache_control`. Blocks that change tools are dropped, and so
    is `output_config` of every message: both belong to system turns (providers reference, sections
    5.2 and 11).

    `gap`: a block to insert between system text and its neighbours, for providers that concatenate
    the texts of a message without a separator.
    """
    turns = read_items(messages)
    if turns is None:
        return messages
    peeks = [_peek(turn) for turn in turns]
    if not any(peek.role == "system" or peek.output_config is not UNSET for peek in peeks):
        return messages
    return write([folded.render(gap) for folded in _fold(turns, peeks)])


class _Folded:
    # A turn of the result, with the system text merged into it.

    def __init__(self, turn: Raw, peek: _Turn) -> None:
        self.turn = turn
        self.peek = peek
        self.before: list[Raw] = []
        self.after: list[Raw] = []

    def render(self, gap: Raw | None) -> Raw:
        if not self.before and not self.after and self.peek.output_config is UNSET:
            return self.turn
        members = read_members(self.turn) or {}
        members.pop("output_config", None)
        if self.before or self.after:
            members["content"] = write(self._content(gap))
        return write(members)

    def _content(self, gap: Raw | None) -> list[Raw]:
        own = _blocks(self.peek.content)
        results = [i for i, block in enumerate(own) if read_type(block) == "tool_result"]
        at = results[-1] + 1 if results else 0
        content: list[Raw] = []
        after = ([block] for block in self.after)
        for group in (own[:at], *([block] for block in self.before), own[at:], *after):
            if gap is not None and content and group:
                content.append(gap)
            content.extend(group)
        return content


def _fold(turns: list[Raw], peeks: list[_Turn]) -> list[_Folded]:
    folded: list[_Folded] = []
    host: _Folded | None = None  # the user turn that takes system text, until an assistant turn
    pending: list[Raw] = []  # system text without a user turn before it

    def flush() -> None:
        if pending:
            own = _Folded(_EMPTY_USER, _Turn("user", Raw(b"[]")))
            own.before.extend(pending)
            folded.append(own)
            pending.clear()

    for turn, peek in zip(turns, peeks, strict=True):
        if peek.role == "system":
            (host.after if host else pending).extend(_system_blocks(peek.content))
            continue
        hosts = peek.role == "user" and first_byte(peek.content) in (STRING, ARRAY)
        if not hosts:
            flush()
        own = _Folded(turn, peek)
        own.before.extend(pending)
        pending.clear()
        folded.append(own)
        host = own if hosts else None
    flush()
    return folded


def _peek(turn: Raw) -> _Turn:
    try:
        return _TURN.decode(turn)
    except UNREADABLE:
        return _Turn()


def _blocks(content: Raw) -> list[Raw]:
    # Without empty text: Anthropic rejects empty text blocks.
    items = read_items(content)
    if items is not None:
        return items
    return [] if content == Raw(b'""') else [text_block(content)]


def _system_blocks(content: Raw) -> list[Raw]:
    if first_byte(content) not in (STRING, ARRAY):
        return []
    return [block for block in _blocks(content) if read_type(block) not in TOOL_CHANGES]


def _replace_lone(match: re.Match[bytes]) -> bytes:
    # An escaped backslash starts no escape: count the backslashes before it.
    text, at, body = match.group(), match.start(), match.string
    before = at
    while before > 0 and body[before - 1] == 0x5C:
        before -= 1
    is_escape = (at - before) % 2 == 0
    if len(text) == _PAIR_BYTES:
        return text if is_escape else text[: len(_REPLACEMENT)] + _REPLACEMENT
    return _REPLACEMENT if is_escape else text
