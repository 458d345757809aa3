"""Edits of a body's messages by a `Plan`: members of turns, blocks, sources, system turns.

Content is never left out: a block that a surface does not take is rewritten, or the request is
refused. Only blocks that change the conversation's tools go with their beta.
"""

import re

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ccrelay.providers.bridge_edits import Report, cache_names, edit_cache, is_nothing, refuse
from ccrelay.providers.bridge_peek import looker
from ccrelay.providers.bridge_plan import Plan
from ccrelay.wire.bodies import (
    ARRAY,
    UNREADABLE,
    Members,
    Word,
    first_byte,
    fold_system_turns,
    json_string,
    map_items,
    map_member,
    read_items,
    read_members,
    read_type,
    runs_of_items,
    text_block,
    write,
)

_REFERENCE = "tool_reference"
_SOURCED = ("image", "document")


class _Block(msgspec.Struct, gc=False):
    type: Word = ""
    source: Raw | UnsetType = UNSET
    cache_control: Raw | UnsetType = UNSET
    content: Raw | UnsetType = UNSET


class _Reference(msgspec.Struct, gc=False):
    tool_name: Word = None
    name: Word = None
    tool: Raw = Raw(b"null")
    type: Word = None


_BLOCKS = msgspec.json.Decoder(list[_Block])
_REFERENCES = msgspec.json.Decoder(_Reference)


class MessageEdits:
    """Edits the messages of one body. A turn is looked at, and re-encoded only where it changes."""

    def __init__(self, plan: Plan, report: Report) -> None:
        self._plan = plan
        self._report = report
        self._turns = {name: part for name, part in plan.turns.items() if part.action == "drop"}
        self._blocks = {name: part for name, part in plan.blocks.items() if part.action != "keep"}
        self._sources = {name: part for name, part in plan.sources.items() if part.action != "keep"}
        self._caches = [b'"%b"' % name.encode() for name in cache_names(plan)]
        self._looker = looker(("role",), ("content", *self._turns))
        self._has_system = False

    def apply(self, messages: Raw) -> Raw:
        """The messages to send.

        Raises:
            CannotServe: the surface does not take a block or a source.
        """
        plan = self._plan
        if not (self._turns or self._blocks or self._sources or self._caches or plan.folds):
            return messages
        messages = map_items(messages, self._turn)
        if plan.folds and self._has_system:
            self._report.leave_out("system_turns")
            messages = fold_system_turns(messages)
        return messages

    def _turn(self, raw: Raw) -> Raw | None:
        peek = self._looker.look(raw)
        if peek is None:
            return raw
        role = peek.words.get("role")
        self._has_system = self._has_system or role == "system"
        content = peek.values.pop("content", None)
        edited = content
        if content is not None and first_byte(content) == ARRAY and self._concerns(content):
            edited = map_items(content, self._block)
        if edited is content and not peek.values:
            return raw
        for name in peek.values:
            self._report.leave_out(self._turns[name].feature)
        if role == "system" and (edited is None or is_nothing(edited)):
            return None  # it did nothing but change tools or the effort
        return self._rewritten(raw, edited, list(peek.values))

    def _rewritten(self, raw: Raw, content: Raw | None, dropped: list[str]) -> Raw:
        members: Members = read_members(raw) or {}
        for name in dropped:
            del members[name]
        if content is not None:
            members["content"] = content
        return write(members)

    # --- blocks

    def _concerns(self, content: Raw, *, nested: bool = False) -> bool:
        """Whether a rule may concern a block of a message or of a tool result."""
        try:
            blocks = _BLOCKS.decode(content)
        except UNREADABLE:
            return True  # they are looked at one by one
        # All of them are looked at: `referenced` may be in the last one.
        return sum(self._concerns_block(block, nested) for block in blocks) > 0

    def _concerns_block(self, block: _Block, nested: bool) -> bool:
        kind = block.type
        if kind == _REFERENCE:
            self._report.referenced = True
        if isinstance(kind, str) and kind in self._blocks:
            return True
        if self._sources and kind in _SOURCED and isinstance(block.source, Raw):
            return read_type(block.source) in self._sources or self._caches_more(block)
        if self._caches_more(block):
            return True
        inner = block.content
        if kind != "tool_result" or nested or not isinstance(inner, Raw):
            return False
        return first_byte(inner) == ARRAY and self._concerns(inner, nested=True)

    def _caches_more(self, block: _Block) -> bool:
        """Whether its `cache_control` may have more than the surface knows."""
        if not self._caches or not isinstance(block.cache_control, Raw):
            return False
        control = bytes(block.cache_control)
        return any(name in control for name in self._caches)

    def _block(self, raw: Raw) -> Raw | None:
        kind = read_type(raw)
        if kind is None:
            return raw
        if kind == "tool_result":
            raw = map_member(raw, "content", lambda content: map_items(content, self._plain_block))
        return self._plain_block(raw)

    def _plain_block(self, raw: Raw) -> Raw | None:
        """Edit a block without those in it."""
        kind = read_type(raw)
        if kind is None:
            return raw
        if kind == _REFERENCE:
            self._report.referenced = True
        part = self._blocks.get(kind)
        if part is not None:
            if part.action == "refuse":
                raise refuse(part.feature, kind)
            self._report.leave_out(part.feature)
            return self._without(raw, kind)
        if self._sources and kind in _SOURCED:
            self._check_source(raw, kind)
        return edit_cache(raw, self._plan, self._report) if self._caches else raw

    def _without(self, raw: Raw, kind: str) -> Raw | None:
        """A reference to a tool in words; nothing for a block that changes tools."""
        try:
            found = _REFERENCES.decode(raw)
            if kind == "tool_addition":
                found = _REFERENCES.decode(found.tool)
        except UNREADABLE:
            return raw if kind == _REFERENCE else None
        name = found.tool_name if isinstance(found.tool_name, str) else found.name
        if kind == _REFERENCE:
            return text_block(json_string(name if isinstance(name, str) else ""))
        if kind == "tool_addition":
            self._note_added(found.type, name)
        return None

    def _note_added(self, kind: Word, name: Word) -> None:
        if kind not in (_REFERENCE, None):
            # The tool is defined here and nowhere else.
            raise refuse("tool_changes", f"tool_addition with a {kind}")
        if isinstance(name, str):
            self._report.loaded.add(name)

    def _check_source(self, raw: Raw, kind: str) -> None:
        members = read_members(raw)
        if members is None or "source" not in members:
            return
        part = self._sources.get(read_type(members["source"]) or "")
        if part is not None:
            raise refuse(part.feature, kind)


