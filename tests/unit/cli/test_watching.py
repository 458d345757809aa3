"""Drawing again in place."""

import re
from collections.abc import Callable

import pytest

from ccrelay.cli import watching
from ccrelay.cli.connection import Failed
from ccrelay.cli.screen import Screen
from ccrelay.cli.watching import Frame, watch


class Out:
    """What was printed since the last `truncate`."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().out
        return self._text

    def truncate(self) -> None:
        self.getvalue()
        self._text = ""


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Out:
    return Out(capsys)


def controls(text: str) -> list[str]:
    return re.findall(r"\x1b\[\??\d*[A-Za-z]", text)


def test_a_frame_is_drawn_over_the_one_before(out: Out) -> None:
    frame = Frame()
    frame.draw(["a", "b"], Screen(terminal=True))
    first = out.getvalue()
    assert controls(first) == [
        "\x1b[?2026h",
        "\x1b[?25l",
        "\x1b[K",
        "\x1b[K",
        "\x1b[J",
        "\x1b[?2026l",
    ]
    out.truncate()
    frame.draw(["c"], Screen(terminal=True))
    second = out.getvalue()
    # Up over both lines; each is overwritten and the rest cleared: never an empty screen.
    assert "\x1b[2A\r" in second
    assert "\x1b[2J" not in second
    assert "c\x1b[K\n" in second


def test_what_does_not_fit_the_height_is_said(out: Out) -> None:
    Frame().draw([str(n) for n in range(30)], Screen(height=10, terminal=True))
    body = out.getvalue()
    assert body.count("\n") == 9
    assert "… 22 more lines" in body


def test_what_stands_below_has_room_in_any_height(out: Out) -> None:
    lines = [str(n) for n in range(30)]
    Frame().draw(lines, Screen(height=6, terminal=True), ["not current:", "no relay"])
    body = out.getvalue()
    assert body.count("\n") == 5
    assert "… 28 more lines\x1b[K\nnot current:\x1b[K\nno relay\x1b[K\n" in body


def test_another_size_begins_with_an_empty_screen(out: Out) -> None:
    frame = Frame()
    frame.draw(["a"], Screen(width=80, terminal=True))
    out.truncate()
    frame.draw(["a"], Screen(width=60, terminal=True))
    assert "\x1b[2J\x1b[H" in out.getvalue()


def test_a_frame_is_erased_and_the_cursor_comes_back(out: Out) -> None:
    frame = Frame()
    frame.erase()
    assert out.getvalue() == ""
    frame.draw(["a"], Screen(terminal=True))
    frame.erase()
    frame.erase()
    frame.close()
    assert out.getvalue().endswith("\x1b[1A\r\x1b[J\x1b[?25h")


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses that end with Ctrl-C at the 20th."""
    taken: list[float] = []

    def pause(seconds: float) -> None:
        taken.append(seconds)
        if len(taken) == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(watching, "pause", pause)
    return taken


def failing(times: dict[int, Failed]) -> Callable[[Screen], list[str]]:
    calls = [0]

    def draw(screen: Screen) -> list[str]:
        calls[0] += 1
        if error := times.get(calls[0]):
            raise error
        return [f"figures {calls[0]}"]

    return draw


def test_the_last_figures_stay_while_the_relay_does_not_answer(out: Out, naps: list[float]) -> None:
    with pytest.raises(KeyboardInterrupt):
        watch(failing({2: Failed("No relay runs.\x1b", 3)}), 1.0)
    shown = out.getvalue().split("\n\n")
    assert shown[:3] == [
        "figures 1",
        "figures 1\nNot current: No relay runs.\\u001b",
        "figures 3",
    ]


def test_the_first_failure_ends_it(out: Out, naps: list[float]) -> None:
    with pytest.raises(Failed):
        watch(failing({1: Failed("no", 3)}), 1.0)
    assert naps == []


def test_wrong_usage_ends_it(out: Out, naps: list[float]) -> None:
    with pytest.raises(Failed):
        watch(failing({2: Failed("no", 2)}), 1.0)
    assert len(naps) == 1


def test_a_relay_that_is_gone_for_long_ends_it(out: Out, naps: list[float]) -> None:
    now = iter(range(0, 10_000, 25))
    with pytest.raises(Failed):
        watch(failing({n: Failed("no", 3) for n in range(2, 99)}), 1.0, clock=lambda: next(now))
    assert 1 <= len(naps) < 5
