"""What `bridge_table` means for one surface and model: a `Plan`, in the form that edits need it.

Plans are kept, because few differ: a model counts by its generation only.
"""

import re
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from ccrelay.providers.bridge_features import BY_BETA, BY_NAME, BY_PART, FEATURES, Feature
from ccrelay.providers.bridge_rows import STRICT, Action, Row, Surface
from ccrelay.providers.bridge_table import BASIC_MEMBERS, DROPPED_BLOCKS, OLD_VERSION_MODELS, ROWS

Kind = Literal["messages", "count"]

# `claude-opus-5-5`, `us.anthropic.claude-opus-4-5-20251101-v1:0`, `claude-haiku-4-5@20251001`; a
# date is no minor version.
_NEW_NAME = re.compile(r"claude-([a-z]+)-(\d{1,2})(?:-(\d{1,2}))?(?!\d)")
# `claude-3-7-sonnet-20250219`
_OLD_NAME = re.compile(r"claude-(\d{1,2})(?:-(\d{1,2}))?-([a-z]+)")
_CONDITION = re.compile(r"([a-z]*)(<=|<)(\d+)\.(\d+)")
# Members that no error makes the relay leave out.
ESSENTIAL = frozenset(
    {
        *("model", "messages", "max_tokens", "system", "tools", "stream"),
        *("anthropic_version", "anthropic_beta"),
    }
)

# Stands for the betas that the table does not know, among what is dropped.
UNKNOWN_BETAS = "beta:*"
# Kinds of parts that an error makes the relay leave out; no content of messages.
_LEARNED = frozenset({"member", "turn", "tool-member", "cache", "edit"})


class Generation(NamedTuple):
    """Family and version of a Claude model."""

    family: str
    major: int
    minor: int

    @classmethod
    def of(cls, model: str) -> "Generation | None":
        """That of a model id of any provider; None: the id does not tell."""
        if found := _NEW_NAME.search(model):
            family, major, minor = found.groups()
        elif found := _OLD_NAME.search(model):
            major, minor, family = found.groups()
        else:
            return None
        return cls(family, int(major), int(minor or 0))

    def matches(self, condition: str) -> bool:
        """Whether one of these holds: `<=4.6`, `haiku<4.5`, separated by commas."""
        for one in condition.split(","):
            found = _CONDITION.fullmatch(one)
            if found is None:
                raise ValueError(f"no condition: {one}")
            family, sign, major, minor = found.groups()
            version, limit = (self.major, self.minor), (int(major), int(minor))
            is_below = version < limit or (sign == "<=" and version == limit)
            if is_below and family in ("", self.family):
                return True
        return False


class Part(NamedTuple):
    """What happens to a part of the body."""

    action: Action
    feature: str
    to: str = ""
    when: tuple[str, ...] = ()


class Placement(NamedTuple):
    """Where a beta of the client goes to. Neither: it is left out, with `feature`."""

    name: str
    header: bool
    listed: bool
    feature: str
    when: tuple[str, ...] = ()


class Plan(msgspec.Struct, frozen=True):
    """The table for one surface, generation and kind of request, without the dropped features.

    Args:
        strict: members that are not known are left out.
        betas: by name.
        unknown_betas: others are sent as they came.
        added: betas that are sent although the client has not.
        members: by name, of the body.
        inner: by name, of the objects in the body, by the object's.
        valued: members that are dropped or rewritten for their value: (member, value) and part.
        allowed: members that a strict surface gets.
        turns: by name, of messages.
        folds: system turns become part of user turns.
        blocks, sources, edits: by type.
        tools: by the beginning of the type, longest first.
        tool_names, tool_members, cache_members: by name.
        dropped: names that were learned and are no features: `beta:NAME` and its like.
        old_version: the model or surface lacks the new API version.
    """

    surface: Surface
    strict: bool
    betas: dict[str, Placement]
    unknown_betas: bool
    added: tuple[Placement, ...]
    members: dict[str, Part]
    inner: dict[str, dict[str, Part]]
    valued: dict[tuple[str, str], Part]
    allowed: frozenset[str]
    turns: dict[str, Part]
    folds: bool
    blocks: dict[str, Part]
    sources: dict[str, Part]
    edits: tuple[tuple[str, Part], ...]
    tools: tuple[tuple[str, Part], ...]
    tool_names: dict[str, Part]
    tool_members: dict[str, Part]
    cache_members: dict[str, Part]
    old_version: bool


