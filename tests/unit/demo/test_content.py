import json

import pytest

from ccrelay.demo import content
from ccrelay.demo.request import parse_request

BASH = {
    "name": "Bash",
    "input_schema": {
        "type": "object",
        "properties": {"command": {"type": "string"}, "description": {"type": "string"}},
        "required": ["command"],
    },
}
WEATHER = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
        "required": ["city", "days"],
    },
}
WRITE = {"name": "Write", "input_schema": {"type": "object", "required": ["file_path"]}}


def made(request):
    return content.compose(parse_request(json.dumps(request).encode()), "s1")


def kinds(message):
    return [type(block).__name__ for block in message.blocks]


def streamed(message):
    return [json.loads(event.data) for event in content.events(message)]


def accumulate(events):
    """Put a stream together as a client does; blocks must come in order."""
    message, inputs = None, {}
    for event in events:
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                assert event["index"] == len(message["content"])
                message["content"].append(dict(event["content_block"]))
            case "content_block_delta":
                at, delta = event["index"], event["delta"]
                if delta["type"] == "input_json_delta":
                    inputs[at] = inputs.get(at, "") + delta["partial_json"]
                else:
                    member = delta["type"].removesuffix("_delta")
                    message["content"][at][member] += delta[member]
            case "content_block_stop":
                if event["index"] in inputs:
                    message["content"][event["index"]]["input"] = json.loads(inputs[event["index"]])
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
    return message


def test_the_default_answer_echoes_the_prompt(payload):
    message = made(payload("one two three " + "more " * 50))
    text = "".join(message.blocks[0].pieces)
    assert "demo provider" in text
    assert "“one two three more" in text
    assert text.count("more") < 15


def test_stream_and_document_have_the_same_content(payload):
    thinking = {"type": "adaptive"}
    message = made(payload("think, then use a tool", thinking=thinking, tools=[BASH]))
    assert kinds(message) == ["Thinking", "Text", "ToolUse", "ToolUse"]
    assert accumulate(streamed(message)) == json.loads(content.document(message))


def test_a_stream_has_the_event_order_of_anthropic(payload):
    names = [event["type"] for event in streamed(made(payload()))]
    assert names[:3] == ["message_start", "content_block_start", "ping"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_cache_split_only_in_message_start(payload):
    block = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    events = streamed(made(payload(messages=[{"role": "user", "content": [block]}])))
    start, final = events[0]["message"]["usage"], events[-2]["usage"]
    split = start["cache_creation"]
    assert split["ephemeral_1h_input_tokens"] == start["cache_creation_input_tokens"] > 0
    assert "cache_creation" not in final
    assert final["cache_creation_input_tokens"] == start["cache_creation_input_tokens"]
    assert final["output_tokens"] > start["output_tokens"]


def test_a_thinking_block_needs_thinking_enabled(payload):
    assert kinds(made(payload("think"))) == ["Text"]
    assert kinds(made(payload("hello", thinking={"type": "adaptive"}))) == ["Text"]
    message = made(payload("please think", thinking={"type": "enabled", "budget_tokens": 1024}))
    assert kinds(message) == ["Thinking", "Text"]
    deltas = [e["delta"]["type"] for e in streamed(message) if e["type"] == "content_block_delta"]
    last_thought = len(deltas) - 1 - deltas[::-1].index("thinking_delta")
    assert deltas[last_thought + 1] == "signature_delta"
    thinking = sum(delta in ("thinking_delta", "signature_delta") for delta in deltas)
    assert streamed(message)[-2]["usage"]["output_tokens_details"] == {"thinking_tokens": thinking}


def test_omitted_thinking_has_a_signature_and_no_text(payload):
    message = made(payload("think", thinking={"type": "adaptive", "display": "omitted"}))
    block = json.loads(content.document(message))["content"][0]
    assert block["thinking"] == ""
    assert block["signature"]


@pytest.mark.parametrize("prompt", ["use a tool", "Which TOOLS?", "list files", "list the files"])
def test_two_parallel_echo_commands_are_called(payload, prompt):
    message = made(payload(prompt, tools=[WRITE, BASH]))
    calls = [block for block in message.blocks if isinstance(block, content.ToolUse)]
    assert [call.name for call in calls] == ["Bash", "Bash"]
    assert len({call.id for call in calls}) == 2
    assert all(call.input["command"].startswith("echo ") for call in calls)
    assert message.stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("prompt", "members"),
    [
        ("use a tool", {}),
        ("use a tool", {"tools": [WRITE]}),
        ("toolbox", {"tools": [BASH]}),
        ("use a tool", {"tools": [BASH], "tool_choice": {"type": "none"}}),
        ("CRITICAL: Respond with TEXT ONLY. Do NOT call any tools.", {"tools": [BASH]}),
    ],
)
def test_no_tool_is_called_without_a_request_or_shell_tool(payload, prompt, members):
    message = made(payload(prompt, **members))
    assert kinds(message) == ["Text"]
    assert message.stop_reason == "end_turn"


