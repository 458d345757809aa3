"""What is wrong with a configuration, and where: paths, marks, problems, and the one exception.

A problem never quotes a string value of the configuration, because it may be a secret; it names the
place, and the reader looks there.
"""

import re
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

Path = tuple[str | int, ...]  # ("providers", 1, "keys", 0, "rpm_limit")
Severity = Literal["error", "warning"]

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_NAME_CHARACTERS_MAX = 48  # longer names are cut in reports: a misplaced secret is one such


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A place in a file; both numbers count characters from 1, as editors do."""

    line: int
    column: int


class Marks:
    """Where the members of a document stand: of each path the value, and its key if it has one."""

    def __init__(self) -> None:
        self.values: dict[Path, Mark] = {}
        self.keys: dict[Path, Mark] = {}

    def at(self, path: Path, *, on_key: bool = False) -> Mark | None:
        """Return the mark of `path`, or of the nearest place around it that has one."""
        if on_key and path in self.keys:
            return self.keys[path]
        for end in range(len(path), -1, -1):
            mark = self.values.get(path[:end])
            if mark is not None:
                return mark
        return None


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. `str()` is the line shown: `file:line:column: path: message`."""

    message: str
    path: Path = ()
    on_key: bool = False  # the key is at fault, not its value
    severity: Severity = "error"
    source: str | None = None  # the file
    mark: Mark | None = None

    def located(self, source: str, marks: Marks) -> "Problem":
        """Return the problem with file and mark filled in; a mark it already has is kept."""
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
    """The configuration cannot be used; `str()` is the report, one problem a line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = in_order(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Document(msgspec.Struct, frozen=True):
    """A file as plain data (dicts, lists, scalars) with marks, and what was wrong on the way."""

    data: Any
    marks: Marks
    problems: list[Problem]


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems in the order of the file, those without a place first."""
    return sorted(problems, key=_order)


def path_text(path: Path) -> str:
    """Return a path as people write it: `providers[1].model_mapping["claude-*"]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_NAME.match(part) and len(part) <= _NAME_CHARACTERS_MAX:
            text += f".{part}" if text else part
        else:
            text += f"[{quoted(part)}]"
    return text


def quoted(name: str) -> str:
    """Return a name in double quotes, cut when it is long, without control characters."""
    if len(name) > _NAME_CHARACTERS_MAX:
        name = name[: _NAME_CHARACTERS_MAX // 4] + "..."
    return '"' + "".join(c if c.isprintable() else "?" for c in name) + '"'


def _order(problem: Problem) -> tuple[int, int]:
    return (problem.mark.line, problem.mark.column) if problem.mark else (0, 0)
