"""A whole message as the events that it stands for (Messages API, "Streaming messages")."""

from typing import Any

import msgspec

from ccrelay.wire.bodies import UNREADABLE, is_dense

_DECODER = msgspec.json.Decoder(dict[str, Any])
_ENCODER = msgspec.json.Encoder()
# Members of a content block that arrive in deltas: what the block begins with, and the delta.
_DELTAS = {
    "text": ("", "text_delta"),
    "thinking": ("", "thinking_delta"),
    "signature": ("", "signature_delta"),
}


def events_of_message(body: bytes) -> bytes:
    """The event stream of a message, ready to send.

    Args:
        body: the JSON of a message.

    Raises:
        ValueError: it is not one.
    """
    if is_dense(body):
        raise ValueError("not a message: too many members")
    try:
        message = _DECODER.decode(body)
    except UNREADABLE as error:
        raise ValueError(f"not a message: {error}") from error
    content = message.get("content")
    usage = message.get("usage")
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise ValueError("not a message: no content")
    begun = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    events = [{"type": "message_start", "message": begun}]
    for index, block in enumerate(content):
        events += _block_events(index, block)
    ending = {
        name: message.get(name)
        for name in ("stop_reason", "stop_sequence", "stop_details", "container")
        if name in message or name in ("stop_reason", "stop_sequence")
    }
    closing: dict[str, Any] = {"type": "message_delta", "delta": ending}
    if isinstance(usage, dict):
        closing["usage"] = usage
    if "context_management" in message:
        closing["context_management"] = message["context_management"]
    events += [closing, {"type": "message_stop"}]
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), _ENCODER.encode(event))
        for event in events
    )


def _block_events(index: int, block: dict[str, Any]) -> list[dict[str, Any]]:
    begun = dict(block)
    deltas: list[dict[str, Any]] = []
    if block.get("type") in ("tool_use", "server_tool_use", "mcp_tool_use"):
        begun["input"] = {}
        whole = _ENCODER.encode(block.get("input", {})).decode()
        deltas.append({"type": "input_json_delta", "partial_json": whole})
    elif block.get("type") in ("text", "thinking"):
        for name, (empty, kind) in _DELTAS.items():
            if isinstance(block.get(name), str):
                begun[name] = empty
                if block[name]:
                    deltas.append({"type": kind, name: block[name]})
        citations = begun.pop("citations", None)
        if isinstance(citations, list):
            begun["citations"] = []
            deltas += [{"type": "citations_delta", "citation": one} for one in citations]
    return [
        {"type": "content_block_start", "index": index, "content_block": begun},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]