@lru_cache(maxsize=256)
def plan_of(
    surface: Surface, generation: Generation | None, kind: Kind, dropped: frozenset[str]
) -> Plan:
    """The plan. `dropped`: names of features, and of betas, members and tools, to leave out."""
    in_force, added = _in_force(surface, generation, kind)
    strict = surface in STRICT
    if strict:
        _leave_out_the_rest(in_force)
    refused = _dropped_features(dropped)
    for feature in refused:
        for name in (*feature.betas, *feature.parts):
            in_force[name] = _dropping(feature, name)
    parts = _parts(in_force, dropped)
    names = {feature.name for feature in refused}
    return Plan(
        surface=surface,
        strict=strict,
        betas=_placements(in_force, surface, dropped),
        unknown_betas=not strict and UNKNOWN_BETAS not in dropped,
        added=tuple(
            _placement(row.to, in_force.get(row.to, row), surface)._replace(when=row.when)
            for row in added
            if row.feature not in names and f"beta:{row.to}" not in dropped
        ),
        members={name: part for name, part in parts["member"].items() if "." not in name},
        inner=_inner(parts["member"]),
        valued=_valued(parts["member"]),
        allowed=_allowed(parts["member"]),
        turns={name: part for name, part in parts["turn"].items() if name != "role=system"},
        folds=_folds(parts["turn"].get("role=system")),
        blocks=parts["block"],
        sources=parts["source"],
        edits=_by_length(parts["edit"]),
        tools=_by_length(parts["tool"]),
        tool_names=parts["tool-name"],
        tool_members=parts["tool-member"],
        cache_members=parts["cache"],
        old_version=generation is not None and generation.matches(OLD_VERSION_MODELS[surface])
        if surface in OLD_VERSION_MODELS
        else False,
    )


def _in_force(
    surface: Surface, generation: Generation | None, kind: Kind
) -> tuple[dict[str, Row], list[Row]]:
    """The last row for each half, by name, and the rows that add betas."""
    found: dict[str, Row] = {}
    added: list[Row] = []
    for row in ROWS:
        if surface not in row.surfaces or row.kind not in ("", kind):
            continue
        if row.models and (generation is None or not generation.matches(row.models)):
            continue
        if row.action == "add":
            added.append(row)
        else:
            found.update(dict.fromkeys(_halves(row), row))
    return found, added


def _halves(row: Row) -> tuple[str, ...]:
    feature = BY_NAME[row.feature]
    if row.part == "":
        return (*feature.betas, *feature.parts)
    if row.part == "beta":
        return feature.betas
    return feature.parts if row.part == "body" else (row.part,)


def _leave_out_the_rest(in_force: dict[str, Row]) -> None:
    for feature in FEATURES:
        for name in (*feature.betas, *feature.parts):
            if name not in in_force:
                in_force[name] = _dropping(feature, name)


def _dropping(feature: Feature, name: str) -> Row:
    # Content of messages is not dropped: what a request needs, and blocks, are refused.
    refuses = (name in feature.parts and bool(feature.needed)) or name.startswith("block:")
    if name == "block:tool_reference":
        return Row(feature.name, "rewrite", (), "", "")
    if name in DROPPED_BLOCKS:
        refuses = False
    if name == "turn:role=system" or name == "member:thinking=enabled":
        return Row(feature.name, "rewrite", (), "", "")
    return Row(feature.name, "refuse" if refuses else "drop", (), "", "")


