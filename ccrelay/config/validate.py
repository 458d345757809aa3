"""Validates plain data against the Structs: unknown keys, missing members, wrong types.

The conversion of msgspec stops at the first error. This one uses the same type description
(`msgspec.inspect`), reports all errors, and returns a draft with defaults in place of invalid
values, so that the semantic checks can run on the rest.
"""

import datetime
import re
from collections.abc import Collection
from typing import Any, Final

import msgspec
from msgspec import inspect

from ccrelay.config.model import Config
from ccrelay.config.problems import Path, Problem, quoted
from ccrelay.config.suggest import closest, hint

_BAD: Final = object()
_TEXT: Final = (inspect.StrType, inspect.LiteralType)


class Validated(msgspec.Struct, frozen=True):
    """A draft with defaults in place of invalid values, the problems, and the invalid paths.

    `unknown`: those of the invalid paths that are unknown keys.
    """

    draft: Config
    problems: list[Problem]
    invalid: frozenset[Path]
    unknown: frozenset[Path]


def validate(
    data: Any, expanded: frozenset[Path] = frozenset(), failed: frozenset[Path] = frozenset()
) -> Validated:
    """Validate plain data.

    Args:
        data: content of the file, expanded.
        expanded: paths whose strings came from `${...}`.
        failed: those of them that could not be expanded, and already have a problem.
    """
    validator = _Validator(expanded, failed)
    draft = validator.value(inspect.type_info(Config), {} if data is None else data, ())
    if draft is _BAD:
        draft = Config()
    invalid = (failed | validator.placeholders).union(
        problem.path for problem in validator.problems
    )
    unknown = frozenset(problem.path for problem in validator.problems if problem.on_key)
    return Validated(draft, validator.problems, invalid, unknown)


class _Validator:
    def __init__(self, expanded: frozenset[Path], failed: frozenset[Path]) -> None:
        self.problems: list[Problem] = []
        self.placeholders: set[Path] = set()  # placeholders without a problem of their own
        self._expanded = expanded
        self._failed = failed

    def value(self, kind: inspect.Type, value: Any, path: Path, expects: str = "") -> Any:
        """Return the value converted to its type, or `_BAD` after adding a problem."""
        if isinstance(kind, inspect.Metadata):
            expects = (kind.extra or {}).get("expects", "")
            return self.value(kind.type, value, path, expects)
        if isinstance(kind, inspect.UnionType):
            return self._union(kind, value, path)
        if path in self._failed:
            return _BAD
        if path in self._expanded and not isinstance(kind, _TEXT):
            self._add("${...} works in text values only", path)
            return _BAD
        if isinstance(kind, inspect.StructType):
            return self._struct(kind, value, path)
        if isinstance(kind, inspect.ListType):
            return self._list(kind, value, path)
        if isinstance(kind, inspect.DictType):
            return self._dict(kind, value, path)
        return self._scalar(kind, value, path, expects)

    def _struct(self, kind: inspect.StructType, value: Any, path: Path) -> Any:
        if not isinstance(value, dict):
            return self._type_error("a mapping", value, path)
        known = {field.encode_name: field for field in kind.fields}
        unknown = [key for key in value if key not in known]
        for key in unknown:
            self._add(f"unknown key{self._suggestion(key, known, path)}", (*path, key), on_key=True)
        members: dict[str, Any] = {}
        for name, field in known.items():
            given = value.get(name, _BAD)
            if given is None and _is_section(field.type):
                continue  # a section with all lines commented out
            if given is _BAD:
                result: Any = _BAD
                if field.required and not any(closest(key, [name]) for key in unknown):
                    self._add("is missing", (*path, name))
            else:
                result = self.value(field.type, given, (*path, name))
            if result is not _BAD:
                members[name] = result
            elif field.required:
                self.placeholders.add((*path, name))
                members[name] = _placeholder(field.type)
        return kind.cls(**members)

    def _list(self, kind: inspect.ListType, value: Any, path: Path) -> Any:
        if not isinstance(value, list):
            return self._type_error("a list", value, path)
        items = [self.value(kind.item_type, item, (*path, i)) for i, item in enumerate(value)]
        return [_placeholder(kind.item_type) if item is _BAD else item for item in items]

    def _dict(self, kind: inspect.DictType, value: Any, path: Path) -> Any:
        if not isinstance(value, dict):
            return self._type_error("a mapping", value, path)
        members = {k: self.value(kind.value_type, v, (*path, k)) for k, v in value.items()}
        return {k: _placeholder(kind.value_type) if v is _BAD else v for k, v in members.items()}

    def _union(self, kind: inspect.UnionType, value: Any, path: Path) -> Any:
        """Choose by type of value: the model has at most None, one scalar and one container."""
        options = [option for option in kind.types if not isinstance(option, inspect.NoneType)]
        if value is None and len(options) < len(kind.types):
            return None
        for option in options:
            if isinstance(value, dict) == isinstance(option, inspect.StructType):
                return self.value(option, value, path)
        return self.value(options[0], value, path)

    def _scalar(self, kind: inspect.Type, value: Any, path: Path, expects: str) -> Any:
        expected = expects or _expected(kind)
        if isinstance(kind, inspect.LiteralType):
            fits = isinstance(value, str) and value in kind.values
            options = [str(option) for option in kind.values]
            return value if fits else self._type_error(expected, value, path, options)
        if isinstance(kind, inspect.BoolType):
            fits = isinstance(value, bool)
            return value if fits else self._type_error(expected, value, path, ["true", "false"])
        if isinstance(kind, inspect.StrType):
            if type(value) in (bool, int, float):
                got = _describe(value) if isinstance(value, bool) else "a number"
                self._add(f"expected {expected}, got {got}; put it in quotes", path)
                return _BAD
            fits = isinstance(value, str) and _string_fits(kind, value)
        elif isinstance(kind, inspect.IntType):
            fits = type(value) is int and _number_fits(kind, value)
        else:
            assert isinstance(kind, inspect.FloatType), f"no rule for {kind}"
            fits = type(value) in (int, float) and _number_fits(kind, value)
        return value if fits else self._type_error(expected, value, path)

    def _type_error(
        self, expected: str, value: Any, path: Path, options: Collection[str] = ()
    ) -> Any:
        suggestion = hint(value, options) if isinstance(value, str) else ""
        self._add(f"expected {expected}, got {_describe(value)}{suggestion}", path)
        return _BAD

    def _suggestion(self, key: str, known: dict[str, inspect.Field], path: Path) -> str:
        options = hint(key, known)
        if options or path:
            return options
        for field in known.values():  # a key written one level too high
            if isinstance(field.type, inspect.Metadata) and _is_section(field.type):
                section = field.type.type
                assert isinstance(section, inspect.StructType)
                if any(key == inner.encode_name for inner in section.fields):
                    return f' (did you mean "{field.encode_name}.{key}"?)'
        return ""

    def _add(self, message: str, path: Path, *, on_key: bool = False) -> None:
        self.problems.append(Problem(message=message, path=path, on_key=on_key))


