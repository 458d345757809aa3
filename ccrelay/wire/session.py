"""Which conversation a request belongs to.

Claude Code sends it as `x-claude-code-session-id` and again inside `metadata.user_id`: a JSON
string with `session_id`, in older versions `user_..._account_..._session_<uuid>` (client reference,
sections 4 and 5).
"""

import re

import msgspec

from ccrelay.wire.bodies import UNREADABLE

# Ids end up in logs and as keys of a table: plain characters, and not for ever.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_LEGACY = re.compile(r".*_session_([^_]+)", re.DOTALL)


class _Metadata(msgspec.Struct, gc=False):
    user_id: str | None = None


class _User(msgspec.Struct, gc=False):
    session_id: str | None = None


_METADATA = msgspec.json.Decoder(_Metadata)
_USER = msgspec.json.Decoder(_User)


def conversation_id(header: bytes | None, metadata: bytes | None) -> str | None:
    """The conversation's id, or None when the request names none that is fit to use.

    Args:
        header: value of `x-claude-code-session-id`.
        metadata: raw JSON of the body's `metadata` member.
    """
    if header is not None and (known := _plain(header.decode("latin-1"))):
        return known
    return _plain(_from_metadata(metadata)) if metadata is not None else None


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
    return value if value is not None and _PLAIN.fullmatch(value) else None
