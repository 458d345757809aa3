"""Whatever the relay tells, of clients and of providers, controls no terminal: on every page."""

import pytest

from ccrelay.tui.live import Live
from ccrelay.tui.paint import bare
from ccrelay.v1 import exchanges_pb2 as ex, relay_pb2 as rl
from tests.unit.cli import examples
from tests.unit.cli.served import status
from tests.unit.cli.spoiled import EVIL, Spoil, spoiler
from tests.unit.tui.design import Shown, attempts_of_failed, fake_relay, running


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
