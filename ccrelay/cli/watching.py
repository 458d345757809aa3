"""`--watch`: to draw again in place, without flicker; without a terminal, to print again."""

import time
from collections.abc import Callable, Sequence

from ccrelay.cli import exit_codes
from ccrelay.cli.connection import Failed
from ccrelay.cli.screen import Screen, find_screen, write_lines

# A terminal that knows it shows the whole frame at once; others ignore it.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
pause = time.sleep
GIVE_UP_S = 60.0  # a relay that has not answered for so long is gone

Draw = Callable[[Screen], Sequence[str]]


class Frame:
    """Lines at the foot of a terminal that are drawn again in place."""

    def __init__(self) -> None:
        self._lines = 0
        self._size = (0, 0)

    def draw(self, lines: Sequence[str], screen: Screen, foot: Sequence[str] = ()) -> None:
        """Draw a frame over the one before; what does not fit the height is left out, and said.

        `foot`: lines below them that always have room.
        """
        shown = [*_fitting(lines, screen, len(foot)), *foot]
        size = (screen.width, screen.height)
        if self._lines and size != self._size:
            start = "\x1b[2J\x1b[H"  # the terminal has wrapped lines again, where is not known
        else:
            start = f"\x1b[{self._lines}A\r" if self._lines else ""
        body = "".join(f"{line}\x1b[K\n" for line in shown)
        write_raw(f"{_BEGIN}{_HIDE}{start}{body}\x1b[J{_END}")
        self._lines, self._size = len(shown), size

    def erase(self) -> None:
        """Take the frame away: what is printed next stands in its place."""
        if self._lines:
            write_raw(f"\x1b[{self._lines}A\r\x1b[J")
            self._lines = 0

    def close(self) -> None:
        """Leave the frame as it is, and show the cursor."""
        write_raw(_SHOW)


def _fitting(lines: Sequence[str], screen: Screen, foot: int) -> list[str]:
    room = max(screen.height - 1 - foot, 1)
    if len(lines) <= room:
        return list(lines)
    left_out = len(lines) - room + 1
    return [*lines[: room - 1], screen.cut(f"{screen.ellipsis} {left_out} more lines")]


def write_raw(text: str) -> None:
    """Write to standard output as it is."""
    import sys

    if sys.stdout is not None:
        sys.stdout.write(text)
        sys.stdout.flush()


def watch(
    draw: Draw,
    interval_s: float,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Call `draw` and show its lines, again and again, until Ctrl-C.

    While the relay does not answer, the last figures stay and the failure stands below them.

    Raises:
        Failed: the first call failed, or all of GIVE_UP_S.
    """
    frame = Frame() if find_screen().terminal else None
    last: Sequence[str] = ()
    answered_at = clock()
    try:
        while True:
            screen, foot = find_screen(), list[str]()
            try:
                last = draw(screen)
                answered_at = clock()
            except Failed as error:
                if not last or error.exit_code == exit_codes.USAGE:
                    raise
                if clock() - answered_at > GIVE_UP_S:
                    raise
                foot = _trouble(error, screen)
            if frame is not None:
                frame.draw(last, screen, foot)
            else:
                write_lines([*last, *foot, ""])
            pause(interval_s)
    finally:
        if frame is not None:
            frame.close()


def _trouble(error: Failed, screen: Screen) -> list[str]:
    first, *more = screen.wrap(f"Not current: {screen.text(error.message)}")
    return [screen.paint(line, "amber") for line in (first, *more)]


def watch_json(print_once: Callable[[], None], interval_s: float) -> None:
    """Print one line of JSON again and again, until Ctrl-C or until a call fails."""
    while True:
        print_once()
        pause(interval_s)