# --- what the new API version refuses -----------------------------------------------------------

_ILLEGAL = re.compile(rb'"(?:document|citations)"')
_NO_CITATIONS = (b"[]", b"null")


def is_illegal_in_new(messages: Raw) -> bool:
    """Whether messages have what API version 2026-10-21 refuses and the old one takes.

    A document directly in an assistant turn; citations of text in a user turn, also in search
    results (providers reference, section 2.1).
    """
    if not _ILLEGAL.search(messages):
        return False
    return any(_is_illegal(turn) for turns in runs_of_items(messages) for turn in turns)


def _is_illegal(turn: Raw) -> bool:
    if not _ILLEGAL.search(turn):
        return False
    members = read_members(turn) or {}
    is_assistant = bytes(members.get("role", b"")) == b'"assistant"'
    blocks = read_items(members["content"]) if "content" in members else None
    for block in blocks or ():
        kind = read_type(block)
        if is_assistant:
            if kind == "document":
                return True
        elif kind == "search_result":
            inner = read_items((read_members(block) or {}).get("content", Raw(b"null")))
            if any(map(_cites, inner or ())):
                return True
        elif _cites(block):
            return True
    return False


def _cites(block: Raw) -> bool:
    if read_type(block) != "text":
        return False
    found = (read_members(block) or {}).get("citations")
    return found is not None and bytes(found) not in _NO_CITATIONS
