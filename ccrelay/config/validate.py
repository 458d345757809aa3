"""Validates plain data against the Structs: unknown keys, missing members, wrong types.

The conversion of msgspec stops at the first error. This one uses the same type description
(`msgspec.inspect`), reports all errors, and returns a draft with defaults in place of invalid
values, so that the semantic checks can run on the rest.
"""

import datetime
import re
from collections.abc import Collection
from typing import Any, Final, get_args

import msgspec
from msgspec import inspect

from ccrelay.config.examples import example
from ccrelay.config.model import Config, Preset, ProviderType
from ccrelay.config.problems import Path, Problem, quoted
from ccrelay.config.suggest import alias, closest, hint, misspelt, protocols, same_name
from ccrelay.config.wording import is_secret, shown

_BAD: Final = object()
_PROTOCOL_NOTE = (
    "; ccrelay speaks Anthropic's Messages API only: for another protocol, use the service's "
    "Anthropic-compatible URL"
)
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
    data: Any,
    expanded: frozenset[Path] = frozenset(),
    failed: frozenset[Path] = frozenset(),
    *,
    is_toml: bool = False,
) -> Validated:
    """Validate plain data.

    Args:
        data: content of the file, expanded.
        expanded: paths whose strings came from `${...}`.
        failed: those of them that could not be expanded, and already have a problem.
        is_toml: the format of the file, for examples in messages.
    """
    validator = _Validator(expanded, failed, is_toml)
    draft = validator.value(inspect.type_info(Config), {} if data is None else data, ())
    if draft is _BAD:
        draft = Config()
    invalid = (failed | validator.placeholders).union(
        problem.path for problem in validator.problems
    )
    unknown = frozenset(problem.path for problem in validator.problems if problem.on_key)
    return Validated(draft, validator.problems, invalid, unknown)


