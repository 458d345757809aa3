"""Whatever the relay tells, of clients and of providers, controls no terminal: on every page."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message

from ccrelay.tui.live import Live
from ccrelay.tui.paint import bare
from ccrelay.v1 import exchanges_pb2 as ex, relay_pb2 as rl
from tests.unit.cli import examples
from tests.unit.cli.served import status
from tests.unit.tui.design import Shown, attempts_of_failed, fake_relay, running

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


def spoiled(width: int, height: int, spoil: Spoil) -> Shown:
    live = Live()
    live.on_status(spoil(rl.WatchStatusResponse(status=status(), whole=True)))
    exchanges = [spoil(one) for one in examples.exchanges()[::-1]]
    live.on_exchanges(ex.TailResponse(exchanges=exchanges))
    for one in exchanges:
        live.on_attempts(one, [spoil(attempt) for attempt in attempts_of_failed()])
    live.on_running(spoil(running()))
    answers = {name.replace("/", "__"): spoil(one) for name, one in fake_relay().answers.items()}
    return Shown(width, height, live=live, **answers)


@pytest.mark.parametrize("texts", [(EVIL, EVIL), ("", EVIL)], ids=["around", "behind"])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
def test_no_answer_controls_the_terminal(width: int, height: int, texts: tuple[str, str]) -> None:
    shown = spoiled(width, height, spoiler(*texts))
    for page in "neusprc":
        for more in ((), ("enter",), ("j", "j", "enter"), ("right",), ("y",)):
            for key in ("g", page, *more):
                shown.press(key)
            for line in shown.painted():
                assert bare(line).isprintable(), (page, more, bare(line))
            shown.press("escape", "escape")
