"""The dialect bridge: a request in Anthropic's form becomes the one that a cloud takes.

What each cloud keeps, drops, moves and rewrites is the table `bridge_table`; the goal is what
Claude Code itself would send to that cloud for the same prompt (clouds reference, section 2).
Untouched values keep their bytes, because prompt caches and thinking signatures depend on them.
`apply` is pure, and linear in the bytes of the body; large ones are bridged in a thread.
"""

import re
from typing import NamedTuple

import msgspec
from msgspec import Raw

from ccrelay.errors import CannotServe
from ccrelay.providers.base import Outgoing
from ccrelay.providers.bridge_edits import (
    Report,
    ToolEdits,
    cache_names,
    edit_cache,
    edit_members,
)
from ccrelay.providers.bridge_messages import MessageEdits, is_illegal_in_new
from ccrelay.providers.bridge_plan import Generation, Kind, Placement, Plan, plan_of
from ccrelay.providers.bridge_refusals import names_no_beta, refused_features, sent_features
from ccrelay.providers.bridge_rows import Surface
from ccrelay.providers.bridge_table import BODY_VERSIONS, NEW_VERSION, OLD_VERSION
from ccrelay.types import RequestClass
from ccrelay.wire.bodies import (
    UNREADABLE,
    Members,
    drop_members,
    first_byte,
    json_string,
    map_items,
    read_body,
    read_members,
    write_body,
)

__all__ = ["Applied", "Surface", "apply", "names_no_beta", "refused_features", "sent_features"]

_SUFFIX = "[1m]"
_LONG_CONTEXT = "context-1m-2025-08-07"
_ONE = Raw(b"1")
_SAMPLING = ("temperature", "top_p", "top_k")
# They become a header field, also those of the body.
_BETA = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_NAMES = msgspec.json.Decoder(list[str])
_NAME = msgspec.json.Decoder(str)


class Applied(NamedTuple):
    """A request as a surface takes it.

    Args:
        body: whole. That of a count for bedrock-invoke is the inner one: the dialect wraps it.
        betas: values of `anthropic-beta`; empty: no such header.
        left_out: the features that were left out, in order.
        version: value of `anthropic-version`; empty: no such header, the body has it.
    """

    body: bytes
    betas: tuple[str, ...]
    left_out: tuple[str, ...]
    version: bytes = b""


def apply(surface: Surface, request: Outgoing) -> Applied:
    """The request for this surface.

    Raises:
        BadRequest: the body is not a JSON object.
        CannotServe: the surface lacks what the request needs.
    """
    top = read_body(request.body)
    model = plain_model(request.model)
    kind: Kind = "count" if request.kind == RequestClass.COUNT_TOKENS else "messages"
    betas = _betas(request, top)
    generation = Generation.of(model) or Generation.of(_text(top.get("model")))
    plan = plan_of(surface, generation, kind, request.dropped)
    report = Report(betas)
    version = _version(request.version.decode("latin-1"), top, plan, model)
    if "messages" in top:
        top["messages"] = MessageEdits(plan, report).apply(top["messages"])
    if "tools" in top:
        _edit_tools(top, plan, report)
    if "system" in top and any(name.encode() in bytes(top["system"]) for name in cache_names(plan)):
        top["system"] = map_items(top["system"], lambda block: edit_cache(block, plan, report))
    edit_members(top, plan, report)
    header, listed = _place(betas, plan, report)
    _finish(top, surface, model, kind)
    if surface in BODY_VERSIONS:
        if surface == "bedrock-invoke" and (names := listed or header):
            # As the SDK has it: without a list of its own, the body's is the header's.
            top["anthropic_beta"] = Raw(msgspec.json.encode(names))
        top["anthropic_version"] = json_string(version)
        version = ""
    header = [] if surface == "bedrock-invoke" and kind == "count" else header
    return Applied(
        write_body(top), tuple(header), tuple(report.left_out), version.encode("latin-1")
    )


def plain_model(model: str) -> str:
    """A model id without `[1m]`, which only clients understand."""
    return model[: -len(_SUFFIX)] if model.lower().endswith(_SUFFIX) else model


