"""Edits of a body's members and tools by a `Plan`, and what is noted on the way.

Every value that no row of the table names keeps its bytes. A value is decoded only where the name
that a row looks for occurs in its bytes.
"""

from collections.abc import Callable, Iterable

from msgspec import Raw

from ccrelay.errors import CannotServe
from ccrelay.providers.bridge_features import BY_NAME
from ccrelay.providers.bridge_peek import Peek, looker
from ccrelay.providers.bridge_plan import Part, Plan
from ccrelay.wire.bodies import (
    Members,
    drop_members,
    first_byte,
    map_items,
    map_member,
    read_items,
    read_members,
    read_type,
    write,
)

ADAPTIVE = Raw(b'{"type":"adaptive"}')
_NOTHING = frozenset({b"null", b"[]", b"{}", b'""'})
_LITERAL = ord("n")
# Longer values are not compared with a word, nor copied for it.
_SHORT = 64


class Report:
    """What the edits of one request have found.

    Args:
        betas: those that the client sent.
    """

    def __init__(self, betas: Iterable[str]) -> None:
        self.betas = frozenset(betas)
        self.left_out: dict[str, None] = {}  # an ordered set of features
        self.present: set[str] = set()  # features whose part in the body is kept
        self.loaded: set[str] = set()  # tools that a dropped block had loaded, by name
        self.referenced = False  # a block refers to a tool by name

    def leave_out(self, feature: str) -> None:
        """Note a feature that is left out."""
        self.left_out[feature] = None

    def applies(self, part: Part) -> bool:
        """Whether a part that is dropped under conditions is dropped here."""
        return not part.when or not self.betas.isdisjoint(part.when)


def refuse(feature: str, what: str) -> CannotServe:
    """The error for a request that needs what a provider lacks."""
    found = BY_NAME.get(feature)
    needed = found.needed if found and found.needed else f"`{what}`"
    return CannotServe(
        f"This request needs {needed}, which no provider that is available to it has."
    )


def is_nothing(value: Raw) -> bool:
    """Whether a value asks for nothing: null, or empty."""
    view = memoryview(value)
    return len(view) <= 4 and bytes(view) in _NOTHING


# --- members ----------------------------------------------------------------------------------


def edit_members(top: Members, plan: Plan, report: Report) -> None:
    """Edit the members of a body, without `messages` and `tools`.

    Raises:
        CannotServe: the surface lacks what a member asks for.
    """
    for name in list(top):
        part = plan.members.get(name)
        if part is not None:
            _edit_member(top, name, part, report)
        elif plan.strict and name not in plan.allowed:
            _leave(top, name, f"member:{name}", report)
    _edit_values(top, plan, report)
    for name, parts in plan.inner.items():
        if name in top:
            _edit_inner(top, name, parts, report)
    if plan.edits and "context_management" in top:
        _edit_context(top, plan, report)
    if "context_management" in top:
        report.present.add("context_management")


def _edit_member(top: Members, name: str, part: Part, report: Report) -> None:
    if part.action == "move":
        _move(top, name, part.to)
    elif part.action == "refuse":
        if not is_nothing(top[name]):
            raise refuse(part.feature, name)
        del top[name]
    elif part.action == "drop":
        _leave(top, name, part.feature, report)


def _leave(top: Members, name: str, feature: str, report: Report) -> None:
    if not is_nothing(top.pop(name)):
        report.leave_out(feature)


def _move(top: Members, name: str, to: str) -> None:
    value = top.pop(name)
    outer, _, inner = to.partition(".")
    if is_nothing(value):
        return
    members = read_members(top[outer]) if outer in top else {}
    if members is None or inner in members:
        return
    members[inner] = value
    top[outer] = write(members)


def _edit_values(top: Members, plan: Plan, report: Report) -> None:
    for (name, word), part in plan.valued.items():
        if name not in top or _word(top[name]) != word:
            continue
        if part.action == "rewrite":
            top[name] = ADAPTIVE
        else:
            del top[name]
            if word != "disabled":
                _stop_clearing(top)
        report.leave_out(part.feature)


def _word(value: Raw) -> str | None:
    """The `type` of an object, or the text of a short string."""
    kind = read_type(value)
    if kind is not None:
        return kind
    view = memoryview(value)
    if first_byte(value) != ord('"') or len(view) > _SHORT:
        return None
    return bytes(view[1:-1]).decode("utf-8", "replace")


def _edit_inner(top: Members, name: str, parts: dict[str, Part], report: Report) -> None:
    members = read_members(top[name])
    if members is None:
        return
    found = [inner for inner in parts if inner in members and report.applies(parts[inner])]
    for inner in found:
        part = parts[inner]
        if part.action == "refuse" and not is_nothing(members[inner]):
            raise refuse(part.feature, f"{name}.{inner}")
        del members[inner]
        report.leave_out(part.feature)
    if not found:
        return
    if members:
        top[name] = write(members)
    else:
        del top[name]


# --- context management -----------------------------------------------------------------------


