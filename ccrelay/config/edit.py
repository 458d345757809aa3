"""Sets `enabled` and `weight` of providers and keys in the text of a configuration file.

The smallest edit: a value is replaced where it stands, or one member is added; comments, anchors,
order and indentation stay. The result is parsed, and has to differ in the wanted values only;
otherwise nothing is edited.

Pure.
"""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from ccrelay.config.overrides import Setting
from ccrelay.config.problems import Document, Mark, Marks, Path, path_text
from ccrelay.config.yaml_tree import Node, yaml_tree

_TOML_ATOM = re.compile(r"[^,\]}#\r\n]*[^,\]}#\r\n \t]")


class Edit(NamedTuple):
    """One value to set.

    Args:
        provider: index in `providers`.
        key: index in its `keys`; None: the provider's own setting.
        setting: `enabled` or `weight`.
        value: the new value; 0 and 1 for `enabled`.
    """

    provider: int
    key: int | None
    setting: Setting
    value: int

    @property
    def section(self) -> Path:
        """Place of the mapping that has the setting."""
        if self.key is None:
            return ("providers", self.provider)
        return ("providers", self.provider, "keys", self.key)

    @property
    def data(self) -> bool | int:
        """The value as it is parsed."""
        return bool(self.value) if self.setting == "enabled" else self.value

    @property
    def text(self) -> str:
        """The value as it is written."""
        return str(self.data).lower()


class CannotEdit(ValueError):
    """The text cannot be edited without changing more; the message says what to write by hand."""


def edited(text: str, edits: Iterable[Edit], *, is_toml: bool) -> str:
    """Return the text with the values set.

    Args:
        text: a valid configuration.
        edits: what to set, at most once for each value.
        is_toml: else YAML.

    Raises:
        CannotEdit: an edit would change more, or the text is not valid.
    """
    for edit in edits:
        text = _with(text, edit, is_toml=is_toml)
    return text


def _with(text: str, edit: Edit, *, is_toml: bool) -> str:
    before = _parse(text, is_toml=is_toml)
    place = _find(before.data, edit.section)
    if before.problems or not isinstance(place, dict):
        raise _refusal(edit)
    if _same(place.get(edit.setting), edit.data):
        return text
    try:
        result = (_toml_edit if is_toml else _yaml_edit)(text, edit)
    except (LookupError, ValueError):
        raise _refusal(edit) from None
    after = _parse(result, is_toml=is_toml)
    if after.problems or not _same(after.data, _expected(before.data, edit)):
        raise _refusal(edit)
    return result


def _refusal(edit: Edit) -> CannotEdit:
    return CannotEdit(
        f"The file cannot be edited here without changing more: set {edit.setting} to {edit.text} "
        f"in {path_text(edit.section)} by hand."
    )


def _parse(text: str, *, is_toml: bool) -> Document:
    if is_toml:
        from ccrelay.config.toml_marks import parse_toml

        return parse_toml(text)
    from ccrelay.config.yaml_marks import parse_yaml

    return parse_yaml(text)


def _find(data: Any, path: Path) -> Any:
    for part in path:
        try:
            data = data[part]
        except (LookupError, TypeError):
            return None
    return data


def _expected(data: Any, edit: Edit) -> Any:
    """A copy of the data with the value set; what aliases share is copied for each."""

    def copy(value: Any, way: Path | None) -> Any:
        if isinstance(value, dict):
            made = {name: copy(one, _along(way, name)) for name, one in value.items()}
            if way == ():
                made[edit.setting] = edit.data
            return made
        if isinstance(value, list):
            return [copy(one, _along(way, index)) for index, one in enumerate(value)]
        return value

    return copy(data, edit.section)


def _along(way: Path | None, step: str | int) -> Path | None:
    return way[1:] if way and way[0] == step else None


