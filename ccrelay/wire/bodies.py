"""Structural edits of request bodies that keep every untouched value byte for byte.

Only the levels down to an edit are decoded, into `msgspec.Raw` spans of the original bytes. Large
integers, `1.0`, `1e400`, key order, whitespace inside a value, string escapes, and unknown members
or blocks are preserved exactly, because thinking signatures and prompt caches depend on the exact
prefix (gateway contract, section 5).

Unreadable levels stay unchanged: the upstream rejects them with wording that Claude Code
recognises. Only a body that is not a JSON object raises `BadRequest`.

A body may be written by an enemy. The work is linear in its bytes, and in its elements, which
`relay.request_body` bounds before anything is decoded (`ELEMENTS_MAX`). An item of the wrong type
costs no exception: its first byte is looked at, and members that are read accept any type.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ccrelay._fast.json import count_elements
from ccrelay._fast.json_items import end_of_items, join
from ccrelay.errors import BadRequest
from ccrelay.wire.surrogates import without_lone

# Everything that decoding a hostile value can raise. Strings are checked for UTF-8, Raw spans not.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# System turn content that changes the conversation's tools; not allowed in user turns (providers
# reference, section 11: fields gated by a flag).
TOOL_CHANGES = frozenset({"tool_addition", "tool_removal"})

# First bytes of a value.
OBJECT, ARRAY, STRING = b'{["'

# Items and members of a body that is decoded, at all levels. Each costs some 100 bytes and a
# microsecond or two. A context of a million tokens holds some 7,000 pairs of tool call and result
# with 18 elements each, and 500 tools have some 30,000: 160,000 together.
ELEMENTS_MAX = 500_000
# The same of a provider's response, which is at most one message or one error.
RESPONSE_ELEMENTS_MAX = 50_000
# Shorter texts have no room for so many.
_DENSE_BYTES_MIN = RESPONSE_ELEMENTS_MAX
# Larger arrays are worked on in runs of about so many bytes and items: no step takes a millisecond.
RUN_BYTES = 131_072
RUN_ITEMS = 500
_SPACE = b" \t\r\n"

Members = dict[str, Raw]
Piece = bytes | memoryview | Raw
Edit = Callable[[Raw], Raw | None]


# A member that should be a word: any other type is read as well, because an exception for each of
# many items is what a hostile body is made for.
Word = str | int | float | bool | list[Raw] | dict[str, Raw] | None


class _Turn(msgspec.Struct, gc=False):
    role: Word = ""
    content: Raw = Raw(b"null")
    output_config: Raw | UnsetType = UNSET


class _Typed(msgspec.Struct, gc=False):
    type: Word = ""


_EMPTY_USER = Raw(b'{"role":"user","content":[]}')
_MEMBERS = msgspec.json.Decoder(Members)
_ITEMS = msgspec.json.Decoder(list[Raw])
_TURN = msgspec.json.Decoder(_Turn)
_TYPED = msgspec.json.Decoder(_Typed)
_ENCODER = msgspec.json.Encoder()


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
        return _MEMBERS.decode(without_lone(body))
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


def runs_of_items(value: bytes) -> Iterator[list[Raw]]:
    """The items of an array, some at a time; nothing for another value or an unreadable one.

    Of a large array that is a bounded number of items and, but for a single item, of bytes: so the
    work on it has no long step, and only what is kept of the items takes memory.
    """
    view = memoryview(value)
    if len(view) <= RUN_BYTES:
        items = read_items(value)
        if items:
            yield items
        return
    if view[0] != ARRAY:
        return
    at = 1
    while at < len(view):
        end = end_of_items(view, at, RUN_BYTES, RUN_ITEMS)
        if end - at > 2 * RUN_BYTES:  # it is long for its last item: that one is not copied
            yield from _long_run(view, at, end)
        else:
            items = read_items(b"[%b]" % bytes(view[at:end]))
            if items:
                yield items
        at = end + 1


def _long_run(view: memoryview, at: int, end: int) -> Iterator[list[Raw]]:
    while at < end:
        stop = min(end_of_items(view, at, 0, 1), end)
        start = at
        while start < stop and view[start] in _SPACE:
            start += 1
        while stop > start and view[stop - 1] in _SPACE:
            stop -= 1
        if stop > start:
            yield [Raw(view[start:stop])]
        at = min(end_of_items(view, at, 0, 1), end) + 1


def read_type(value: bytes) -> str | None:
    """The `type` of a block or tool: empty when absent, None when unreadable."""
    if first_byte(value) != OBJECT:
        return None
    try:
        word = _TYPED.decode(value).type
    except UNREADABLE:
        return None
    return word if isinstance(word, str) else None


def is_dense(text: bytes) -> bool:
    """Whether a provider's JSON has too many elements to be decoded as a whole."""
    return len(text) > _DENSE_BYTES_MIN and count_elements(text) > RESPONSE_ELEMENTS_MAX


