"""Sheets in front of a page: a question, a choice, a form, a text. Keys go to the foremost one."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ccrelay.cli.cells import cut, width_of, wrap
from ccrelay.cli.screen import Screen
from ccrelay.tui.glyphs import Glyphs
from ccrelay.tui.paint import PICK, box, fitted, picked

WIDTH_MAX = 74
TEXT_MAX = 400  # characters of a field


class Line:
    """One line of text that is edited.

    Args:
        text: at the beginning.
    """

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.at = len(text)

    def key(self, key: str, char: str | None) -> bool:
        """Take a key; return whether it was one for a line."""
        moves = {"left": self.at - 1, "right": self.at + 1, "home": 0, "end": len(self.text)}
        if key in moves:
            self.at = min(max(moves[key], 0), len(self.text))
        elif key == "backspace":
            self.text = self.text[: max(self.at - 1, 0)] + self.text[self.at :]
            self.at = max(self.at - 1, 0)
        elif key == "delete":
            self.text = self.text[: self.at] + self.text[self.at + 1 :]
        elif key == "ctrl+u":
            self.text, self.at = self.text[self.at :], 0
        elif char and char.isprintable():
            self.insert(char)
        else:
            return False
        return True

    def insert(self, text: str) -> None:
        """Put text where the cursor is, also what was pasted."""
        clean = "".join(char for char in text if char.isprintable())
        clean = clean[: max(TEXT_MAX - len(self.text), 0)]
        self.text = self.text[: self.at] + clean + self.text[self.at :]
        self.at += len(clean)

    def shown(self, width: int, screen: Screen, *, cursor: bool = True) -> str:
        """Return what fits, with the cursor in it."""
        if not cursor:
            return fitted(screen.text(self.text), width, screen.ellipsis)
        start = self.at
        while start > 0 and width_of(self.text[start - 1 : self.at]) < width:
            start -= 1
        before, under = self.text[start : self.at], self.text[self.at : self.at + 1] or " "
        after = self.text[self.at + 1 :]
        painted = f"{screen.text(before)}\x1b[7m{screen.text(under)}\x1b[0m{screen.text(after)}"
        return fitted(painted, width, "")


class Sheet:
    """What stands in front of a page."""

    title = ""

    def body(self, width: int, screen: Screen, glyphs: Glyphs) -> list[str]:
        """Return its lines."""
        raise NotImplementedError

    def key(self, key: str, char: str | None) -> bool:
        """Take a key; return whether the sheet stays."""
        raise NotImplementedError

    def paste(self, text: str) -> None:
        """Take what was pasted; most sheets do not."""

    def lines(self, width: int, height: int, screen: Screen, glyphs: Glyphs) -> list[str]:
        """Return the sheet in its frame."""
        outer = min(width, WIDTH_MAX)
        body = _seen(self.body(outer - 4, screen, glyphs), max(height - 2, 1))
        return box(screen.text(self.title), body, outer, glyphs)


class Option(NamedTuple):
    """One thing that can be chosen.

    Args:
        text: what it is.
        act: what is done; None: nothing.
        note: in small behind it.
    """

    text: str
    act: Callable[[], None] | None = None
    note: str = ""


class Choice(Sheet):
    """Several things, one of which is chosen by its row and Enter.

    Args:
        title: of the sheet.
        options: in order; the first one is selected.
        text: above them.
    """

    def __init__(self, title: str, options: Sequence[Option], text: str = "") -> None:
        self.title = title
        self.options = list(options)
        self._text = text
        self.at = 0

    def body(self, width: int, screen: Screen, glyphs: Glyphs) -> list[str]:
        """Return the text and the options."""
        lines = []
        for part in self._text.splitlines():
            lines += wrap(screen.text(part), width, 0, screen.ellipsis)
        lines += [""] if lines else []
        for at, option in enumerate(self.options):
            note = screen.paint(f"  {screen.text(option.note)}", "dim") if option.note else ""
            line = f"{screen.text(option.text)}{note}"
            # What is selected begins a cell before the others: at the edge of the frame.
            lines.append(picked(f" {line}", width + 2, glyphs) if at == self.at else line)
        return [*lines, "", screen.paint("j k choose  Enter take it  Esc leave", "dim")]

    def key(self, key: str, char: str | None) -> bool:
        """Move, take or leave."""
        if key in ("j", "down", "tab", "k", "up", "shift+tab"):
            step = 1 if key in ("j", "down", "tab") else -1
            self.at = min(max(self.at + step, 0), len(self.options) - 1)
        elif key == "enter":
            if act := self.options[self.at].act:
                act()
            return False
        return key not in ("escape", "q")


def question(title: str, text: str, yes: str, act: Callable[[], None]) -> Choice:
    """Return a sheet that asks before something is changed: what is selected first changes nothing.

    Args:
        title: of the sheet.
        text: what would happen, and the command that does the same.
        yes: words of the choice that does it.
        act: does it.
    """
    return Choice(title, [Option("Change nothing"), Option(yes, act)], text)


class Field(NamedTuple):
    """One field of a form.

    Args:
        name: of the value.
        label: left of it.
        line: what is edited.
        options: values that are chosen by arrows; empty: free text.
    """

    name: str
    label: str
    line: Line
    options: tuple[str, ...] = ()


class Form(Sheet):
    """Fields to be filled in; Enter hands them over.

    Args:
        title: of the sheet.
        fields: in order.
        act: takes the values by their names; returns what is wrong with them, or nothing.
        hint: below the fields.
    """

    def __init__(
        self,
        title: str,
        fields: Sequence[Field],
        act: Callable[[dict[str, str]], str],
        hint: str = "",
    ) -> None:
        self.title = title
        self.fields = list(fields)
        self._act, self._hint = act, hint
        self._problem = ""
        self.at = 0

    def body(self, width: int, screen: Screen, glyphs: Glyphs) -> list[str]:
        """Return the fields."""
        label = max(width_of(field.label) for field in self.fields)
        lines = []
        for at, field in enumerate(self.fields):
            room = width - label - 3
            value = field.line.shown(room, screen, cursor=at == self.at and not field.options)
            if field.options and at == self.at:
                value = fitted(f"< {field.line.text or 'any'} >", room)
            elif field.options and not field.line.text:
                value = fitted("any", room)
            line = f"{fitted(field.label, label)}  {value}"
            lines.append(picked(f" {line}", width + 2, glyphs) if at == self.at else line)
        lines.append("")
        for text, style in ((self._problem, "red"), (self._hint, "dim")):
            lines += [screen.paint(part, style) for part in _wrapped(text, width, screen)]
        keys = "Tab next  left right choose  Enter go  Esc leave"
        return [*lines, screen.paint(keys, "dim")]

    def key(self, key: str, char: str | None) -> bool:
        """Edit, move, hand over or leave."""
        field = self.fields[self.at]
        if key in ("tab", "down", "shift+tab", "up"):
            step = 1 if key in ("tab", "down") else -1
            self.at = (self.at + step) % len(self.fields)
        elif key == "enter":
            self._problem = self._act({one.name: one.line.text.strip() for one in self.fields})
            return bool(self._problem)
        elif key == "escape":
            return False
        elif field.options and key in ("left", "right"):
            values = ("", *field.options)
            now = values.index(field.line.text) if field.line.text in values else 0
            field.line.text = values[(now + (1 if key == "right" else -1)) % len(values)]
        elif not field.options:
            field.line.key(key, char)
        return True

    def paste(self, text: str) -> None:
        """Put what was pasted into the field."""
        if not self.fields[self.at].options:
            self.fields[self.at].line.insert(text)


class Text(Sheet):
    """Lines to be read; any key but those that scroll closes it.

    Args:
        title: of the sheet.
        text: paragraphs; lines that begin with a space are kept as they are.
    """

    def __init__(self, title: str, text: str) -> None:
        self.title = title
        self._text = text
        self._top = 0

    def body(self, width: int, screen: Screen, glyphs: Glyphs) -> list[str]:
        """Return the lines from where it is scrolled to."""
        lines: list[str] = []
        for part in self._text.splitlines():
            if part.startswith(" "):
                lines.append(cut(screen.text(part), width, screen.ellipsis))
            else:
                lines += _wrapped(part, width, screen) or [""]
        self._top = min(self._top, max(len(lines) - 1, 0))
        return lines[self._top :]

    def key(self, key: str, char: str | None) -> bool:
        """Scroll or close."""
        steps = {"j": 1, "down": 1, "k": -1, "up": -1, "pagedown": 10, "pageup": -10}
        if key in steps:
            self._top = max(self._top + steps[key], 0)
            return True
        return False


def _seen(body: Sequence[str], height: int) -> Sequence[str]:
    """Return the lines that there is room for, with what is selected, and some below it."""
    at = next((at for at, line in enumerate(body) if line.startswith(PICK)), 0)
    top = min(max(at + 4 - height, 0), max(len(body) - height, 0))
    return body[top : top + height]


def _wrapped(text: str, width: int, screen: Screen) -> list[str]:
    return wrap(screen.text(text), width, 0, screen.ellipsis) if text else []
