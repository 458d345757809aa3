"""Ollama: local models behind a partial Messages API.

It silently ignores unknown members and returns 400 for some partially supported shapes. So
unsupported blocks become a line of text, which lets the model report that something is missing, and
Anthropic-only members are removed. Source: providers reference, sections 8 and 12, and
`anthropic/anthropic.go` of ollama/ollama.

Kept although ignored: `cache_control`, `metadata`, `thinking: adaptive` (`effort` is honoured).
"""

from typing import ClassVar

import msgspec
from msgspec import Raw

from ccrelay.providers.base import Dialect
from ccrelay.wire.bodies import (
    OBJECT,
    STRING,
    UNREADABLE,
    Members,
    Word,
    convert_blocks,
    drop_members,
    drop_tool_member,
    first_byte,
    json_string,
    map_items,
    text_block,
)

DROPPED_MEMBERS = ("context_management", "safeguards", "mcp_servers", "container")

# Supported block types; `redacted_thinking` is ignored without harm. Tool results are traversed
# before this is checked.
KNOWN_BLOCKS = frozenset(
    {
        "text",
        "thinking",
        "redacted_thinking",
        "tool_use",
        "server_tool_use",
        "web_search_tool_result",
    }
)

# Placeholder for tools that Claude Code has not loaded yet (providers reference, section 1.1).
PLACEHOLDER_TOOL = "DeferredToolPlaceholder"


# Members of any type are read: see `ccrelay.wire.bodies`.
class _Source(msgspec.Struct, gc=False):
    type: Word = ""
    data: Raw = Raw(b'""')


class _Block(msgspec.Struct, gc=False):
    source: _Source | str | int | float | bool | list[Raw] | None = None
    title: Word = None
    tool_name: Word = None


class _Tool(msgspec.Struct, gc=False):
    name: Word = ""


_BLOCK = msgspec.json.Decoder(_Block)
_TOOL = msgspec.json.Decoder(_Tool)


class OllamaDialect(Dialect):
    """Type `ollama`, local or cloud."""

    # Mid-stream failures are not reported: the stream just ends.
    repairs_stream: ClassVar[bool] = True
    # Texts of a message are concatenated: "fix it" and "# Environment" would run together.
    fold_gap: ClassVar[Raw | None] = text_block(b'"\\n\\n"')

    def needs_rewrite(self, model: str) -> bool:
        """Always: any message may contain an unsupported block."""
        return True

    def edit(self, top: Members, model: str) -> None:
        """Fold system turns if configured, replace unsupported blocks, load deferred tools."""
        super().edit(top, model)
        drop_members(top, DROPPED_MEMBERS)
        if "messages" in top:
            top["messages"] = convert_blocks(top["messages"], _convert)
        if "tools" in top:
            tools = map_items(top["tools"], _without_placeholder)
            top["tools"] = drop_tool_member(tools, "defer_loading")


def _without_placeholder(tool: Raw) -> Raw | None:
    if first_byte(tool) != OBJECT:
        return tool
    try:
        return None if _TOOL.decode(tool).name == PLACEHOLDER_TOOL else tool
    except UNREADABLE:
        return tool


def _convert(kind: str, raw: Raw) -> Raw:
    if kind in KNOWN_BLOCKS:
        return raw
    try:
        block = _BLOCK.decode(raw)
    except UNREADABLE:
        block = _Block()
    source = block.source if isinstance(block.source, _Source) else _Source()
    if kind == "image" and source.type == "base64":
        return raw
    if kind == "document" and source.type == "text" and first_byte(source.data) == STRING:
        return text_block(source.data)
    if kind == "tool_reference":
        name = block.tool_name if isinstance(block.tool_name, str) else ""
        return _note(f"Tool found: {name or 'unknown'}.")
    title = f" ({block.title})" if isinstance(block.title, str) and block.title else ""
    return _note(
        f"A block of type {kind or 'unknown'}{title} was left out: it cannot be read here."
    )


def _note(sentence: str) -> Raw:
    # On its own lines, for the same reason as `fold_gap`.
    return text_block(json_string(f"\n[{sentence}]\n"))