def _edit_context(top: Members, plan: Plan, report: Report) -> None:
    def edit(raw: Raw) -> Raw | None:
        kind = read_type(raw) or ""
        part = longest(plan.edits, kind)
        if part is None or part.action == "keep":
            return raw
        report.leave_out(part.feature)
        return None

    _set_edits(top, lambda edits: map_items(edits, edit))
    if plan.strict and "context_management" in top and _clears_nothing(top["context_management"]):
        del top["context_management"]


def _clears_nothing(management: Raw) -> bool:
    """Whether it has no edits: a strict surface may not take the member, which asks for nothing."""
    members = {} if is_nothing(management) else read_members(management)
    if members is None or members.keys() - {"edits"}:
        return False
    edits = members.get("edits", Raw(b"null"))
    return is_nothing(edits) or read_items(edits) == []


def _stop_clearing(top: Members) -> None:
    """Remove the edits that need thinking."""
    if "context_management" in top:
        _set_edits(
            top,
            lambda edits: map_items(
                edits,
                lambda raw: None if (read_type(raw) or "").startswith("clear_thinking_") else raw,
            ),
        )


def _set_edits(top: Members, change: Callable[[Raw], Raw]) -> None:
    """Change the edits; without any, the member goes."""
    management = map_member(top["context_management"], "edits", change)
    if management is top["context_management"]:
        return
    members = read_members(management)
    if members is not None and "edits" in members and read_items(members["edits"]) == []:
        del members["edits"]
        management = write(members)
    if members:
        top["context_management"] = management
    else:
        drop_members(top, ("context_management",))


def longest(parts: tuple[tuple[str, Part], ...], kind: str) -> Part | None:
    """The part with the longest beginning of a type."""
    for start, part in parts:
        if kind.startswith(start):
            return part
    return None


# --- cache_control ----------------------------------------------------------------------------


def edit_cache(block: Raw, plan: Plan, report: Report) -> Raw:
    """A block or tool with the members of `cache_control` that the surface knows."""

    def edit(control: Raw) -> Raw:
        members = read_members(control)
        if members is None:
            return control
        found = [name for name in members if name in dropped]
        for name in found:
            del members[name]
            report.leave_out(dropped[name].feature)
        return write(members) if found else control

    dropped = {name: part for name, part in plan.cache_members.items() if part.action == "drop"}
    return map_member(block, "cache_control", edit)


def cache_names(plan: Plan) -> list[str]:
    """The members of `cache_control` that are dropped."""
    return [name for name, part in plan.cache_members.items() if part.action == "drop"]


# --- tools ------------------------------------------------------------------------------------


class ToolEdits:
    """Edits the tools of a body, after its messages. They are looked at first, as turns are."""

    def __init__(self, plan: Plan, report: Report) -> None:
        self._plan = plan
        self._report = report
        self._members = {
            name: part for name, part in plan.tool_members.items() if part.action == "drop"
        }
        self._caches = cache_names(plan)
        caches = ("cache_control",) if self._caches else ()
        self._looker = looker(("type", "name"), (*plan.tool_members, *caches))

    def apply(self, tools: Raw) -> Raw:
        """The tools to send.

        Raises:
            CannotServe: the surface lacks one of them.
        """
        plan = self._plan
        if not (plan.tools or plan.tool_names or plan.tool_members or self._caches):
            return tools
        return map_items(tools, self._tool)

    def _tool(self, raw: Raw) -> Raw | None:
        peek = self._looker.look(raw)
        if peek is None:
            return raw
        kind, name = peek.words.get("type", ""), peek.words.get("name", "")
        part = longest(self._plan.tools, kind) if kind else None
        if part is not None:
            if part.action == "refuse":
                raise refuse(part.feature, kind)
            if part.action != "keep":
                self._report.leave_out(part.feature)
                return None
            self._report.present.add(part.feature)
        if kind in ("", "custom") and self._is_dropped(name, peek):
            return None
        tool = self._without_members(raw, name, peek)
        return (
            edit_cache(tool, self._plan, self._report) if "cache_control" in peek.values else tool
        )

    def _is_dropped(self, name: str, peek: Peek) -> bool:
        part = self._plan.tool_names.get(name)
        drops = part is not None and part.action == "drop" and self._report.applies(part)
        # A reference to a tool that is not there is refused.
        if part is not None and drops and not self._report.referenced:
            self._report.leave_out(part.feature)
            return True
        is_inline = "defer_loading" in self._members
        return is_inline and name == PLACEHOLDER and "defer_loading" in peek.values

    def _without_members(self, raw: Raw, name: str, peek: Peek) -> Raw:
        gone = [member for member in peek.values if member in self._members]
        for member in gone:
            self._report.leave_out(self._members[member].feature)
        if "defer_loading" in peek.values and name in self._report.loaded:
            gone.append("defer_loading")
        for member in peek.values:
            if member not in gone and (part := self._plan.tool_members.get(member)):
                self._report.present.add(part.feature)
        if not gone:
            return raw
        members = read_members(raw) or {}
        drop_members(members, gone)
        return write(members)


# The tool that Claude Code sends for those that are not loaded.
PLACEHOLDER = "DeferredToolPlaceholder"
