"""Parses YAML to plain data, with the position of every node.

Uses parser events instead of PyYAML's constructors, because these lose duplicate keys and
positions, build objects from tags, and use YAML 1.1 scalars. Here scalars follow the core schema of
YAML 1.2: only `true` and `false` are booleans, and `no`, `12:30` or `2026-01-01` are text.

Anchors, aliases and `<<` merge keys are supported. An alias shares the data of the anchor; paths
inside it have the position of the alias.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from ccrelay.config.problems import Document, Mark, Marks, Path, Problem, quoted
from ccrelay.config.secret_shapes import without_quotes

DEPTH_MAX = 32  # levels; a real configuration has six
NODES_MAX = 100_000  # nodes, with aliases expanded ("billion laughs")

_CORE = "tag:yaml.org,2002:"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,300}\Z")
_INT_PREFIXED = re.compile(r"0(?:o[0-7]{1,300}|x[0-9a-fA-F]{1,300})\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_FLOAT_NAMED = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")


class _Refused(Exception):
    """A fatal problem."""

    def __init__(self, message: str, mark: Any) -> None:
        super().__init__(message)
        self.problem = Problem(message=message, mark=_mark(mark))


def parse_yaml(text: str) -> Document:
    """Parse one YAML document; an empty one is an empty mapping. Never raises."""
    builder = _Builder()
    try:
        data = builder.document(yaml.parse(text, Loader=_LOADER))
    except _Refused as refused:
        return Document(None, builder.marks, [*builder.problems, refused.problem])
    except yaml.MarkedYAMLError as error:
        problem = _syntax_problem(error, text)
        return Document(None, builder.marks, [*builder.problems, problem])
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        mark = Mark(before.count("\n") + 1, error.position - before.rfind("\n"))
        problem = Problem(message="invalid YAML: a control character", mark=mark)
        return Document(None, builder.marks, [problem])
    return Document({} if data is None else data, builder.marks, builder.problems)


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> Problem:
    mark = _mark(error.problem_mark or error.context_mark)
    message = f"invalid YAML: {without_quotes(str(error.problem or error.context))}"
    line = "".join(text.split("\n")[mark.line - 1 : mark.line])
    return Problem(message=message + _syntax_hint(error, line[mark.column - 1 :], line), mark=mark)


def _syntax_hint(error: yaml.MarkedYAMLError, rest: str, line: str) -> str:
    """Return what is probably wrong; `rest`: the line from the position of the error."""
    context, problem = error.context or "", error.problem or ""
    if rest.startswith("\t"):
        return " (a tab: indent with spaces)"
    if "quoted scalar" in context and "end of stream" in problem:
        return f" (the quote that opens on line {_mark(error.context_mark).line} is not closed)"
    if "escape" in problem:
        return " (in double quotes, \\ is written \\\\; or use single quotes)"
    if "${" in line:
        return ' (write "${...}" in quotes inside { } and [ ])'
    if "alias" in context or rest.startswith(("@", "`", "%")):
        return f" (put text that begins with {'*' if 'alias' in context else rest[0]} in quotes)"
    return ""


def core_scalar(text: str) -> Any:
    """Return the value of a plain scalar in the core schema of YAML 1.2 (section 10.3.2)."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.match(text):
        return int(text)
    if _INT_PREFIXED.match(text):
        return int(text, 0)
    if _FLOAT.match(text):
        return float(text)
    if _FLOAT_NAMED.match(text):
        return float(text.replace(".", "", 1))
    return text


class _Builder:
    def __init__(self) -> None:
        self.marks = Marks()
        self.problems: list[Problem] = []
        self._anchors: dict[str, tuple[Any, int]] = {}  # name -> data, number of nodes
        self._nodes = 0

    def document(self, events: Iterator[Any]) -> Any:
        data: Any = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _Refused("more than one YAML document in the file", event.start_mark)
            elif isinstance(event, yaml.NodeEvent):
                data = self._node(event, events, ())
        return data

    def _node(self, event: Any, events: Iterator[Any], path: Path) -> Any:
        self.marks.values[path] = _mark(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if len(path) > DEPTH_MAX:
            raise _Refused(f"nested deeper than {DEPTH_MAX} levels", event.start_mark)
        first = self._nodes
        self._count(1, event)
        data: Any
        if isinstance(event, yaml.ScalarEvent):
            data = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event, "seq")
            data = self._sequence(events, path)
        else:
            self._check_tag(event, "map")
            data = self._mapping(events, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = (data, self._nodes - first)
        return data

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            raise _Refused(f"undefined alias {quoted(event.anchor)}", event.start_mark)
        data, nodes = self._anchors[event.anchor]
        self._count(nodes, event)
        return data

    def _count(self, nodes: int, event: Any) -> None:
        self._nodes += nodes
        if self._nodes > NODES_MAX:
            raise _Refused(f"more than {NODES_MAX} nodes", event.start_mark)

    def _scalar(self, event: Any) -> Any:
        if event.implicit[0]:  # plain, without a tag
            return core_scalar(event.value)
        if event.tag not in (None, "!", _CORE + "str"):
            raise _Refused("YAML tags are not supported", event.start_mark)
        return event.value

    def _check_tag(self, event: Any, kind: str) -> None:
        if event.tag not in (None, "!", _CORE + kind):
            raise _Refused("YAML tags are not supported", event.start_mark)

    def _sequence(self, events: Iterator[Any], path: Path) -> list[Any]:
        items: list[Any] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._node(event, events, (*path, len(items))))
        return items

    def _mapping(self, events: Iterator[Any], path: Path) -> dict[str, Any]:
        members: dict[str, Any] = {}
        merged: list[Any] = []
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent):
                raise _Refused("a key must be a scalar", event.start_mark)
            key, mark = event.value, _mark(event.start_mark)
            place = (*path, key)
            if key == "<<" and event.implicit[0]:
                merged.append((self._node(next(events), events, place), mark))
            elif key in members:
                self._duplicate(place, mark)
                # Parse it, but keep data and marks of the first.
                self._node(next(events), events, (*place, "duplicate"))
            else:
                self.marks.keys[place] = mark
                members[key] = self._node(next(events), events, place)
        for data, mark in merged:
            self._merge(members, data, mark, path)
        return members

    def _duplicate(self, place: Path, mark: Mark) -> None:
        line = self.marks.keys[place].line
        message = f"duplicate key (first on line {line})"
        self.problems.append(Problem(message=message, path=place, mark=mark))

    def _merge(self, members: dict[str, Any], data: Any, mark: Mark, path: Path) -> None:
        for part in data if isinstance(data, list) else [data]:
            if not isinstance(part, dict):
                message = "<< takes a mapping, or a list of mappings"
                self.problems.append(Problem(message=message, path=path, mark=mark))
                continue
            for key, value in part.items():
                members.setdefault(key, value)


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1) if mark is not None else Mark(1, 1)