def _edit_tools(top: Members, plan: Plan, report: Report) -> None:
    choice = bytes(top.get("tool_choice", b""))
    if any(b'"%b"' % name.encode() in choice for name in plan.tool_names):
        report.referenced = True
    tools = ToolEdits(plan, report).apply(top["tools"])
    if tools is not top["tools"] and bytes(tools) == b"[]":
        drop_members(top, ("tools", "tool_choice"))
    else:
        top["tools"] = tools


# --- betas --------------------------------------------------------------------------------------


def _betas(request: Outgoing, top: Members) -> list[str]:
    """The client's betas without repetition, also those in members of the body."""
    found = list(request.betas)
    for name in ("betas", "anthropic_beta"):
        if name in top:
            found += _names(top.pop(name))
    if plain_model(request.model) != request.model:
        found.append(_LONG_CONTEXT)
    return list(dict.fromkeys(beta for beta in found if _BETA.fullmatch(beta)))


def _names(value: Raw) -> list[str]:
    try:
        return _NAMES.decode(value)
    except UNREADABLE:
        return []


def _place(betas: list[str], plan: Plan, report: Report) -> tuple[list[str], list[str]]:
    """The betas of the header, and of the body's list."""
    header: dict[str, None] = {}
    listed: dict[str, None] = {}

    places = [plan.betas.get(beta) or _unknown(beta, is_sent=plan.unknown_betas) for beta in betas]
    for place in (*places, *plan.added):
        holds = not place.when or any(
            name in report.betas or name in report.present for name in place.when
        )
        if holds and place.header:
            header[place.name] = None
        if holds and place.listed:
            listed[place.name] = None
        if place not in plan.added and not (holds and (place.header or place.listed)):
            report.leave_out(place.feature)
    return list(header), list(listed)


def _unknown(beta: str, *, is_sent: bool) -> Placement:
    return Placement(beta, header=is_sent, listed=False, feature=f"beta:{beta}")


# --- version, model, stream ---------------------------------------------------------------------


def _version(version: str, top: Members, plan: Plan, model: str) -> str:
    """The API version, of the header or of the body.

    What is legal in the new version is legal in the old one, so the old one does where the new one
    is missing, and for a request that the new one refuses.

    Raises:
        CannotServe: a surface that has versions of its own does not know this one.
    """
    top.pop("anthropic_version", None)
    version = version.strip() or OLD_VERSION
    if version == NEW_VERSION and (
        plan.old_version
        or model.endswith("-v1:0")
        or any(name in top for name in _SAMPLING)
        or ("messages" in top and is_illegal_in_new(top["messages"]))
    ):
        version = OLD_VERSION
    if (known := BODY_VERSIONS.get(plan.surface)) is None:
        return version
    if version not in known:
        raise CannotServe(
            f"This request needs version {version!r} of the API, which no provider that is "
            "available to it has."
        )
    return known[version]


def _finish(top: Members, surface: Surface, model: str, kind: Kind) -> None:
    """Set model and stream; a count gets the members that the surface wants."""
    if surface == "bedrock-invoke" or (surface == "vertex" and kind == "messages"):
        top.pop("model", None)
    else:
        top["model"] = json_string(model)
    if surface == "bedrock-invoke":
        top.pop("stream", None)
    if surface == "bedrock-invoke" and kind == "count":
        if top.get("tools") == Raw(b"[]"):
            del top["tools"]
        if "max_tokens" not in top:
            top["max_tokens"] = _least_output(top.get("thinking"))


def _least_output(thinking: Raw | None) -> Raw:
    """`max_tokens` of a count: one, or above a budget for thinking, as Claude asks."""
    members = read_members(thinking) if thinking is not None else None
    budget = bytes((members or {}).get("budget_tokens", b""))
    return Raw(b"%d" % (int(budget) + 1)) if budget.isdigit() and len(budget) < 10 else _ONE


def _text(value: Raw | None) -> str:
    if value is None or first_byte(value) != ord('"'):
        return ""
    try:
        return _NAME.decode(value)
    except UNREADABLE:
        return ""