def _dropped_features(dropped: frozenset[str]) -> list[Feature]:
    return [feature for feature in FEATURES if feature.name in dropped]


def _placements(
    in_force: dict[str, Row], surface: Surface, dropped: frozenset[str]
) -> dict[str, Placement]:
    found: dict[str, Placement] = {}
    for name, row in in_force.items():
        if name not in BY_BETA:
            continue
        if row.action == "rewrite":
            goal = _placement(row.to, in_force.get(row.to, row), surface)
            found[name] = goal if f"beta:{row.to}" not in dropped else _left_out(name, row.feature)
        else:
            found[name] = _placement(name, row, surface)
    for name, feature in BY_BETA.items():  # those without a row, of surfaces that are not strict
        found.setdefault(name, Placement(name, True, False, feature.name))
    for name in dropped:
        if name.startswith("beta:"):
            found[name[5:]] = _left_out(name[5:], name)
    return found


def _placement(name: str, row: Row, surface: Surface) -> Placement:
    if row.action in ("drop", "refuse"):
        return _left_out(name, row.feature)
    listed = row.action in ("move", "copy")
    return Placement(name, row.action != "move", listed, row.feature, row.when)


def _left_out(name: str, feature: str) -> Placement:
    return Placement(name, header=False, listed=False, feature=feature)


def _parts(in_force: dict[str, Row], dropped: frozenset[str]) -> dict[str, dict[str, Part]]:
    """The parts of the body, by the word before the colon, then by what is behind it."""
    found: dict[str, dict[str, Part]] = {
        kind: {}
        for kind in (
            *("member", "turn", "block", "source", "edit"),
            *("tool", "tool-name", "tool-member", "cache"),
        )
    }
    for name, row in in_force.items():
        kind, _, value = name.partition(":")
        if kind in found:
            found[kind][value] = Part(_body_action(name, row), row.feature, row.to, row.when)
    for name in dropped:
        kind, _, value = name.partition(":")
        if kind == "tool":
            found[kind][value] = Part("refuse", name)
        elif kind in _LEARNED and value.partition(".")[0] not in ESSENTIAL:
            found[kind][value] = Part("drop", name)
    return found


def _body_action(name: str, row: Row) -> Action:
    if row.action in ("copy", "add"):
        return "keep"
    # Content of messages is not dropped.
    if row.action == "drop" and name.startswith("block:") and name not in DROPPED_BLOCKS:
        return "refuse"
    return row.action


def _inner(members: dict[str, Part]) -> dict[str, dict[str, Part]]:
    found: dict[str, dict[str, Part]] = {}
    for name, part in members.items():
        outer, dot, inner = name.partition(".")
        if dot and part.action != "keep":
            found.setdefault(outer, {})[inner] = part
    return found


def _valued(members: dict[str, Part]) -> dict[tuple[str, str], Part]:
    found: dict[tuple[str, str], Part] = {}
    for name, part in members.items():
        member, sign, value = name.partition("=")
        if sign and part.action != "keep":
            found[member, value] = part
    return found


def _allowed(members: dict[str, Part]) -> frozenset[str]:
    kept = {
        name.partition(".")[0].partition("=")[0]
        for name, part in members.items()
        if part.action in ("keep", "move", "refuse")
    }
    return BASIC_MEMBERS | kept


def _folds(part: Part | None) -> bool:
    return part is not None and part.action == "rewrite"


def _by_length(parts: dict[str, Part]) -> tuple[tuple[str, Part], ...]:
    return tuple(sorted(parts.items(), key=lambda entry: -len(entry[0])))


def feature_of(name: str) -> str | None:
    """The feature that a beta or part of a body belongs to; None: to none."""
    found = BY_BETA.get(name) or BY_PART.get(name)
    return found.name if found else None
