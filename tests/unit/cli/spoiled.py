"""Answers of the API whose texts would control a terminal, were they shown as they are."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

# A title, a clearing of the screen (C1), a change of direction, ends of lines.
EVIL = "\x1b]0;t\x07\x9b2J\u202e\n\r"
KEPT = frozenset({"kind", "traffic_class", "id"})  # what pages tell rows apart by

Spoil = Callable[[Any], Any]


def spoiler(before: str, behind: str) -> Spoil:
    """Return what puts a text before and behind every text of an answer."""

    def spoil(answer: Any) -> Any:
        if isinstance(answer, list):
            return [spoil(one) for one in answer]
        if not isinstance(answer, Message):
            return (lambda request: spoil(answer(request))) if callable(answer) else answer
        made = type(answer)()
        made.CopyFrom(answer)
        _spoil(made, before, behind)
        return made

    return spoil


def _spoil(message: Any, before: str, behind: str) -> None:
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            if not field.message_type.GetOptions().map_entry:
                for one in [value] if isinstance(value, Message) else value:
                    _spoil(one, before, behind)
        elif field.type == field.TYPE_STRING and field.name not in KEPT:
            if isinstance(value, str):
                setattr(message, field.name, before + value + behind)
            else:
                value[:] = [before + one + behind for one in value]