def test_tool_results_get_a_final_text(payload):
    results = {"role": "user", "content": [{"type": "tool_result", "content": "x"}] * 2}
    messages = [
        *payload("think and use a tool")["messages"],
        {"role": "assistant", "content": ""},
    ]
    request = payload(messages=[*messages, results], tools=[BASH], thinking={"type": "adaptive"})
    message = made(request)
    assert kinds(message) == ["Text"]
    assert "2 tool results" in "".join(message.blocks[0].pieces)


def test_a_named_tool_is_called(payload):
    named = made(payload("demo:tool=get_weather demo:tools=3", tools=[BASH, WEATHER]))
    calls = [block for block in named.blocks if isinstance(block, content.ToolUse)]
    assert [(call.name, call.input) for call in calls] == [
        ("get_weather", {"city": "demo", "days": 2})
    ] * 3
    forced = made(payload(tools=[WEATHER], tool_choice={"type": "tool", "name": "get_weather"}))
    assert forced.blocks[-1].name == "get_weather"
    any_of = {"type": "any", "disable_parallel_tool_use": True}
    assert kinds(made(payload(tools=[WEATHER], tool_choice=any_of))) == ["Text", "ToolUse"]


def test_directives_set_text_and_delta_count(payload):
    assert made(payload("demo:text=exactly this")).blocks[0].pieces == (
        "exactly ",
        "this",
    )
    assert made(payload("demo:deltas=3")).blocks[0].pieces == ("0 ", "1 ", "2 ")
    assert made(payload("demo:deltas=3 demo:text=a b")).blocks[0].pieces == (
        "a ",
        "b",
        "a ",
    )
    many = streamed(made(payload("demo:deltas=1000", max_tokens=5)))
    assert sum(event["type"] == "content_block_delta" for event in many) == 1000
    assert sum(event["type"] == "ping" for event in many) == 5


def test_max_tokens_truncates_the_answer(payload):
    message = made(payload("use a tool", tools=[BASH], max_tokens=2))
    assert message.stop_reason == "max_tokens"
    assert kinds(message) == ["Text"]
    assert len(message.blocks[0].pieces) == 2


def test_structured_output_matches_its_schema(payload):
    schema = {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "kind": {"enum": ["bug", "feature"]},
            "exact": {"const": 7},
            "ok": {"type": "boolean"},
            "none": {"type": "null"},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "extra": {"type": "string"},
        },
        "required": ["title", "kind", "exact", "ok", "none", "tags"],
    }
    message = made(payload(output_config={"format": {"type": "json_schema", "schema": schema}}))
    assert json.loads("".join(message.blocks[0].pieces)) == {
        "title": "demo",
        "kind": "bug",
        "exact": 7,
        "ok": False,
        "none": None,
        "tags": ["demo", "demo"],
    }


def test_event_encoding():
    event = content.error_event("api_error", "a\nb", "req_1")
    lines = event.encode().split(b"\n")
    assert lines[0] == b"event: error"
    assert json.loads(lines[1].removeprefix(b"data: "))["error"]["message"] == "a\nb"
    assert lines[2:] == [b"", b""]


@pytest.mark.parametrize("text", ["", " ", "a", "  a  b\n\nc ", "“ä” ☃"])
def test_joined_words_are_the_text(text):
    assert "".join(content.words(text)) == text