def _same(one: Any, other: Any) -> bool:
    """Whether data is equal, types and order of members included; True is not 1, NaN is NaN.

    The order of a member that was added does not matter.
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        both = [name for name in one if name in other]
        return (
            one.keys() == other.keys()
            and _without_settings(both) == _without_settings(name for name in other if name in one)
            and all(_same(one[name], other[name]) for name in one)
        )
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return repr(one) == repr(other)


def _without_settings(names: Iterable[str]) -> list[str]:
    return [name for name in names if name not in ("enabled", "weight")]


# ---- YAML


def _yaml_edit(text: str, edit: Edit) -> str:
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix("\ufeff")
    node = _yaml_node(text, edit.section)
    for key, value in node.members():
        if key.kind == "scalar" and key.text == edit.setting:
            return bom + _replaced(text, value, edit.text)
    return bom + (_added_in_flow if node.is_flow else _added_in_block)(text, node, edit)


def _yaml_node(text: str, path: Path) -> Node:
    """The mapping at a place. Raises LookupError, ValueError."""
    node = yaml_tree(text)
    for part in path:
        node = node.resolved()
        if isinstance(part, int):
            node = node.items[part]
        else:
            node = {key.text: value for key, value in node.members()}[part]
    return node.resolved()


def _replaced(text: str, value: Node, new: str) -> str:
    start = value.start
    if value.has_properties:
        # An anchor stays; whether its aliases may change, the comparison tells.
        while text[start : start + 1] in ("&", "!"):
            start = _after_space(text, _after_word(text, start))
        start = min(start, value.end)
    space = " " if start == value.end and value.start == value.end else ""  # `enabled:`
    return text[:start] + space + new + text[value.end :]


def _after_word(text: str, at: int) -> int:
    found = re.compile(r"\S*").match(text, at)
    return found.end() if found else at


def _after_space(text: str, at: int) -> int:
    found = re.compile(r"[ \t]*").match(text, at)
    return found.end() if found else at


def _added_in_flow(text: str, node: Node, edit: Edit) -> str:
    members = node.members()
    name = f'"{edit.setting}"' if members and members[0][0].is_quoted else edit.setting
    if not members:
        at = text.index("{", node.start) + 1
        return f"{text[:at]}{name}: {edit.text}{text[at:]}"
    at = members[-1][1].end
    return f"{text[:at]}, {name}: {edit.text}{text[at:]}"


def _added_in_block(text: str, node: Node, edit: Edit) -> str:
    members = node.members()
    indent = " " * members[0][0].column
    member = f"{edit.setting}: {edit.text}"
    end_of_line = "\r\n" if "\r\n" in text else "\n"
    for (_, value), following in zip(members, [*members[1:], None], strict=True):
        if value.kind not in ("scalar", "alias") or value.is_block_text:
            continue
        line_end = _line_end(text, value.end)
        # What follows the value on its line is a comment, or nothing.
        if following is None or following[0].start > line_end:
            return f"{text[:line_end]}{end_of_line}{indent}{member}{text[line_end:]}"
    at = members[0][0].start
    return f"{text[:at]}{member}{end_of_line}{indent}{text[at:]}"


def _line_end(text: str, at: int) -> int:
    """Offset of the end of a line, before its line break."""
    found = re.compile(r"[^\r\n]*").match(text, at)
    return found.end() if found else len(text)


# ---- TOML


def _toml_edit(text: str, edit: Edit) -> str:
    from ccrelay.config.toml_marks import parse_toml

    marks = parse_toml(text).marks
    place = (*edit.section, edit.setting)
    if place in marks.values:
        start = _offset(text, marks.values[place])
        found = _TOML_ATOM.match(text, start)
        if found is None or text[start] in "\"'[{":
            raise ValueError("no plain value")
        return text[:start] + edit.text + text[found.end() :]
    start = _offset(text, marks.values[edit.section])
    if text[start] == "{":
        return _added_inline(text, start, edit)
    if text[start] != "[":
        raise ValueError("no table of its own")  # implied by dotted keys
    line_end = _line_end(text, start)
    indent = _indent_of_members(text, marks, edit.section, start)
    end_of_line = "\r\n" if text[line_end : line_end + 2] == "\r\n" else "\n"
    line = f"{end_of_line}{indent}{edit.setting} = {edit.text}"
    return text[:line_end] + line + text[line_end:]


def _added_inline(text: str, start: int, edit: Edit) -> str:
    at = start + 1
    rest = text[_after_space(text, at) :]
    member = f"{edit.setting} = {edit.text}"
    space = text[at : _after_space(text, at)]
    if rest.startswith("}"):
        return f"{text[:at]} {member} {rest}"
    return f"{text[:at]}{space}{member}, {rest}"


def _indent_of_members(text: str, marks: Marks, section: Path, header: int) -> str:
    """The indentation of the table's first own member, else of its header."""
    starts = [
        _offset(text, mark)
        for path, mark in marks.keys.items()
        if len(path) == len(section) + 1 and path[:-1] == section
    ]
    at = min((start for start in starts if start > header), default=header)
    line = text.rfind("\n", 0, at) + 1
    before = text[line:at]
    return before if not before.strip() else ""


def _offset(text: str, mark: Mark) -> int:
    at = 0
    for _ in range(mark.line - 1):
        at = text.index("\n", at) + 1
    return at + mark.column - 1
