"""Removes other vendors' thinking blocks from a body, for a provider that checks signatures.

Claude's thinking is signed. A conversation that was served by another vendor contains thinking
without a signature, or with that vendor's, and Anthropic rejects the whole request for it
(providers reference, section 3.3). Only those blocks are removed from what is sent; the client
keeps them, and vendors that need them still get them.

Only the levels down to an edit are re-encoded: the body's members, the messages, a turn, its
content. Everything inside them stays byte for byte (see `ccrelay.wire.bodies`, also for lone
surrogates).
"""

import re
from collections.abc import Callable

import msgspec
from msgspec import Raw

from ccrelay.errors import BadRequest
from ccrelay.wire.bodies import (
    OBJECT,
    UNREADABLE,
    Members,
    Word,
    first_byte,
    map_items,
    map_member,
    read_body,
    read_items,
    read_members,
    read_type,
    write,
    write_body,
)

THINKING = frozenset({"thinking", "redacted_thinking"})

# Claude's signatures as observed: standard base64 of at least 64 characters, of a message whose
# first byte is 0x12, which base64 encodes as "E" and one of g to v.
_CLAUDES = re.compile(r"E[g-v][A-Za-z0-9+/]{62,}={0,2}")
_NO_EDITS = {"edits": Raw(b"[]")}


class _Turn(msgspec.Struct, gc=False):
    role: Word = ""
    content: Raw = Raw(b"null")


class _Signed(msgspec.Struct, gc=False):
    signature: Word = None


_TURN = msgspec.json.Decoder(_Turn)
_SIGNED = msgspec.json.Decoder(_Signed)


def strip_foreign(body: bytes, *, everything: bool) -> tuple[bytes, int]:
    """The body without thinking that cannot be Claude's, and the number of removed blocks.

    Removes `thinking` blocks of assistant turns whose signature is missing or does not look like
    Claude's; with `everything` all `thinking` and `redacted_thinking` blocks. A turn left empty is
    removed, too. If the last assistant turn has called tools and no longer starts with thinking,
    `thinking: enabled` is removed with the edits that need it, because Anthropic then requires the
    turn to start with thinking; `everything` also covers a turn that never did.
    `thinking: adaptive` has no such requirement and stays.

    Blocks may be bound to everything before them, so those behind a removed one can still be
    rejected; `everything` is the remedy for that.

    If nothing is removed, or the body is unreadable, the same object is returned.
    """
    if b"thinking" not in body:
        return body, 0
    try:
        top = read_body(body)
    except BadRequest:
        return body, 0
    if "messages" not in top:
        return body, 0
    stripped = _Stripped(everything)
    messages = map_items(top["messages"], stripped.turn)
    removed, bare = stripped.removed, stripped.bare
    if bare and _disable(top):
        removed = removed or 1  # the setting alone
    if removed == 0:
        return body, 0
    top["messages"] = messages
    return write_body(top), removed


def thinking_to_strip(body: bytes, stripped: bool | None) -> bool | None:
    """Whether to strip all thinking blocks (True) or foreign ones (False) after a rejection.

    None: there is nothing to strip.

    Args:
        body: the client's body.
        stripped: what was stripped before; None: nothing.
    """
    everything = stripped is False or strip_foreign(body, everything=False)[1] == 0
    if everything and strip_foreign(body, everything=True)[1] == 0:
        return None
    return everything


class _Stripped:
    """Edits the turns in order, and keeps what it found on the way."""

    def __init__(self, everything: bool) -> None:
        self._everything = everything
        self.removed = 0
        self.bare = (
            False  # the last assistant turn has called tools and does not begin with thinking
        )

    def turn(self, turn: Raw) -> Raw | None:
        """The turn without its thinking; None: nothing is left of it."""
        blocks = _assistant_blocks(turn)
        if blocks is None:
            return turn
        keeps = [block for block in blocks if not _goes(block, self._everything)]
        self.removed += len(blocks) - len(keeps)
        if blocks and not keeps:
            return None
        self.bare = _is_bare(blocks, keeps, self._everything)
        if len(keeps) == len(blocks):
            return turn
        return map_member(turn, "content", _replaced_by(keeps))


def looks_like_claudes(signature: str | None) -> bool:
    """Whether a signature could be Claude's, by its observed, undocumented format."""
    return signature is not None and _CLAUDES.fullmatch(signature) is not None


def _assistant_blocks(turn: Raw) -> list[Raw] | None:
    if first_byte(turn) != OBJECT:
        return None
    try:
        peek = _TURN.decode(turn)
    except UNREADABLE:
        return None
    return read_items(peek.content) if peek.role == "assistant" else None


def _goes(block: Raw, everything: bool) -> bool:
    kind = read_type(block)
    if kind not in THINKING:
        return False
    return everything or (kind == "thinking" and not looks_like_claudes(_signature(block)))


def _signature(block: Raw) -> str | None:
    try:
        signature = _SIGNED.decode(block).signature
    except UNREADABLE:
        return None
    return signature if isinstance(signature, str) else None


def _is_bare(blocks: list[Raw], keeps: list[Raw], everything: bool) -> bool:
    if not any(read_type(block) == "tool_use" for block in keeps):
        return False
    if read_type(keeps[0]) in THINKING:
        return False
    return everything or keeps[0] is not blocks[0]


def _replaced_by(blocks: list[Raw]) -> Callable[[Raw], Raw]:
    return lambda _: write(blocks)


def _disable(top: Members) -> bool:
    """Remove `thinking: enabled`, and what Anthropic rejects without it."""
    if "thinking" not in top or read_type(top["thinking"]) != "enabled":
        return False
    del top["thinking"]
    if "context_management" in top:
        management = map_member(top["context_management"], "edits", _without_clearing)
        if read_members(management) == _NO_EDITS:
            del top["context_management"]
        else:
            top["context_management"] = management
    return True


def _without_clearing(edits: Raw) -> Raw:
    return map_items(edits, lambda edit: None if _clears_thinking(edit) else edit)


def _clears_thinking(edit: Raw) -> bool:
    return (read_type(edit) or "").startswith("clear_thinking_")
