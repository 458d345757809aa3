import json
from collections.abc import Callable
from typing import Any

import pytest

from ccrelay.config.model import Provider
from ccrelay.providers.ollama import OllamaDialect
from ccrelay.types import RequestClass

Make = Callable[..., Provider]


@pytest.fixture
def ollama(make: Make) -> OllamaDialect:
    return OllamaDialect(make("ollama", count_tokens="estimate"))


def content_of(dialect: OllamaDialect, *blocks: Any) -> Any:
    body = {"model": "m", "messages": [{"role": "user", "content": list(blocks)}]}
    rewritten = dialect.rewrite(json.dumps(body).encode(), "m", RequestClass.MESSAGES)
    return json.loads(rewritten)["messages"][0]["content"]


def test_every_body_is_rewritten_and_streams_are_repaired(ollama: OllamaDialect) -> None:
    assert ollama.needs_rewrite("qwen3-coder:30b")
    assert ollama.repairs_stream
    assert not ollama.translates_errors
    assert ollama.counts_tokens == "estimate"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
        {"type": "tool_use", "id": "t", "name": "n", "input": {}},
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "t", "content": []},
        {"type": "tool_result", "tool_use_id": "t", "content": "r"},
        {"type": "tool_result", "tool_use_id": "t"},
    ],
)
def test_supported_blocks_stay(ollama: OllamaDialect, block: Any) -> None:
    assert content_of(ollama, block) == [block]


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"type": "image", "source": {"type": "url", "url": "https://x.example"}}, "type image"),
        ({"type": "image"}, "type image"),
        (
            {"type": "document", "title": "Plan", "source": {"type": "base64", "data": "AA"}},
            "type document (Plan)",
        ),
        ({"type": "document", "source": {"type": "text", "data": 5}}, "type document"),
        ({"type": "search_result", "source": "https://x.example"}, "type search_result"),
        ({"type": "future"}, "type future"),
        ({}, "type unknown"),
        ({"type": "tool_reference", "tool_name": "Fetch"}, "Tool found: Fetch."),
    ],
)
def test_unsupported_blocks_become_a_note_on_its_own_lines(
    ollama: OllamaDialect, block: Any, words: str
) -> None:
    (note,) = content_of(ollama, block)
    assert note["type"] == "text"
    assert words in note["text"]
    assert note["text"].startswith("\n[")
    assert note["text"].endswith("]\n")


def test_blocks_inside_tool_results_are_converted_too(ollama: OllamaDialect) -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "document"}]}
    ((note,),) = [block["content"] for block in content_of(ollama, result)]
    assert "type document" in note["text"]


def test_a_plain_text_document_becomes_a_text_block(ollama: OllamaDialect) -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "a\n\u20ac"}
    block = {"type": "document", "source": source, "citations": {"enabled": True}}
    assert content_of(ollama, block) == [{"type": "text", "text": "a\n\u20ac"}]


def test_anthropic_only_members_are_dropped(
    ollama: OllamaDialect,
) -> None:
    body = (
        b'{"model":"a","context_management":{},"safeguards":[],"mcp_servers":[],"container":"c",'
        b'"metadata":{"user_id":"u"},"thinking":{"type":"adaptive"},'
        b'"output_config":{"effort":"high"},"stream":true,"x":1e400}'
    )
    assert ollama.rewrite(body, "b", RequestClass.MESSAGES) == (
        b'{"model":"b","metadata":{"user_id":"u"},"thinking":{"type":"adaptive"},'
        b'"output_config":{"effort":"high"},"stream":true,"x":1e400}'
    )


def test_deferred_tools_are_loaded_and_the_placeholder_is_dropped(ollama: OllamaDialect) -> None:
    tools = (
        b'[{"name":"Bash","input_schema":{"max":1.0}},'
        b'{"name":"DeferredToolPlaceholder","defer_loading":true},'
        b'{"name":"Fetch","defer_loading":true,"input_schema":{}},7]'
    )
    rewritten = ollama.rewrite(b'{"model":"m","tools":%b}' % tools, "m", RequestClass.MESSAGES)
    assert rewritten == (
        b'{"model":"m","tools":[{"name":"Bash","input_schema":{"max":1.0}},'
        b'{"name":"Fetch","input_schema":{}},7]}'
    )


def test_system_turns_are_folded_only_when_configured(make: Make, ollama: OllamaDialect) -> None:
    body = b'{"model":"m","messages":[{"role":"system","content":"s"}]}'
    assert ollama.rewrite(body, "m", RequestClass.MESSAGES) == body
    folding = OllamaDialect(make("ollama", system_role="user"))
    assert b'"role":"user"' in folding.rewrite(body, "m", RequestClass.MESSAGES)
