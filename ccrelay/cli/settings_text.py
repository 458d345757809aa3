"""Changes of single members in a JSON text with comments: every other byte stays. Pure.

    text = put(text, ("env", "ANTHROPIC_BASE_URL"), '"http://127.0.0.1:8787"')
    text = drop(text, ("env", "ANTHROPIC_BASE_URL"))

Understood are JSON, `//` and `/* */` comments, and a comma after the last member. What is put and
then dropped leaves the text as it was, but for the inside of an object that was empty.
"""

import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

DEPTH_MAX = 100
_GAP = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_OPEN_COMMENT = re.compile(r"(?:[ \t\r\n,]|//[^\n]*\n|/\*.*?\*/)*//[^\n]*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_WORD = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")


class SettingsError(ValueError):
    """The text cannot be read or changed. `str()` says where and why, without the text."""


class Member(NamedTuple):
    """A member of an object: offsets of its key, its value, and the comma behind it."""

    name: str
    start: int  # of the key
    value: int  # start of the value
    end: int  # of the value
    comma: int  # offset of the comma; -1: there is none


class Group(NamedTuple):
    """An object: offsets of its braces, and its members."""

    start: int
    end: int  # of the closing brace
    members: list[Member]

    def find(self, name: str) -> Member | None:
        """Return the member that counts: of several with a name the last one."""
        return next((one for one in reversed(self.members) if one.name == name), None)


class _Reader:
    """Reads a text once, from its beginning."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, what: str) -> SettingsError:
        line = self.text.count("\n", 0, self.at) + 1
        column = self.at - (self.text.rfind("\n", 0, self.at) + 1) + 1
        return SettingsError(f"line {line}, column {column}: {what}")

    def gap(self) -> None:
        found = _GAP.match(self.text, self.at)
        assert found is not None  # it matches nothing, too
        self.at = found.end()

    def is_next(self, sign: str) -> bool:
        return self.text.startswith(sign, self.at)

    def string(self) -> str:
        found = _STRING.match(self.text, self.at)
        if found is None:
            raise self.fail("a text in double quotes is expected")
        try:
            value = json.loads(found[0])
        except ValueError:
            raise self.fail("this text has an invalid escape") from None
        self.at = found.end()
        return str(value)

    def value(self, depth: int) -> None:
        if depth > DEPTH_MAX:
            raise self.fail("objects are nested too deep")
        if self.is_next("{"):
            self.group(depth)
        elif self.is_next("["):
            self.array(depth)
        elif self.is_next('"'):
            self.string()
        elif (found := _WORD.match(self.text, self.at)) is not None:
            self.at = found.end()
        else:
            raise self.fail("a value is expected")

    def array(self, depth: int) -> None:
        self.at += 1
        self.gap()
        while not self.is_next("]"):
            self.value(depth + 1)
            self.comma("]")
        self.at += 1

    def comma(self, closing: str) -> int:
        """Read to behind a comma, or to the closing sign; return the offset of the comma, or -1."""
        self.gap()
        if self.is_next(","):
            at = self.at
            self.at += 1
            self.gap()
            return at
        if not self.is_next(closing):
            raise self.fail(f"a comma or {closing} is expected")
        return -1

    def group(self, depth: int) -> Group:
        start = self.at
        self.at += 1
        self.gap()
        members = []
        while not self.is_next("}"):
            key = self.at
            name = self.string()
            self.gap()
            if not self.is_next(":"):
                raise self.fail("a colon is expected")
            self.at += 1
            self.gap()
            value = self.at
            self.value(depth + 1)
            end = self.at
            members.append(Member(name, key, value, end, self.comma("}")))
        self.at += 1
        return Group(start, self.at - 1, members)


@cache
def read(text: str) -> Group:
    """Return the object that the text is; not to be changed. Raises SettingsError.

    One change of a file asks dozens of times for the same few texts.
    """
    reader = _Reader(text)
    if reader.is_next("\ufeff"):
        reader.at = 1
    reader.gap()
    if not reader.is_next("{"):
        raise reader.fail("an object in braces is expected")
    found = reader.group(0)
    reader.gap()
    if reader.at != len(text):
        raise reader.fail("nothing is expected after the object")
    return found


def get(text: str, path: Sequence[str]) -> str | None:
    """Return the text of the value at a path; None: there is none. Raises SettingsError."""
    group: Group | None = read(text)
    for number, name in enumerate(path, 1):
        member = group.find(name) if group is not None else None
        if member is None:
            return None
        if number == len(path):
            return text[member.value : member.end]
        group = _inner(text, member)
    return None


def _inner(text: str, member: Member) -> Group | None:
    """The object that a member's value is; None: it is something else."""
    reader = _Reader(text)
    reader.at = member.value
    return reader.group(0) if reader.is_next("{") else None


def plain(value: str | None) -> Any:
    """Return the value of a JSON text with comments, for comparison; None: there is none.

    Raises SettingsError.
    """
    if value is None:
        return None
    if value[:1] not in "{[":
        return json.loads(value)
    return json.loads(_without_comments(value))


