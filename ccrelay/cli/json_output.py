"""`--json`: messages of the management API as JSON.

Members have the names of the schema (`proto/ccrelay/v1`), all of them, also those with their
default; numbers are numbers, also 64-bit ones; an enum is its word in lower case without the prefix
(`STATE_IN_USE` is `in_use`); what is absent is null.
"""

import json
from typing import Any

from ccrelay.cli.output import echo


def as_dict(message: Any) -> dict[str, Any]:
    """Return a message as what `json` takes."""
    shown: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            shown[field.name] = dict(value)
        elif _is_repeated(field):
            shown[field.name] = [_value(field, one) for one in value]
        elif field.has_presence and not message.HasField(field.name):
            shown[field.name] = None
        else:
            shown[field.name] = _value(field, value)
    return shown


def _is_repeated(field: Any) -> bool:
    # `is_repeated` came with protobuf 6.31, which deprecates `label`.
    known = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if known is None else known)


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return as_dict(value)
    if field.enum_type is not None:
        return enum_word(field.enum_type, value)
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def enum_word(enum: Any, number: int) -> str | int:
    """Return the word of an enum's value: `in_use`; the number of one that is not known here."""
    value = enum.values_by_number.get(number)
    if value is None:
        return number
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return str(value.name.removeprefix(prefix).lower())


def print_json(value: Any, *, line: bool = False) -> None:
    """Print a message, or what `json` takes; `line`: as one line, for streams."""
    shown = as_dict(value) if hasattr(value, "DESCRIPTOR") else value
    if line:
        echo(json.dumps(shown, separators=(",", ":")))
    else:
        echo(json.dumps(shown, indent=2))
