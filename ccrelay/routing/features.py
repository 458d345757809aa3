"""What is known of a request: from its head, which every request is asked, and from its body, which
is read only where a rule needs to know.

Tells are those of the client reference, section 5, "Request kinds", and of the gateway contract,
section 3.1 (hint headers). A body is looked at in place: a scan of the top level, searches for
words, and only where a word was found a closer look. Nothing is refused here; what cannot be read
has no features. Where a member of the top level stands twice, the first counts.
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

# Messages and blocks looked at in search of the last user text. So many, of 50 tokens each, fill a
# window of a million.
ITEMS_MAX = 20_000
# The client's attribution block is some 100 bytes.
ATTRIBUTION_BYTES_MAX = 1024

ATTRIBUTION = b'"x-anthropic-billing-header:'
SUBAGENT = b"cc_is_subagent=true"
COMPACTION = b"CRITICAL: Respond with TEXT ONLY"
WEB_SEARCH = "web_search_"

# `x-claude-code-request-class`. Other words may come with any release; they tell nothing.
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
    """What a body tells. `traffic` is its own word only: see `traffic_of`."""

    images: bool = False  # in messages, tool results included
    thinking: bool = False  # switched on
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
    """What the request is for, as far as its head tells; None: only the body could.

    Args:
        agent_id: value of `x-claude-code-agent-id`.
        request_class: value of `x-claude-code-request-class`.
        kind: which endpoint.
    """
    if kind is RequestClass.COUNT_TOKENS:
        return TrafficClass.COUNT_TOKENS
    if agent_id:
        return TrafficClass.SUBAGENT
    return _HINTS.get(request_class) if request_class is not None else None


def traffic_of(head: TrafficClass | None, features: Features | None) -> TrafficClass:
    """What the request is for, by all that is known; `head` is the answer of `traffic_of_head`.

    A search is one whoever asks for it: not every provider can run it.
    """
    if features is None:
        return TrafficClass.MAIN if head is None else head
    if features.traffic is TrafficClass.WEB_SEARCH and head is not TrafficClass.COUNT_TOKENS:
        return features.traffic
    return features.traffic if head is None else head


def read_features(body: bytes) -> Features:
    """What a whole body tells. Time is linear in its length, memory does not grow with it."""
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
        return True  # something is asked for; the upstream says what it thinks of it


def _is_search(body: bytes, tools: Span) -> bool:
    # An array of one: decoding ends where a second tool begins.
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
    # The words may be quoted anywhere; they count at the beginning of the last user text only.
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
    # Any object of type image: in a turn, in a tool result, in the content of a document. In the
    # text of a string quotes are escaped, so neither word can be mistaken. That letters may be
    # escaped as well is left out: no client does it, and looking for it costs 10 ms per megabyte.
    if body.find(b'"image"', *messages) < 0:
        return False
    return _IMAGE.search(body, *messages) is not None
