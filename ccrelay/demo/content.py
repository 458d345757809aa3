"""The answer of the mock provider to a request, as a document or as stream events. Pure.

Formats as in the Messages API: content blocks, deltas and `usage`, with the 5m/1h split in
`message_start` only and cumulative totals in `message_delta`.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from ccrelay.demo.request import MessagesRequest

PING_EVERY = 250  # deltas between two pings of one block
JSON_PIECE_CHARACTERS = 12  # of a tool's input, per input_json_delta
ECHO_WORDS = 12  # words of the prompt, repeated in the default answer

# Only shell tools are called, and only with `echo`, so that a client without permission prompts is
# safe.
SHELL_TOOLS = ("bash", "shell", "terminal", "run_command", "execute_command")

_WANTS_THINKING = re.compile(r"\bthink", re.IGNORECASE)
_WANTS_TOOLS = re.compile(r"\btools?\b|\blist (?:the )?files\b", re.IGNORECASE)
_TEXT_ONLY = "Respond with TEXT ONLY"  # in the compaction prompt of Claude Code
_WORDS = re.compile(r"\s*\S+\s*")

_THOUGHT = (
    "The user would like to see me think. I have no model behind me, so this is staged: "
    "first I read the request, then I weigh what to show, and then I answer."
)


class Text(msgspec.Struct, frozen=True):
    """A text block; each piece becomes one delta."""

    pieces: tuple[str, ...]


class Thinking(msgspec.Struct, frozen=True):
    """A thinking block with its signature."""

    pieces: tuple[str, ...]
    signature: str


class ToolUse(msgspec.Struct, frozen=True):
    """A call of one of the client's tools."""

    id: str
    name: str
    input: dict[str, Any]


