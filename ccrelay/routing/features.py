"""Features and class of a request: from its head always, from its body only when a rule needs it.

Sources: client reference, section 5, "Request kinds"; gateway contract, section 3.1 (hint headers).
A body is read in place: one scan of its top level, then searches for words, and parsing only where
a word was found. Nothing is rejected here; an invalid body has no features. Of duplicate top-level
members the first counts.
"""

import re

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ccrelay._fast.json import MemberKeys, MemberScan, scan
from ccrelay.types import RequestClass, TrafficClass
from ccrelay.wire.bodies import UNREADABLE
from ccrelay.wire.items import (
    WORD_BYTES_MAX,
    Span,
    inside,
    objects,
    span_of,
    string_of,
    word,
)

# Messages and blocks read in search of the last user text: at 50 tokens each, a context window of a
# million tokens.
ITEMS_MAX = 20_000
# The client's attribution block has some 100 bytes.
ATTRIBUTION_BYTES_MAX = 1024

ATTRIBUTION = b'"x-anthropic-billing-header:'
SUBAGENT = b"cc_is_subagent=true"
COMPACTION = b"CRITICAL: Respond with TEXT ONLY"
WEB_SEARCH = "web_search_"

# Values of `x-claude-code-request-class`. Others, which any release may add, are ignored.
_HINTS = {
    b"main": TrafficClass.MAIN,
    b"subagent": TrafficClass.SUBAGENT,
    b"workflow": TrafficClass.SUBAGENT,
    b"compaction": TrafficClass.COMPACTION,
    b"auxiliary": TrafficClass.BACKGROUND,
}

_TOP = MemberKeys(["messages", "system", "tools", "thinking", "output_config", "stream"])
_MESSAGES, _SYSTEM, _TOOLS, _THINKING, _OUTPUT, _STREAM = range(6)
_TURN = MemberKeys(["role", "content"])
_BLOCK = MemberKeys(["type", "text"])

_EMPTY_ARRAY = re.compile(rb"\[[ \t\r\n]*\]")
_IMAGE = re.compile(rb'"type"(?<!\\"type")[ \t\r\n]*:[ \t\r\n]*"image"')


class Features(msgspec.Struct, frozen=True, gc=False):
    """Features of a body. `traffic` is the class by the body alone; see `traffic_of`."""

    images: bool = False  # in messages, including tool results
    thinking: bool = False  # enabled
    tools: bool = False  # at least one
    stream: bool = False
    traffic: TrafficClass = TrafficClass.MAIN


class _Typed(msgspec.Struct, gc=False):
    type: str = ""


class _Output(msgspec.Struct, gc=False):
    format: Raw | UnsetType = UNSET


_TYPED = msgspec.json.Decoder(_Typed)
_ONE_TOOL = msgspec.json.Decoder(tuple[_Typed])
_OUTPUT_CONFIG = msgspec.json.Decoder(_Output)


def traffic_of_head(
    agent_id: bytes | None, request_class: bytes | None, kind: RequestClass
) -> TrafficClass | None:
    """Class of the request by its head; None: only the body can determine it.

    Args:
        agent_id: value of `x-claude-code-agent-id`.
        request_class: value of `x-claude-code-request-class`.
        kind: API endpoint.
    """
    if kind is RequestClass.COUNT_TOKENS:
        return TrafficClass.COUNT_TOKENS
    if agent_id:
        return TrafficClass.SUBAGENT
    return _HINTS.get(request_class) if request_class is not None else None


def traffic_of(head: TrafficClass | None, features: Features | None) -> TrafficClass:
    """Class of the request; `head` is the result of `traffic_of_head`.

    A web search is classified as such in sub-agents too: not every provider supports it.
    """
    if features is None:
        return TrafficClass.MAIN if head is None else head
    if features.traffic is TrafficClass.WEB_SEARCH and head is not TrafficClass.COUNT_TOKENS:
        return features.traffic
    return features.traffic if head is None else head


