"""What a person at a terminal is asked and told: lines, and keys that are never shown."""

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import click

from ccrelay.cli.output import echo
from ccrelay.first_run.choice import KEY_CHARACTERS_MAX

NOTICE_AFTER_S = 1.0


def say(text: str) -> None:
    """A sentence below a question, as wide as the terminal."""
    echo(wrapped(text, "  ", "  "))


def wrapped(text: str, first: str, rest: str) -> str:
    """A text in lines as wide as the terminal, which begin with `first`, then `rest`."""
    width = max(shutil.get_terminal_size().columns, 40)
    return click.wrap_text(text, width, initial_indent=first, subsequent_indent=rest)


def ask_line(question: str, default: str = "") -> str:
    """One line that is not blank. Raises click.Abort."""

    def read(text: str) -> str:
        if not text.strip():
            raise click.UsageError("An answer is needed; Ctrl-C ends this.")
        return text.strip()

    line: str = click.prompt(question, default=default or None, value_proc=read)
    return line


def ask_key(question: str, *, err: bool = False) -> str:
    """A key, which is not shown. Raises click.Abort.

    Args:
        question: `(not shown)` is added.
        err: ask on standard error.
    """
    prompt = f"{question} (not shown)"
    with _hidden_after_fg(prompt):
        key: str = click.prompt(prompt, hide_input=True, err=err)
    return key.strip()


def read_key(question: str) -> str:
    """The key on standard input, one line; empty: there is none. A terminal is asked for it."""
    if sys.stdin is None:
        return ""
    if sys.stdin.isatty():
        return ask_key(question, err=True)
    # One more than allowed: what is longer is refused, and not cut.
    return sys.stdin.readline(KEY_CHARACTERS_MAX + 2).strip()


@contextlib.contextmanager
def waiting(text: str) -> Iterator[None]:
    """Say what is waited for, if that takes longer than NOTICE_AFTER_S."""
    timer = threading.Timer(NOTICE_AFTER_S, say, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@contextlib.contextmanager
def _hidden_after_fg(prompt: str) -> Iterator[None]:
    """After Ctrl-Z and `fg` the terminal has the modes of the shell, and would show the key."""

    def hide(_signal: int, _frame: FrameType | None) -> None:
        _hide(prompt)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Callable[[int, FrameType | None], object] | int | None
    before = signal.signal(signal.SIGCONT, hide)
    try:
        yield
    finally:
        signal.signal(signal.SIGCONT, before)


def _hide(prompt: str) -> None:
    import termios

    with contextlib.suppress(OSError, termios.error):
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        try:
            modes = termios.tcgetattr(terminal)
            modes[3] &= ~termios.ECHO
            termios.tcsetattr(terminal, termios.TCSANOW, modes)
            os.write(terminal, f"{prompt}: ".encode())
        finally:
            os.close(terminal)