Block = Text | Thinking | ToolUse


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A complete answer."""

    id: str
    model: str
    blocks: tuple[Block, ...]
    stop_reason: str
    request: MessagesRequest


class Event(msgspec.Struct, frozen=True):
    """One event of a stream: its name and its JSON."""

    name: str
    data: bytes

    def encode(self) -> bytes:
        """Return the bytes of the event, formatted as by Anthropic."""
        return b"event: %b\ndata: %b\n\n" % (self.name.encode(), self.data)


def compose(request: MessagesRequest, serial: str) -> Message:
    """Compose the answer to a request. `serial` makes its ids unique."""
    blocks: list[Block] = []
    if request.thinking and not request.tool_results and _WANTS_THINKING.search(request.prompt):
        thought = ("",) if request.thinking_omitted else words(_THOUGHT)
        blocks.append(Thinking(thought, signature=f"demo-signature-{serial}"))
    calls = _tool_calls(request, serial)
    stop_reason = "tool_use" if calls else "end_turn"
    pieces = _pieces(request, bool(calls))
    if request.directives.deltas is None and len(pieces) > request.max_tokens:
        pieces, calls, stop_reason = pieces[: request.max_tokens], [], "max_tokens"
    blocks.append(Text(pieces))
    return Message(
        id=f"msg_demo{serial}",
        model=request.model,
        blocks=(*blocks, *calls),
        stop_reason=stop_reason,
        request=request,
    )


def document(message: Message) -> bytes:
    """Return the answer as a JSON body, for a request without `stream`."""
    content = [{**_block_start(block), **_block_content(block)} for block in message.blocks]
    usage = _start_usage(message) | _final_usage(message)
    return _json(_envelope(message, content, message.stop_reason, usage))


def events(message: Message) -> Iterator[Event]:
    """Return the answer as the events of a stream."""
    start = _envelope(message, [], None, _start_usage(message))
    yield _event("message_start", message=start)
    for index, block in enumerate(message.blocks):
        yield _event("content_block_start", index=index, content_block=_block_start(block))
        if index == 0:
            yield PING
        for count, delta in enumerate(_deltas(block), 1):
            yield _event("content_block_delta", index=index, delta=delta)
            if count % PING_EVERY == 0:
                yield PING
        yield _event("content_block_stop", index=index)
    delta = {"stop_reason": message.stop_reason, "stop_sequence": None}
    yield _event("message_delta", delta=delta, usage=_final_usage(message))
    yield _event("message_stop")


def output_tokens(message: Message) -> int:
    """Return the output tokens in the final usage."""
    return sum(_tokens(block) for block in message.blocks)


def error_event(type: str, message: str, request_id: str) -> Event:
    """Return an `error` event of a stream with status 200."""
    error = {"type": type, "message": message}
    return _event("error", error=error, request_id=request_id)


def words(text: str) -> tuple[str, ...]:
    """Split a text into words with their whitespace; joined they are the text."""
    return tuple(_WORDS.findall(text)) or (text,)


def sample(schema: dict[str, Any]) -> Any:
    """Return a small value that a JSON schema allows: required members, first choices."""
    if schema.get("enum"):
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        members = schema.get("properties", {})
        return {name: sample(members.get(name, {})) for name in schema.get("required", members)}
    if kind == "array":
        return [sample(schema.get("items", {}))] * schema.get("minItems", 0)
    number = schema.get("minimum", 1)
    plain = {"integer": number, "number": number, "boolean": False, "null": None}
    return plain.get(str(kind), "demo")


def _tool_calls(request: MessagesRequest, serial: str) -> list[Block]:
    name = _tool_to_call(request)
    if not name:
        return []
    count = request.directives.tools if request.parallel else min(1, request.directives.tools)
    return [
        ToolUse(f"toolu_demo{serial}n{n}", name, _tool_input(request.tools.get(name, {}), name, n))
        for n in range(1, count + 1)
    ]


def _tool_to_call(request: MessagesRequest) -> str:
    if request.tool_results or request.tool_choice == "none" or not request.tools:
        return ""
    if request.tool_choice == "tool":
        return request.tool_name
    shell = next((name for name in request.tools if name.lower() in SHELL_TOOLS), "")
    if request.tool_choice == "any":
        return request.directives.tool or shell or next(iter(request.tools))
    if request.directives.tool:
        return request.directives.tool
    return shell if _WANTS_TOOLS.search(request.prompt) and _TEXT_ONLY not in request.prompt else ""


def _tool_input(schema: dict[str, Any], name: str, number: int) -> dict[str, Any]:
    if name.lower() not in SHELL_TOOLS:
        value = sample(schema)
        return value if isinstance(value, dict) else {}
    given = {"command": f"echo demo tool {number}"}
    if "description" in schema.get("properties", {}):
        given["description"] = f"Say that demo tool {number} runs"
    return given


def _pieces(request: MessagesRequest, calls_tools: bool) -> tuple[str, ...]:
    text, count = request.directives.text, request.directives.deltas
    if count is None:
        return words(_text(request, calls_tools) if text is None else text)
    if text is None:
        return tuple(f"{n} " for n in range(count))  # numbered, so that a missing delta is visible
    pool = words(text)
    return tuple(pool[n % len(pool)] for n in range(count))


def _text(request: MessagesRequest, calls_tools: bool) -> str:
    if request.schema is not None:
        return _json(sample(request.schema)).decode()
    if _TEXT_ONLY in request.prompt:
        return "<summary>\nA conversation with the ccrelay demo provider.\n</summary>"
    if calls_tools:
        return "I will run two harmless commands at the same time."
    if request.tool_results:
        return f"Done: {request.tool_results} tool results came back to the ccrelay demo provider."
    echo = " ".join(request.prompt.split()[:ECHO_WORDS]) or "nothing"
    return (
        "Hello from the ccrelay demo provider! There is no model behind me; every part of the way "
        f"from your client to here works. You said: “{echo}”. "
        "Say “think” to see a thinking block, or “use a tool” to see two tools run at once."
    )


def _block_start(block: Block) -> dict[str, Any]:
    match block:
        case Text():
            return {"type": "text", "text": ""}
        case Thinking():
            return {"type": "thinking", "thinking": "", "signature": ""}
        case ToolUse():
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}


def _block_content(block: Block) -> dict[str, Any]:
    match block:
        case Text():
            return {"text": "".join(block.pieces)}
        case Thinking():
            return {"thinking": "".join(block.pieces), "signature": block.signature}
        case ToolUse():
            return {"input": block.input}


def _deltas(block: Block) -> Iterator[dict[str, Any]]:
    match block:
        case Text():
            for piece in block.pieces:
                yield {"type": "text_delta", "text": piece}
        case Thinking():
            for piece in block.pieces:
                yield {"type": "thinking_delta", "thinking": piece}
            yield {"type": "signature_delta", "signature": block.signature}
        case ToolUse():
            yield {"type": "input_json_delta", "partial_json": ""}
            whole = _json(block.input).decode()
            for at in range(0, len(whole), JSON_PIECE_CHARACTERS):
                piece = whole[at : at + JSON_PIECE_CHARACTERS]
                yield {"type": "input_json_delta", "partial_json": piece}


def _tokens(block: Block) -> int:
    """Count the tokens of a block: one per non-empty delta."""
    match block:
        case Text():
            return len(block.pieces)
        case Thinking():
            return len(block.pieces) + 1
        case ToolUse():
            return -(-len(_json(block.input)) // JSON_PIECE_CHARACTERS)


def _envelope(
    message: Message, content: list[Any], stop_reason: str | None, usage: dict[str, Any]
) -> dict[str, Any]:
    return {
        "id": message.id,
        "type": "message",
        "role": "assistant",
        "model": message.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _start_usage(message: Message) -> dict[str, Any]:
    usage = message.request.usage
    return {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": 1,
        "service_tier": "standard",
    }


def _final_usage(message: Message) -> dict[str, Any]:
    usage = message.request.usage
    thinking = sum(_tokens(block) for block in message.blocks if isinstance(block, Thinking))
    return {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": output_tokens(message),
        "output_tokens_details": {"thinking_tokens": thinking},
    }


def _event(name: str, **members: Any) -> Event:
    return Event(name, _json({"type": name, **members}))


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)


PING = _event("ping")
