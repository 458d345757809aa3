"""Identifies the conversation a request belongs to.

Claude Code sends an id as `x-claude-code-session-id` and in `metadata.user_id`: a JSON string with
`session_id`, in older versions `user_..._account_..._session_<uuid>` (client reference, sections 4
and 5). Without either, a conversation is identified by its beginning.
"""

import re

import msgspec

from ccrelay._fast.json import MemberKeys, MemberScan, scan
from ccrelay.wire.bodies import UNREADABLE
from ccrelay.wire.items import (
    WORD_BYTES_MAX,
    Span,
    inside,
    objects,
    span_of,
    string_of,
    word,
)

# Ids go into logs and a table: safe characters and a bounded length only.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
# What clients write that have no id: one conversation of all their users.
_NONE = frozenset(
    {
        *("undefined", "null", "none", "nil", "nan", "true", "false"),
        *("unknown", "default", "anonymous", "session", "session_id", "sessionid"),
    }
)
_ZEROS = "0-"  # such as the nil UUID
_LEGACY = re.compile(r".*_session_([^_]+)", re.DOTALL)

METADATA_BYTES_MAX = 4096
# How much of the beginning is compared. Little of the system prompt: it is mostly the same for all
# conversations, and some clients put the time further down.
SYSTEM_BYTES = 1024
USER_BYTES = 16_384
# Blocks read for it, and turns searched for the first user turn.
BLOCKS_MAX = 64
TURNS_MAX = 8

# Claude Code's first system block has its version, which may change during a conversation.
_ATTRIBUTION = b"x-anthropic-billing-header:"
_TOP = MemberKeys(["metadata", "system", "messages"])
_TURN = MemberKeys(["role", "content"])
_BLOCK = MemberKeys(["type", "text"])


class _Metadata(msgspec.Struct, gc=False):
    user_id: str | None = None


class _User(msgspec.Struct, gc=False):
    session_id: str | None = None


_METADATA = msgspec.json.Decoder(_Metadata)
_USER = msgspec.json.Decoder(_User)


def conversation_id(header: bytes | None, metadata: bytes | None) -> str | None:
    """The conversation's id; None: absent or not usable.

    Args:
        header: value of `x-claude-code-session-id`.
        metadata: raw JSON of the body's `metadata` member.
    """
    if header is not None and (known := _plain(header.decode("latin-1"))):
        return known
    return _plain(_from_metadata(metadata)) if metadata is not None else None


def conversation_key(session: bytes | None, body: bytes | None) -> bytes | None:
    """Bytes that identify a conversation, to be hashed; None: nothing distinguishes it.

    The id if there is one, else the beginning of the conversation: bounded text of the system
    prompt and of the first user turn. Blocks and plain text, with or without `cache_control`, give
    the same key, because Claude Code sends its first turn both ways.

    Args:
        session: value of `x-claude-code-session-id`.
        body: the complete body; None: not available, use only the header.
    """
    if session is not None and _plain(session.decode("latin-1")) is not None:
        return session
    if body is None:
        return None
    top = scan(body, _TOP, METADATA_BYTES_MAX)
    known = conversation_id(None, top.value(0))
    if known is not None:
        return known.encode()
    user = _first_user(body, top.span(2))
    text = _text(body, user, USER_BYTES) if user is not None else b""
    if not text:
        return None
    system = top.span(1)
    # Neither ids nor JSON text contain a NUL.
    return (_text(body, system, SYSTEM_BYTES) if system is not None else b"") + b"\0" + text


def _first_user(body: bytes, messages: Span | None) -> Span | None:
    # System turns may precede it.
    if messages is None:
        return None
    turn = MemberScan(_TURN, WORD_BYTES_MAX)
    for start in objects(body, messages, turn, TURNS_MAX):
        if word(turn, 0) == "user":
            return span_of(turn, 1, start)
    return None


def _text(body: bytes, content: Span, most: int) -> bytes:
    # The text of a string or of text blocks, JSON-escaped: a client always escapes the same way.
    string = inside(body, content)
    if string is not None:
        return body[string[0] : min(string[1], string[0] + most)]
    block = MemberScan(_BLOCK, WORD_BYTES_MAX)
    text = b""
    for at in objects(body, content, block, BLOCKS_MAX):
        string = string_of(block, 1, at, body) if word(block, 0) == "text" else None
        if string is None or body.startswith(_ATTRIBUTION, string[0]):
            continue
        text += body[string[0] : min(string[1], string[0] + most - len(text))]
        if len(text) >= most:
            break
    return text


def _from_metadata(metadata: bytes) -> str | None:
    try:
        user_id = _METADATA.decode(metadata).user_id
    except UNREADABLE:
        return None
    if user_id is None:
        return None
    if user_id.startswith("{"):
        try:
            return _USER.decode(user_id).session_id
        except UNREADABLE:
            return None
    match = _LEGACY.fullmatch(user_id)
    return match[1] if match else None


def _plain(value: str | None) -> str | None:
    if value is None or not _PLAIN.fullmatch(value) or value.lower() in _NONE:
        return None
    return value if value.strip(_ZEROS) else None
