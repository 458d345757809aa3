"""Decodes a rewritten Claude Code conversation as Ollama does.

`judge` mirrors the typed decoding of `anthropic/anthropic.go`: it rejects what Ollama answers with
400, and returns the texts that the model receives. Written from the reference pages.
"""

import base64
import json
from typing import Any

import msgspec
import pytest

from ccrelay.config.model import Provider
from ccrelay.providers.registry import dialect_for
from ccrelay.types import RequestClass


class _Source(msgspec.Struct):
    type: str
    data: str = ""


class _Block(msgspec.Struct):
    type: str
    text: str | None = None
    citations: list[dict[str, Any]] | None = None
    source: _Source | None = None
    id: str = ""
    name: str = ""
    input: dict[str, Any] | None = None
    content: Any = None
    thinking: str | None = None


class _Turn(msgspec.Struct):
    role: str
    content: str | list[_Block]


class _Tool(msgspec.Struct):
    name: str


class _Request(msgspec.Struct):
    model: str
    max_tokens: int
    messages: list[_Turn]
    tools: list[_Tool] = []


def judge(body: bytes) -> list[str]:
    seen: list[str] = []
    for turn in msgspec.json.decode(body, type=_Request).messages:
        if isinstance(turn.content, str):
            seen.append(turn.content)
            continue
        for block in turn.content:
            seen.extend(_texts(block))
    return seen


def _texts(block: _Block) -> list[str]:
    if block.type == "image":
        _check_image(block.source)
    if block.type == "tool_use" and not (block.id and block.name):
        raise ValueError("tool_use block missing required field")
    if block.type == "tool_result":
        inner = block.content if isinstance(block.content, list) else []
        for item in inner:
            if item["type"] == "image":
                _check_image(msgspec.convert(item["source"], _Source))
        nested = [item["text"] for item in inner if item["type"] == "text"]
        return nested or ([block.content] if isinstance(block.content, str) else [])
    return [block.text] if block.type == "text" and block.text else []


def _check_image(source: _Source | None) -> None:
    if source is None or source.type != "base64":
        raise ValueError("Only base64 images are supported.")
    base64.b64decode(source.data, validate=True)


def conversation() -> dict[str, Any]:
    image = {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}
    pdf = {
        "type": "document",
        "title": "Report",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
        "citations": {"enabled": True},
    }
    good = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "AA=="},
    }
    return {
        "model": "claude-opus-5-5",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "look"}, image, pdf, good]},
            {
                "role": "system",
                "content": [{"type": "text", "text": "env"}],
                "output_config": {"effort": "medium"},
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                    {"type": "tool_use", "id": "t1", "name": "ToolSearch", "input": {"q": "fetch"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "tool_use_id": "t1",
                        "type": "tool_result",
                        "content": [{"type": "tool_reference", "tool_name": "Fetch"}, image],
                        "cache_control": {"type": "ephemeral"},
                    }
                ],
            },
        ],
        "system": [{"type": "text", "text": "You are Claude Code."}],
        "tools": [
            {"name": "Bash", "description": "d", "input_schema": {"type": "object"}},
            {"name": "DeferredToolPlaceholder", "input_schema": {}, "defer_loading": True},
        ],
        "metadata": {"user_id": '{"session_id":"s"}'},
        "max_tokens": 32000,
        "thinking": {"type": "adaptive", "display": "omitted"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"},
        "stream": True,
    }


def rewritten(system_role: str = "keep") -> bytes:
    provider = Provider(
        name="local",
        type="ollama",
        base_url="http://localhost:11434",
        auth="none",
        models=["*"],
        count_tokens="estimate",
        drop_betas=["*"],
        system_role=system_role,  # type: ignore[arg-type]
    )
    body = json.dumps(conversation(), separators=(",", ":")).encode()
    return dialect_for(provider).rewrite(body, "qwen3-coder:30b", RequestClass.MESSAGES)


def test_the_original_conversation_is_rejected() -> None:
    body = json.dumps(conversation()).encode()
    with pytest.raises((ValueError, msgspec.ValidationError)):
        judge(body)


def test_the_rewritten_conversation_is_accepted() -> None:
    assert judge(rewritten()) == [
        "look",
        "\n[A block of type image was left out: it cannot be read here.]\n",
        "\n[A block of type document (Report) was left out: it cannot be read here.]\n",
        "env",
        "\n[Tool found: Fetch.]\n",
        "\n[A block of type image was left out: it cannot be read here.]\n",
    ]


def test_only_the_required_changes_are_made() -> None:
    before, after = conversation(), json.loads(rewritten())
    assert after.pop("model") == "qwen3-coder:30b"
    assert after.pop("messages")[2] == before.pop("messages")[2]
    assert after.pop("tools") == before.pop("tools")[:1]
    del before["model"], before["context_management"]
    assert after == before


def test_folding_keeps_all_text_and_no_system_turn() -> None:
    body = rewritten("user")
    assert [turn["role"] for turn in json.loads(body)["messages"]] == ["user", "assistant", "user"]
    joined = "".join(judge(body))
    assert joined.replace("\n\nenv", "env") == "".join(judge(rewritten()))
    assert "\n\nenv" in joined, "Ollama itself puts nothing between two texts"
