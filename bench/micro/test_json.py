"""Speed of the member scan on Claude-Code-shaped bodies, beside msgspec.

python -m pytest bench/micro/test_json.py -s --benchmark-disable-gc
"""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ccrelay._fast.json import MemberKeys, MemberScan, ScanState, simd, use_simd

KEYS = MemberKeys(["model", "stream"])
PROSE = 'the file "src/app.py" says:\n    return {x: [1, 2]}\nand so on, and so on. '


class Wanted(msgspec.Struct):
    model: str
    stream: bool


def body(size: int) -> bytes:
    """About `size` bytes: `model` first, `stream` last, tool results, tools with schemas."""
    schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    tools = [
        {"name": f"Tool{n}", "description": PROSE * 8, "input_schema": schema}
        for n in range(max(1, size // 6000))
    ]
    messages: list[object] = [{"role": "user", "content": "hi"}]
    left = size - len(json.dumps(tools)) - 200
    while left > 0:
        text = PROSE * (1 + len(messages) % 40)
        use = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "/a/b"}}
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": text}
        messages.append({"role": "assistant", "content": [use]})
        messages.append({"role": "user", "content": [result]})
        left -= len(text) + 200
    whole = {"model": "claude-opus-5-5", "messages": messages, "tools": tools, "stream": True}
    return json.dumps(whole, separators=(",", ":")).encode()


@pytest.fixture
def rate(
    benchmark: Any, capsys: pytest.CaptureFixture[str]
) -> Callable[[Callable[[], object], int], None]:
    def run(work: Callable[[], object], size: int) -> None:
        benchmark(work)
        if benchmark.stats is None:
            return  # --benchmark-disable: run once, nothing to tell
        best_s = benchmark.stats.stats.min
        with capsys.disabled():
            print(f" {size / best_s / 1e6:,.0f} MB/s", end="")

    return run


@pytest.mark.parametrize("piece", [65536, 262144])
@pytest.mark.parametrize("size", [2_000, 100_000, 1_000_000])
@pytest.mark.parametrize("vector", [True, False], ids=["simd", "portable"])
def test_scan(
    rate: Callable[[Callable[[], object], int], None], vector: bool, size: int, piece: int
) -> None:
    data = body(size)
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
    found = MemberScan(KEYS)

    def work() -> None:
        found.reset()
        for one in pieces:
            found.feed_bytes(one)

    before = simd()
    use_simd(vector)
    try:
        rate(work, len(data))
    finally:
        use_simd(before)
    assert found.state == ScanState.COMPLETE


@pytest.mark.parametrize("size", [2_000, 100_000, 1_000_000])
def test_msgspec(rate: Callable[[Callable[[], object], int], None], size: int) -> None:
    data = body(size)
    decoder = msgspec.json.Decoder(Wanted)
    rate(lambda: decoder.decode(data), len(data))