def _is_section(kind: inspect.Type) -> bool:
    inner = kind.type if isinstance(kind, inspect.Metadata) else kind
    return isinstance(inner, inspect.StructType)


def _placeholder(kind: inspect.Type) -> Any:
    """Return a value of the type in place of an invalid one; the checks ignore it."""
    if isinstance(kind, inspect.Metadata):
        return _placeholder(kind.type)
    if isinstance(kind, inspect.UnionType):
        return _placeholder(kind.types[0])
    if isinstance(kind, inspect.StructType):
        return kind.cls(**{f.encode_name: _placeholder(f.type) for f in kind.fields if f.required})
    if isinstance(kind, inspect.ListType):
        return []
    return 0.0 if isinstance(kind, inspect.FloatType) else ""


def _string_fits(kind: inspect.StrType, value: str) -> bool:
    if kind.min_length is not None and len(value) < kind.min_length:
        return False
    return kind.pattern is None or re.search(kind.pattern, value) is not None


def _number_fits(kind: inspect.IntType | inspect.FloatType, value: float) -> bool:
    # NaN, for which every comparison is false, must not pass.
    above = (kind.ge is None or value >= kind.ge) and (kind.gt is None or value > kind.gt)
    return above and (kind.le is None or value <= kind.le)


def _expected(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.LiteralType):
        return "one of " + ", ".join(quoted(str(option)) for option in kind.values)
    if isinstance(kind, inspect.StrType):
        return "non-empty text" if kind.min_length else "text"
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    if isinstance(kind, inspect.IntType):
        return "an integer" + _range(kind)
    assert isinstance(kind, inspect.FloatType), f"no rule for {kind}"
    return "a number" + _range(kind)


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is None and kind.gt is None:
        return ""
    low = f"from {kind.ge:,}" if kind.ge is not None else f"above {kind.gt:,} and"
    return f" {low} up to {kind.le:,}" if kind.le is not None else f" {low} up"


def _describe(value: Any) -> str:
    """Describe a value without showing text, which may be a secret."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return str(value) if abs(value) < 1 << 64 else "a larger number"
    for kinds, name in _NAMES:
        if isinstance(value, kinds):
            return "empty text" if value == "" else name
    return "something else"


_NAMES: tuple[tuple[Any, str], ...] = (
    (str, "text"),
    (dict, "a mapping"),
    (list, "a list"),
    ((datetime.date, datetime.time), "a date or time"),
)
