"""Thinking blocks of another vendor, left out of a body for a provider that checks signatures.

Claude's thinking is signed. A conversation that another vendor has answered for a while holds
thinking without a signature, or with one of that vendor's, and Anthropic refuses the whole request
for it (providers reference, section 3.3). Such blocks are left out of what is sent, nothing else;
the client keeps them, and for vendors that want them back they stay.

Whole levels are written anew on the way to an edit only: the body's members, the messages, a turn,
its content. Everything inside them is the bytes it was (see `ccrelay.wire.bodies`, also for lone
surrogates).
"""

import re
from collections.abc import Callable

import msgspec
from msgspec import Raw

from ccrelay.errors import BadRequest
from ccrelay.wire.bodies import (
    UNREADABLE,
    Members,
    map_items,
    map_member,
    read_body,
    read_items,
    read_members,
    read_type,
    write,
)

THINKING = frozenset({"thinking", "redacted_thinking"})

# A signature of Claude's as we have seen them: standard base64 of at least 64 characters, of a
# message whose first byte is 0x12. "E" and one of g to v is what that byte looks like in base64.
_CLAUDES = re.compile(r"E[g-v][A-Za-z0-9+/]{62,}={0,2}")
_NO_EDITS = {"edits": Raw(b"[]")}


class _Turn(msgspec.Struct, gc=False):
    role: str = ""
    content: Raw = Raw(b"null")


class _Signed(msgspec.Struct, gc=False):
    signature: str | None = None


_TURN = msgspec.json.Decoder(_Turn)
_SIGNED = msgspec.json.Decoder(_Signed)


def strip_foreign(body: bytes, *, everything: bool) -> tuple[bytes, int]:
    """The body without the thinking that cannot be Claude's, and how much was left out.

    Left out of assistant turns are `thinking` blocks whose signature is missing or does not look
    like Claude's; with `everything` all `thinking` and `redacted_thinking` blocks, whoever made
    them. A turn that has nothing left is left out as well. Where the last assistant turn has called
    tools and does not begin with thinking any more, `thinking: enabled` goes too, with the edits
    that need it, because Anthropic then wants the turn to begin with thinking; `everything` also
    mends a turn that never did. `thinking: adaptive` wants nothing of the kind and stays.

    Blocks may be bound to everything before them. Those behind one that was left out can still be
    refused; `everything` is the answer to that refusal.

    A body of which nothing is left out, or that cannot be read, comes back as the same object.
    """
    if b"thinking" not in body:
        return body, 0
    try:
        top = read_body(body)
    except BadRequest:
        return body, 0
    turns = read_items(top["messages"]) if "messages" in top else None
    if turns is None:
        return body, 0
    kept: list[Raw] = []
    left_out = 0
    bare = False  # the last assistant turn has called tools and does not begin with thinking
    for turn in turns:
        blocks = _assistant_blocks(turn)
        if blocks is None:
            kept.append(turn)
            continue
        keeps = [block for block in blocks if not _goes(block, everything)]
        left_out += len(blocks) - len(keeps)
        if blocks and not keeps:
            continue
        bare = _is_bare(blocks, keeps, everything)
        if len(keeps) == len(blocks):
            kept.append(turn)
        else:
            kept.append(map_member(turn, "content", _replaced_by(keeps)))
    if bare and _disable(top):
        left_out = left_out or 1  # the setting alone
    if left_out == 0:
        return body, 0
    top["messages"] = write(kept)
    return bytes(write(top)), left_out


def looks_like_claudes(signature: str | None) -> bool:
    """Whether a signature could be Claude's. The look is our observation, nobody documents it."""
    return signature is not None and _CLAUDES.fullmatch(signature) is not None


def _assistant_blocks(turn: Raw) -> list[Raw] | None:
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
        return _SIGNED.decode(block).signature
    except UNREADABLE:
        return None


def _is_bare(blocks: list[Raw], keeps: list[Raw], everything: bool) -> bool:
    if not any(read_type(block) == "tool_use" for block in keeps):
        return False
    if read_type(keeps[0]) in THINKING:
        return False
    return everything or keeps[0] is not blocks[0]


def _replaced_by(blocks: list[Raw]) -> Callable[[Raw], Raw]:
    return lambda _: write(blocks)


def _disable(top: Members) -> bool:
    """Take `thinking: enabled` out, and what Anthropic refuses without it."""
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
