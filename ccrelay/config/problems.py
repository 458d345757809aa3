"""Problems of a configuration and their positions: paths, marks, and ConfigError.

A problem never contains a secret: wrong values are quoted through `ccrelay.config.wording`, others
are named by path and position.
"""

import re
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from ccrelay.config.secret_shapes import looks_secret, names_secret, without_secrets

Path = tuple[str | int, ...]  # ("providers", 1, "keys", 0, "rpm_limit")
Severity = Literal["error", "warning"]

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_NAME_CHARACTERS_MAX = 48  # longer names are cut: they may be misplaced secrets


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A position in a file: line and column in characters, both from 1."""

    line: int
    column: int


class Marks:
    """The positions of a document: for each path that of the value, and of its key."""

    def __init__(self) -> None:
        self.values: dict[Path, Mark] = {}
        self.keys: dict[Path, Mark] = {}

    def at(self, path: Path, *, on_key: bool = False) -> Mark | None:
        """Return the mark of `path`, or of the nearest enclosing path that has one."""
        if on_key and path in self.keys:
            return self.keys[path]
        for end in range(len(path), -1, -1):
            mark = self.values.get(path[:end])
            if mark is not None:
                return mark
        return None

    def rename(self, old: Path, new: Path) -> None:
        """Move the marks of `old`, and of everything in it, to `new`."""
        for marks in (self.values, self.keys):
            for path in [path for path in marks if path[: len(old)] == old]:
                marks[new + path[len(old) :]] = marks.pop(path)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. `str()` is the line shown: `file:line:column: path: message`."""

    message: str
    path: Path = ()
    on_key: bool = False  # the problem is the key, not its value
    severity: Severity = "error"
    source: str | None = None  # the file
    mark: Mark | None = None

    def located(self, source: str, marks: Marks) -> "Problem":
        """Return the problem with file and mark set; an existing mark is kept."""
        mark = self.mark or marks.at(self.path, on_key=self.on_key)
        return msgspec.structs.replace(self, source=source, mark=mark)

    def __str__(self) -> str:
        place = self.source or "configuration"
        if self.mark is not None:
            place += f":{self.mark.line}:{self.mark.column}"
        parts = [place, "warning"] if self.severity == "warning" else [place]
        if self.path:
            parts.append(path_text(self.path))
        return ": ".join([*parts, self.message])


class ConfigError(Exception):
    """Invalid configuration; `str()` is the report, one problem per line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted_by_position(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Document(msgspec.Struct, frozen=True):
    """A parsed file: plain data (dicts, lists, scalars), marks, and syntax problems."""

    data: Any
    marks: Marks
    problems: list[Problem]


def sorted_by_position(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems by position in the file, those without one first."""
    return sorted(problems, key=_order)


def path_text(path: Path) -> str:
    """Format a path: `providers[1].model_mapping["claude-*"]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif looks_secret(part) or names_secret(part):
            text += '["..."]'
        elif _PLAIN_NAME.match(part) and len(part) <= _NAME_CHARACTERS_MAX:
            text += f".{part}" if text else part
        else:
            text += f"[{quoted(part)}]"
    return text


def quoted(name: str, characters_max: int = _NAME_CHARACTERS_MAX) -> str:
    """Return a name in double quotes, truncated, without control characters and secrets."""
    name = without_secrets(name)
    if len(name) > characters_max:
        name = name[: _NAME_CHARACTERS_MAX // 4] + "..."
    return '"' + "".join(c if c.isprintable() else "?" for c in name) + '"'


def quoted_path(path: object) -> str:
    """Return a file's path in double quotes, whole, without control characters and secrets."""
    return quoted(str(path), characters_max=1 << 16)


def _order(problem: Problem) -> tuple[int, int]:
    return (problem.mark.line, problem.mark.column) if problem.mark else (0, 0)