def write(value: Members | list[Raw]) -> Raw:
    """Encode one level as compact JSON; Raw values are copied unchanged."""
    return Raw(_ENCODER.encode(value))


def write_body(top: Members) -> bytes:
    """Encode the top level of a body, which may be large."""
    if sum(len(memoryview(raw)) for raw in top.values()) <= RUN_BYTES:
        return _ENCODER.encode(top)
    pieces: list[Piece] = []
    for name, raw in top.items():
        pieces += (b"," if pieces else b"{", _ENCODER.encode(name), b":", raw)
    return join([*pieces, b"}"])


def write_items(runs: Iterable[list[Raw]]) -> Raw:
    """Encode an array that is made some items at a time."""
    pieces: list[Piece] = []
    for items in runs:
        if items:
            pieces += (b"," if pieces else b"[", memoryview(_ENCODER.encode(items))[1:-1])
    return Raw(join([*pieces, b"]"] if pieces else [b"[]"]))


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
    return join([view[: span[0]], value, view[span[1] :]])


def map_items(array: Raw, edit: Edit) -> Raw:
    """Edit each item of an array; None drops it. Unchanged or not an array: the same object."""
    pieces: list[Piece] = []
    is_changed = False
    for before in runs_of_items(array):
        edited = [edit(item) for item in before]
        if any(new is not old for new, old in zip(edited, before, strict=True)):
            is_changed = True
            edited = [item for item in edited if item is not None]
        if edited:
            pieces += (b",", memoryview(_ENCODER.encode(edited))[1:-1])
    if not is_changed:
        return array
    return Raw(join([b"[", *pieces[1:], b"]"]))


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
    if not any(_is_folded(_peek(turn)) for turns in runs_of_items(messages) for turn in turns):
        return messages
    return write_items(_rendered(messages, gap))


def _is_folded(peek: _Turn) -> bool:
    return peek.role == "system" or peek.output_config is not UNSET


def _rendered(messages: Raw, gap: Raw | None) -> Iterator[list[Raw]]:
    run: list[Raw] = []
    for folded in _fold(messages):
        run.append(folded.render(gap))
        if len(run) >= RUN_ITEMS:
            yield run
            run = []
    yield run


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


def _fold(messages: Raw) -> Iterator[_Folded]:
    """The turns of the result, each when nothing more can be merged into it."""
    host: _Folded | None = None  # the user turn that takes system text, until the next turn
    pending: list[Raw] = []  # system text without a user turn before it
    for turns in runs_of_items(messages):
        for turn in turns:
            peek = _peek(turn)
            if peek.role == "system":
                (host.after if host else pending).extend(_system_blocks(peek.content))
                continue
            if host is not None:
                yield host
                host = None
            hosts = peek.role == "user" and first_byte(peek.content) in (STRING, ARRAY)
            if not hosts and pending:
                yield _alone(pending)
                pending = []
            own = _Folded(turn, peek)
            own.before.extend(pending)
            pending = []
            if hosts:
                host = own
            else:
                yield own
    if host is not None:
        yield host
    if pending:
        yield _alone(pending)


def _alone(blocks: list[Raw]) -> _Folded:
    """System text that joins no turn."""
    own = _Folded(_EMPTY_USER, _Turn("user", Raw(b"[]")))
    own.before.extend(blocks)
    return own


def _peek(turn: Raw) -> _Turn:
    if first_byte(turn) != OBJECT:
        return _Turn()
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
