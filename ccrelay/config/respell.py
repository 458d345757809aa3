"""Corrects misspelt names of sections, so that what stands in them is checked, too.

A misspelt name is an error; its content is validated under the name that is probably meant.
"""

from typing import Any

from msgspec import inspect

from ccrelay.config.model import Config
from ccrelay.config.problems import Marks, Path, Problem
from ccrelay.config.suggest import misspelt

_RENAMED_MAX = 100  # each costs a walk over the marks of the document


def respell(data: Any, marks: Marks) -> list[Problem]:
    """Rename misspelt sections and lists in `data` and in its `marks`; one problem for each.

    Only where the name that is meant is not used itself, and both are a mapping or a list.
    """
    walker = _Walker(marks)
    walker.walk(inspect.type_info(Config), data, ())
    return walker.problems


class _Walker:
    def __init__(self, marks: Marks) -> None:
        self.problems: list[Problem] = []
        self._marks = marks

    def walk(self, kind: inspect.Type, value: Any, path: Path) -> None:
        if isinstance(kind, inspect.Metadata):
            self.walk(kind.type, value, path)
        elif isinstance(kind, inspect.UnionType):
            for option in kind.types:
                self.walk(option, value, path)
        elif _has_shape(kind, value):
            self._inside(kind, value, path)

    def _inside(self, kind: inspect.Type, value: Any, path: Path) -> None:
        if isinstance(kind, inspect.StructType):
            self._struct(kind, value, path)
        elif isinstance(kind, inspect.ListType):
            for index, item in enumerate(value):
                self.walk(kind.item_type, item, (*path, index))
        elif isinstance(kind, inspect.DictType):
            for key, item in value.items():
                self.walk(kind.value_type, item, (*path, key))

    def _struct(self, kind: inspect.StructType, value: dict[str, Any], path: Path) -> None:
        known = {field.encode_name: field for field in kind.fields}
        for key in [key for key in value if key not in known]:
            meant = misspelt(key, known)
            if (
                meant is not None
                and meant not in value
                and isinstance(value[key], dict | list)
                and _takes_container(known[meant].type)
            ):
                self._rename(value, key, meant, path)
        for name, field in known.items():
            if name in value:
                self.walk(field.type, value[name], (*path, name))

    def _rename(self, value: dict[str, Any], key: str, meant: str, path: Path) -> None:
        if len(self.problems) >= _RENAMED_MAX:
            return
        old, new = (*path, key), (*path, meant)
        message = f'unknown key (did you mean "{meant}"?)'
        mark = self._marks.at(old, on_key=True)
        self.problems.append(Problem(message=message, path=old, on_key=True, mark=mark))
        value[meant] = value.pop(key)
        self._marks.rename(old, new)


def _takes_container(kind: inspect.Type) -> bool:
    return _has_shape(kind, {}) or _has_shape(kind, [])


def _has_shape(kind: inspect.Type, value: Any) -> bool:
    """Whether both are mappings, or both are lists."""
    if isinstance(kind, inspect.Metadata):
        return _has_shape(kind.type, value)
    if isinstance(kind, inspect.UnionType):
        return any(_has_shape(option, value) for option in kind.types)
    if isinstance(kind, inspect.StructType | inspect.DictType):
        return isinstance(value, dict)
    return isinstance(kind, inspect.ListType) and isinstance(value, list)
