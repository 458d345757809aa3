import json
from typing import Any

import pytest

from ccrelay.wire.whole_message import events_of_message

CONTENT: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "ZGF0YQ=="},
    {"type": "text", "text": "Hello", "citations": [{"type": "char_location", "cited_text": "H"}]},
    {"type": "text", "text": "", "citations": None},
    {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "a", "n": [1, 2.5]}},
    {"type": "tool_use", "id": "toolu_2", "name": "Now", "input": {}},
    {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "x"}]},
    {"type": "new_block", "anything": 1},
]
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": CONTENT,
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 9},
}


def events(message: object) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in events_of_message(json.dumps(message).encode()).decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        parsed = json.loads(data.removeprefix("data: "))
        assert name == f"event: {parsed['type']}"
        found.append((parsed["type"], parsed))
    return found


def rebuilt(found: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """The message that a client makes of events, as the official SDK does."""
    message: dict[str, Any] = {}
    partial: dict[int, str] = {}
    for name, event in found:
        if name == "message_start":
            message = event["message"]
        elif name == "content_block_start":
            assert event["index"] == len(message["content"])
            message["content"].append(event["content_block"])
        elif name == "content_block_delta":
            block, delta = message["content"][event["index"]], event["delta"]
            match delta["type"]:
                case "text_delta":
                    block["text"] += delta["text"]
                case "thinking_delta":
                    block["thinking"] += delta["thinking"]
                case "signature_delta":
                    block["signature"] = delta["signature"]
                case "citations_delta":
                    block["citations"].append(delta["citation"])
                case "input_json_delta":
                    partial[event["index"]] = (
                        partial.get(event["index"], "") + delta["partial_json"]
                    )
        elif name == "message_delta":
            message |= event["delta"]
            message["usage"] = event["usage"]
    for index, text in partial.items():
        message["content"][index]["input"] = json.loads(text)
    return message


def test_a_client_makes_the_same_message_of_the_events() -> None:
    expected = json.loads(json.dumps(MESSAGE))
    del expected["content"][3]["citations"]
    assert rebuilt(events(MESSAGE)) == expected


def test_the_order_of_events_is_the_protocols() -> None:
    names = [name for name, _ in events(MESSAGE)]
    assert names[0] == "message_start"
    assert names[-2:] == ["message_delta", "message_stop"]
    assert names.count("content_block_start") == names.count("content_block_stop") == len(CONTENT)


def test_the_message_begins_empty() -> None:
    _, begun = events(MESSAGE)[0]
    assert begun["message"]["content"] == []
    assert begun["message"]["stop_reason"] is None
    assert begun["message"]["usage"] == MESSAGE["usage"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"content":1}', b'{"content":["x"]}', b"<p>"]
)
def test_what_is_no_message_is_an_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="not a message"):
        events_of_message(body)
