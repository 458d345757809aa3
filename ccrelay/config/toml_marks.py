"""Parses TOML to plain data, with the position of every key and value.

`tomllib` parses and validates the text, including duplicate keys, but has no positions. A second
scan over the valid text finds where keys and values start.
"""

import bisect
import re
import tomllib
from typing import Any

from ccrelay.config.problems import Document, Mark, Marks, Path, Problem
from ccrelay.config.secret_shapes import without_quotes

_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_EQUALS = re.compile(r"[ \t]*=[ \t]*")
# A string with its quotes, of any kind.
STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'  # up to two quotes before the closing three
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SPACE = re.compile(r"[ \t]*")
_HEADER_END = re.compile(r"[ \t]*\]{1,2}")
_COMMA = re.compile(",")
_ATOM = re.compile(r"[^,\]}#\r\n]+")  # number, boolean, date and time


def parse_toml(text: str) -> Document:
    """Parse a TOML document; never raises."""
    text = text.replace("\r\n", "\n")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return Document(None, Marks(), [_syntax_problem(str(error), text)])
    except RecursionError:
        return Document(None, Marks(), [Problem(message="invalid TOML: nested too deeply")])
    except ValueError:  # from int(), which takes at most 4,300 digits
        return Document(None, Marks(), [Problem(message="invalid TOML: a number is too long")])
    scanner = _Scanner(text)
    scanner.document()
    return Document(data, scanner.marks, [])


def _syntax_problem(message: str, text: str) -> Problem:
    found = _AT.search(message)
    if found is None:
        return Problem(message=f"invalid TOML: {without_quotes(message)}")
    if found[1]:
        mark = Mark(int(found[1]), int(found[2]))
    else:
        mark = Mark(text.count("\n") + 1, len(text) - text.rfind("\n"))
    text = without_quotes(message[: found.start()])
    return Problem(message=f"invalid TOML: {text}", mark=mark)


class _Scanner:
    """Scans valid TOML for positions. Unsupported syntax ends the scan, not the load."""

    def __init__(self, text: str) -> None:
        self.marks = Marks()
        self.marks.values[()] = Mark(1, 1)
        self._text = text
        self._at = 0
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._counts: dict[Path, int] = {}  # array of tables -> its length so far

    def document(self) -> None:
        table: Path = ()
        while self._skip_blank():
            start = self._at
            if self._text[start] == "[":
                table = self._header()
            else:
                self._member(table)
            if self._at == start:
                return

    def _header(self) -> Path:
        start = self._at
        brackets = 2 if self._text.startswith("[[", start) else 1
        self._at += brackets
        self._match(_SPACE)
        names = self._key_names()
        self._match(_HEADER_END)
        path: Path = ()
        for name in names[:-1]:
            path = self._current((*path, name))
        path = (*path, names[-1])
        if brackets == 2:
            index = self._counts.get(path, 0)
            self._counts[path] = index + 1
            self.marks.values.setdefault(path, self._mark(start))
            path = (*path, index)
        else:
            path = self._current(path)
        self.marks.values[path] = self._mark(start)
        self.marks.keys[path] = self._mark(start)
        return path

    def _current(self, path: Path) -> Path:
        """Return `path`, or its last element when it names an array of tables."""
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _member(self, table: Path) -> None:
        mark = self._mark(self._at)
        path = table
        for name in self._key_names():
            path = (*path, name)
            self.marks.keys.setdefault(path, mark)
        self._match(_EQUALS)
        for end in range(len(table) + 1, len(path)):  # tables implied by a dotted key
            self.marks.values.setdefault(path[:end], mark)
        self._value(path)

    def _key_names(self) -> list[str]:
        names: list[str] = []
        while True:
            quoted = self._match(STRING)
            if quoted:
                names.append(_unquoted(quoted))
            else:
                names.append(self._match(_BARE_KEY))
            if not self._match(_DOT):
                return names

    def _value(self, path: Path) -> None:
        self.marks.values[path] = self._mark(self._at)
        opening = self._text[self._at : self._at + 1]
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        elif not self._match(STRING):
            self._match(_ATOM)

    def _array(self, path: Path) -> None:
        self._at += 1
        index = 0
        while self._skip_blank() and self._text[self._at] != "]":
            self._value((*path, index))
            index += 1
            self._skip_blank()
            if not self._match(_COMMA):
                break
        self._skip_blank()
        self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while self._skip_blank() and self._text[self._at] != "}":
            self._member(path)
            self._skip_blank()
            if not self._match(_COMMA):
                break
        self._skip_blank()
        self._at += 1

    def _match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def _skip_blank(self) -> bool:
        self._match(_BLANK)
        return self._at < len(self._text)

    def _mark(self, at: int) -> Mark:
        line = bisect.bisect_right(self._line_starts, at)
        return Mark(line, at - self._line_starts[line - 1] + 1)


def _unquoted(quoted: str) -> str:
    name: Any = tomllib.loads(f"k = {quoted}")["k"]
    return str(name)
