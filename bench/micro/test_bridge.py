"""What the bridge costs per request, before it is sent to a cloud; and a look at what was learned.

python -m pytest bench/micro/test_bridge.py --benchmark-disable-gc

Bodies have the form of Claude Code's: tools of 45 KB, then turns of thinking, calls and results.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.fleet.refused_features import RefusedFeatures
from ccrelay.providers.base import Outgoing
from ccrelay.providers.bridge import Surface, apply
from ccrelay.providers.bridge_rows import ALL
from ccrelay.types import RequestClass

Benchmark = Callable[..., Any]

BETAS = (
    *("claude-code-20250219", "interleaved-thinking-2025-05-14", "context-management-2025-06-27"),
    *("per-turn-control-2026-07-01", "mid-conversation-tool-changes-2026-07-01"),
    *("thinking-token-count-2026-05-13", "advanced-tool-use-2025-11-20", "effort-2025-11-24"),
    "thinking-display-updates-2026-08-18",
)
SIZES = {"50kb": 50_000, "1mb": 1_000_000}


def body(size: int) -> bytes:
    """A request of Claude Code with at least so many bytes."""
    control = {"type": "ephemeral"}
    tools = [
        {
            "name": f"Tool{number}",
            "description": 'Does "things" with files.\n' * 100,
            "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}},
        }
        for number in range(12)
    ]
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": control}]},
        {"role": "system", "content": "Be brief.", "output_config": {"effort": "medium"}},
    ]
    filled, number = 0, 0
    while filled < size - 40_000:
        number += 1
        call = {"type": "tool_use", "id": f"toolu_{number}", "name": "Tool1", "input": {"a": "b"}}
        thought = {"type": "thinking", "thinking": "Hmm. " * 40, "signature": "Eg" + "A" * 300}
        result = {
            "type": "tool_result",
            "tool_use_id": f"toolu_{number}",
            "content": 'a line of "code"\n' * 120,
        }
        turns += [
            {"role": "assistant", "content": [thought, call]},
            {"role": "user", "content": [result]},
        ]
        filled += 3_300
    return msgspec.json.encode(
        {
            "model": "claude-opus-5-5",
            "messages": turns,
            "system": [{"type": "text", "text": "You are. " * 600, "cache_control": control}],
            "tools": [*tools, {"name": "Late", "input_schema": {}, "defer_loading": True}],
            "max_tokens": 128_000,
            "thinking": {"type": "adaptive", "display": "updates"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "output_config": {"effort": "medium"},
            "stream": True,
        }
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("surface", ALL)
def test_bridge(benchmark: Benchmark, surface: Surface, size: str) -> None:
    request = Outgoing(
        body(SIZES[size]),
        "claude-opus-5-5",
        RequestClass.MESSAGES,
        stream=True,
        version=b"2023-06-01",
        betas=BETAS,
    )
    found = benchmark(apply, surface, request)
    assert len(found.body) > SIZES[size] * 0.9


def test_what_was_learned(benchmark: Benchmark) -> None:
    refused = RefusedFeatures(SharedMemory.private())
    now = 1_800_000_000.0
    for number in range(20):
        refused.learn("aws", f"m{number}", "effort", now)
    assert benchmark(refused.of, "aws", "m3", now + 1.0) == {"effort"}