def read_features(body: bytes) -> Features:
    """Features of a complete body, in linear time and constant memory."""
    top = scan(body, _TOP, 0)
    messages, output = top.span(_MESSAGES), top.span(_OUTPUT)
    tools, thinking, stream = top.span(_TOOLS), top.span(_THINKING), top.span(_STREAM)
    has_tools = tools is not None and _is_filled(body, tools)
    thinks = thinking is not None and _thinks(body, thinking)
    if tools is not None and has_tools and _is_search(body, tools):
        traffic = TrafficClass.WEB_SEARCH
    elif _is_subagent(body, top.span(_SYSTEM)):
        traffic = TrafficClass.SUBAGENT
    elif messages is not None and _is_compaction(body, messages):
        traffic = TrafficClass.COMPACTION
    elif not has_tools and not thinks and output is not None and _is_formatted(body, output):
        traffic = TrafficClass.BACKGROUND
    else:
        traffic = TrafficClass.MAIN
    return Features(
        images=messages is not None and _has_image(body, messages),
        thinking=thinks,
        tools=has_tools,
        stream=stream is not None and body[slice(*stream)] == b"true",
        traffic=traffic,
    )


# --- single members ---------------------------------------------------------------------------


def _is_filled(body: bytes, tools: Span) -> bool:
    return body[tools[0] : tools[0] + 1] == b"[" and not _EMPTY_ARRAY.match(body, *tools)


def _thinks(body: bytes, thinking: Span) -> bool:
    if body[thinking[0] : thinking[0] + 1] != b"{":
        return False
    try:
        return _TYPED.decode(memoryview(body)[slice(*thinking)]).type != "disabled"
    except UNREADABLE:
        return True  # something is enabled; the upstream validates it


def _is_search(body: bytes, tools: Span) -> bool:
    # Exactly one tool: decoding fails at a second one.
    try:
        (tool,) = _ONE_TOOL.decode(memoryview(body)[slice(*tools)])
    except UNREADABLE:
        return False
    return tool.type.startswith(WEB_SEARCH)


def _is_formatted(body: bytes, output: Span) -> bool:
    try:
        form = _OUTPUT_CONFIG.decode(memoryview(body)[slice(*output)]).format
    except UNREADABLE:
        return False
    return form is not UNSET and form != Raw(b"null")


def _is_subagent(body: bytes, system: Span | None) -> bool:
    if system is None:
        return False
    block = MemberScan(_BLOCK, ATTRIBUTION_BYTES_MAX)
    for _ in objects(body, system, block, 1):
        text = block.value(1)
        return text is not None and text.startswith(ATTRIBUTION) and SUBAGENT in text
    return False


# --- messages ---------------------------------------------------------------------------------


def _is_compaction(body: bytes, messages: Span) -> bool:
    # The words may be quoted elsewhere; they count only at the start of the last user text.
    if body.find(COMPACTION, *messages) < 0:
        return False
    turn = MemberScan(_TURN, WORD_BYTES_MAX)
    last: Span | None = None
    for start in objects(body, messages, turn, ITEMS_MAX):
        if word(turn, 0) == "user":
            last = span_of(turn, 1, start)
    if last is None:
        return False
    text = inside(body, last) or _last_text(body, last)
    return text is not None and body.startswith(COMPACTION, text[0])


def _last_text(body: bytes, content: Span) -> Span | None:
    block = MemberScan(_BLOCK, WORD_BYTES_MAX)
    found: Span | None = None
    for start in objects(body, content, block, ITEMS_MAX):
        if word(block, 0) == "text":
            found = string_of(block, 1, start, body)
    return found


def _has_image(body: bytes, messages: Span) -> bool:
    # Any object of type image: in a message, a tool result, or a document. In strings quotes are
    # escaped, so text cannot match. Escaped letters are not handled: no client sends them, and
    # searching for them costs 10 ms per megabyte.
    if body.find(b'"image"', *messages) < 0:
        return False
    return _IMAGE.search(body, *messages) is not None