class _Validator:
    def __init__(self, expanded: frozenset[Path], failed: frozenset[Path], is_toml: bool) -> None:
        self.problems: list[Problem] = []
        self.placeholders: set[Path] = set()  # placeholders without a problem of their own
        self._expanded = expanded
        self._failed = failed
        self._is_toml = is_toml

    def value(self, kind: inspect.Type, value: Any, path: Path, expects: str = "") -> Any:
        """Return the value converted to its type, or `_BAD` after adding a problem."""
        if isinstance(kind, inspect.Metadata):
            expects = (kind.extra or {}).get("expects", "")
            return self.value(kind.type, value, path, expects)
        if isinstance(kind, inspect.UnionType):
            return self._union(kind, value, path)
        if isinstance(kind, inspect.StructType):
            return self._struct(kind, value, path)
        if isinstance(kind, inspect.ListType):
            return self._list(kind, value, path)
        if isinstance(kind, inspect.DictType):
            return self._dict(kind, value, path)
        if path in self._failed:
            return _BAD
        if path in self._expanded and not isinstance(kind, _TEXT):
            self._add("${...} works in text values only", path)
            return _BAD
        return self._scalar(kind, value, path, expects)

    def _struct(self, kind: inspect.StructType, value: Any, path: Path) -> Any:
        if not isinstance(value, dict):
            return self._shape_error("a mapping", value, path)
        known = {field.encode_name: field for field in kind.fields}
        unknown = [key for key in value if key not in known]
        for key in unknown:
            suggestion = self._suggestion(key, known, path) + self._example_for(key, known, path)
            self._add(f"unknown key{suggestion}", (*path, key), on_key=True)
        members: dict[str, Any] = {}
        for name, field in known.items():
            given = value.get(name, _BAD)
            if given is None and _is_section(field.type):
                continue  # a section with all lines commented out
            other = _alternative(field.type)
            needed = field.required or (other is not None and value.get(other) is None)
            if given is _BAD:
                result: Any = _BAD
                meant = [name] if other is None else [name, other]
                if needed and not any(closest(key, meant) for key in unknown):
                    written = self._written("keys") if name == "key" else ""
                    self._add(f"is missing{written}", (*path, name))
            else:
                result = self.value(field.type, given, (*path, name))
            if result is not _BAD:
                members[name] = result
            elif needed:
                self.placeholders.add((*path, name))
                members[name] = _placeholder(field.type)
        return kind.cls(**members)

    def _list(self, kind: inspect.ListType, value: Any, path: Path) -> Any:
        if not isinstance(value, list):
            self._shape_error("a list", value, path)
            if isinstance(kind.item_type, inspect.StructType) and isinstance(value, dict):
                self._entries(kind.item_type, value, path)
            return _BAD
        items = [self.value(kind.item_type, item, (*path, i)) for i, item in enumerate(value)]
        return [_placeholder(kind.item_type) if item is _BAD else item for item in items]

    def _entries(self, kind: inspect.StructType, value: dict[str, Any], path: Path) -> None:
        """Report the problems inside a mapping that should be a list of mappings."""
        known = [field.encode_name for field in kind.fields]
        if any(same_name(key, known) for key in value):  # a single entry
            self._struct(kind, value, path)
        elif "name" in known and all(isinstance(entry, dict) for entry in value.values()):
            for name, entry in value.items():
                self._struct(kind, {"name": name, **entry}, (*path, name))

    def _dict(self, kind: inspect.DictType, value: Any, path: Path) -> Any:
        if not isinstance(value, dict):
            return self._shape_error("a mapping", value, path)
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
                got = self._described(value, path)
                # With a form that only the checks know, quotes alone would not do.
                advice = "; put it in quotes" if kind.pattern or not expects else ""
                self._add(f"expected {expected}, got {got}{advice}", path)
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
        suggestion = ""
        if isinstance(value, str):
            suggestion = _kind_note(path, value) or hint(value, options)
        self._add(f"expected {expected}, got {self._described(value, path)}{suggestion}", path)
        return _BAD

    def _shape_error(self, expected: str, value: Any, path: Path) -> Any:
        """Report a value that is no list or mapping, with an example of the setting."""
        setting = next((part for part in reversed(path) if isinstance(part, str)), "")
        got = self._described(value, path)
        self._add(f"expected {expected}, got {got}{self._written(setting)}", path)
        return _BAD

    def _written(self, setting: str) -> str:
        """Return how a setting is written, to append to a message; "" when there is no example."""
        text = example(setting, is_toml=self._is_toml)
        return f"; write {text}" if text else ""

    def _described(self, value: Any, path: Path) -> str:
        if isinstance(value, str):
            if path in self._failed:
                return "text"
            return shown(path, value, is_expanded=path in self._expanded)
        if type(value) in (int, float) and is_secret(path):
            return "a number"
        return _describe(value)

    def _suggestion(self, key: str, known: dict[str, inspect.Field], path: Path) -> str:
        """Return a hint: the key under its name here, or in a section below, or spelt right.

        Or that it is a section of the whole file, such as `providers` within `server`.
        """
        meant = same_name(key, known) or alias(key, known)
        if meant is None:
            meant = next(
                (
                    f"{name}{dots}.{key}"
                    for name, field in known.items()
                    for section, dots in _sections(field.type)
                    if any(key == inner.encode_name for inner in section.fields)
                ),
                None,
            )
        meant = meant or misspelt(key, known)
        if meant is None and path and key in Config.__struct_fields__:
            return f'; "{key}" stands at the top level of the file'
        return f' (did you mean "{meant}"?)' if meant else ""

    def _example_for(self, key: str, known: dict[str, inspect.Field], path: Path) -> str:
        """Return how API keys are written, next to another name for them."""
        if closest(key, known) not in ("key", "keys") or "providers" not in path:
            return ""
        return self._written("keys")

    def _add(self, message: str, path: Path, *, on_key: bool = False) -> None:
        self.problems.append(Problem(message=message, path=path, on_key=on_key))


def _sections(kind: inspect.Type) -> list[tuple[inspect.StructType, str]]:
    """Return the section of a member, and "[]" when there is a list of them."""
    if isinstance(kind, inspect.Metadata):
        return _sections(kind.type)
    if isinstance(kind, inspect.ListType):
        return [(section, "[]") for section, _ in _sections(kind.item_type)]
    if isinstance(kind, inspect.UnionType):
        return [found for option in kind.types for found in _sections(option)]
    return [(kind, "")] if isinstance(kind, inspect.StructType) else []


def _kind_note(path: Path, value: str) -> str:
    """Return what is meant by a preset as type, by a type as preset, by another protocol."""
    if path[:1] != ("providers",) or path[-1] not in ("type", "preset"):
        return ""
    for other, names in (("type", get_args(ProviderType)), ("preset", get_args(Preset))):
        meant = value if value in names else alias(value, names)
        if other != path[-1] and meant:
            return f' (did you mean "{other}: {meant}"?)'
    return _PROTOCOL_NOTE if protocols(value) else ""


def _alternative(kind: inspect.Type) -> str | None:
    """Return the member that may stand in place of a member that is needed otherwise."""
    extra = kind.extra if isinstance(kind, inspect.Metadata) else None
    return (extra or {}).get("unless")


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
    """Describe a value that is no text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        # No setting is as large; digits alone may be a secret, too.
        return str(value) if abs(value) < 10**13 else "a larger number"
    for kinds, name in _NAMES:
        if isinstance(value, kinds):
            return name
    return "something else"


_NAMES: tuple[tuple[Any, str], ...] = (
    (dict, "a mapping"),
    (list, "a list"),
    ((datetime.date, datetime.time), "a date or time"),
)
