"""Records as a worker writes them, with defaults for what a test does not care about."""

from typing import Any

import msgspec

from ccrelay.ledger.record import Record, Result, Try

_EMPTY: dict[str, object] = {"str": "", "int": 0, "bool": False}


def record(**members: Any) -> Record:
    """A record that went well unless `members` say otherwise, over the wire and back."""
    plain = {
        field.name: _EMPTY[field.type.__name__]
        for field in msgspec.structs.fields(Record)
        if field.required
    }
    plain |= {
        "id": "e-1",
        "started_at_us": 1_800_000_000_000_000,
        "duration_us": 2_000_000,
        "model": "claude-opus-5-5",
        "sent": "claude-opus-5-5",
        "provider": "anthropic",
        "key": "hmac:04f4a1b2",
        "key_name": "team-a",
        "status": 200,
        "result": Result.OK,
        "attempts": 1,
        "own_us": 180,
    }
    made = Record(**(plain | members))
    return msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=Record)


def attempt(**members: Any) -> Try:
    """One attempt that failed with 529."""
    plain = {
        "provider": "anthropic",
        "key": "hmac:04f4a1b2",
        "key_name": "team-a",
        "sent": "claude-opus-5-5",
        "started_us": 100,
        "ended_us": 410_000,
        "status": 529,
        "verdict": "overloaded",
        "error": "overloaded",
    }
    return Try(**(plain | members))