def _without_comments(text: str) -> str:
    kept = re.sub(
        rf"({_STRING.pattern})|//[^\n]*|/\*.*?\*/",
        lambda found: found[1] or " ",
        text,
        flags=re.DOTALL,
    )
    return re.sub(
        rf"({_STRING.pattern})|,(?=\s*[}}\]])",
        lambda found: found[1] or "",
        kept,
    )


def put(text: str, path: Sequence[str], value: str) -> str:
    """Return the text with a value at a path; objects on the way are made.

    Raises:
        SettingsError: the text cannot be read, or something on the way is no object.
    """
    group = read(text)
    for number, name in enumerate(path, 1):
        member = group.find(name)
        if member is None:
            return _insert(text, group, path[number - 1 :], value)
        if number == len(path):
            return text[: member.value] + value + text[member.end :]
        inner = _inner(text, member)
        if inner is None:
            raise SettingsError(f"{'.'.join(path[:number])} is no object")
        group = inner
    raise SettingsError("the path is empty")


def _insert(text: str, group: Group, path: Sequence[str], value: str) -> str:
    """Add a member behind the last one, in the style of the text."""
    newline = "\r\n" if "\r\n" in text else "\n"
    indent = _indent_of_members(text, group)
    step = _step(text)
    outer = _line_indent(text, group.start)
    if indent is None:
        indent = outer + step
    new = _nested(path, value, indent, step, newline)
    if not group.members:
        inside = text[group.start + 1 : group.end].rstrip(" \t\r\n")
        return (
            f"{text[: group.start + 1]}{inside}{newline}{indent}{new}{newline}{outer}"
            + (text[group.end :])
        )
    last = group.members[-1]
    if last.comma >= 0:  # a comma after the last member is the style here
        at = _after_comment(text, last.comma + 1)
        return f"{text[:at]}{newline}{indent}{new},{text[at:]}"
    at = _after_comment(text, last.end)
    return f"{text[: last.end]},{text[last.end : at]}{newline}{indent}{new}{text[at:]}"


def _nested(path: Sequence[str], value: str, indent: str, step: str, newline: str) -> str:
    name, *rest = path
    if rest:
        inner = _nested(rest, value, indent + step, step, newline)
        value = f"{{{newline}{indent}{step}{inner}{newline}{indent}}}"
    return f"{json.dumps(name)}: {value}"


def _after_comment(text: str, at: int) -> int:
    """The end of a comment that stands behind a member, on its line."""
    found = re.compile(r"[ \t]*(?://[^\r\n]*|/\*[^\r\n]*?\*/)").match(text, at)
    return found.end() if found else at


def _indent_of_members(text: str, group: Group) -> str | None:
    """The indent of the last member that begins a line."""
    for member in reversed(group.members):
        before = text[text.rfind("\n", 0, member.start) + 1 : member.start]
        if "\n" in text[group.start : member.start] and not before.strip(" \t"):
            return before
    return None


def _line_indent(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at].lstrip("\ufeff")
    return line[: len(line) - len(line.lstrip(" \t"))]


def _step(text: str) -> str:
    found = re.search(r"\n([ \t]+)[\"/]", text)
    return found[1] if found else "  "


def drop(text: str, path: Sequence[str]) -> str:
    """Return the text without the member at a path; as it is, where there is none.

    Raises SettingsError.
    """
    group = read(text)
    for name in path[:-1]:
        member = group.find(name)
        inner = _inner(text, member) if member is not None else None
        if inner is None:
            return text
        group = inner
    member = group.find(path[-1])
    return text if member is None else _remove(text, group, member)


def _remove(text: str, group: Group, member: Member) -> str:
    index = group.members.index(member)
    end = member.comma + 1 if member.comma >= 0 else member.end
    if index == 0:
        start = group.start + 1
        if len(group.members) == 1:
            return _close(text, start, member.start, end, group.end)
        gap = re.compile(r"[ \t]*\r?\n[ \t]*|[ \t]+").match(text, end)
        return text[: member.start] + text[gap.end() if gap else end :]
    gap = re.compile(r"(?:\r?\n)?[ \t]*\Z").search(text[: member.start])
    before = text[: gap.start() if gap else member.start]
    rest = text[end:]
    previous = group.members[index - 1]
    if member.comma < 0:  # it was the last one, and so is the one before now
        before = before[: previous.comma] + before[previous.comma + 1 :]
    return _joined(before, previous.end, rest)


def _joined(before: str, gap: int, rest: str) -> str:
    """Put two parts of a text together so that a comment does not swallow what follows.

    Args:
        before: the first part, whose last line end may have been taken out.
        gap: offset in it behind which there are only commas, space and comments.
        rest: the second part.
    """
    is_comment = _OPEN_COMMENT.fullmatch(before, gap) is not None
    if is_comment and not rest.lstrip(" \t").startswith(("\n", "\r\n", "//")):
        return f"{before}\n{rest}"
    return before + rest


def _close(text: str, start: int, key: int, end: int, closing: int) -> str:
    """Take out the only member: comments around it stay."""
    before = text[start:key].rstrip(" \t\r\n")
    after = text[end:closing]
    if not before and not after.strip(" \t\r\n"):
        return text[:start] + text[closing:]
    return _joined(text[:start] + before, start, after + text[closing:])
