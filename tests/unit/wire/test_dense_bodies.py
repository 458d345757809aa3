"""Bodies made to cost work: time and memory in proportion, and no exception for each item."""

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from ccrelay._fast.json import count_elements
from ccrelay.config.model import Provider
from ccrelay.errors import RelayError
from ccrelay.providers.base import Dialect, read_fault
from ccrelay.providers.compatible import CompatibleDialect
from ccrelay.providers.ollama import OllamaDialect
from ccrelay.providers.quota import _members
from ccrelay.providers.zai import ZaiDialect
from ccrelay.types import RequestClass
from ccrelay.wire.bodies import RESPONSE_ELEMENTS_MAX, read_body
from ccrelay.wire.errors import foreign_message, is_error, sse_error_from_body
from ccrelay.wire.matching import ModelMatcher
from ccrelay.wire.models import ROWS_MAX, discovered_entries
from ccrelay.wire.thinking import strip_foreign
from ccrelay.wire.tokens import estimate
from ccrelay.wire.usage import usage_from_json, usage_from_stream
from ccrelay.wire.whole_message import events_of_message

# What stands in place of a message, a block, a tool, ...
ITEMS = [
    b"1",
    b"[]",
    b"{}",
    b"null",
    b'"x"',
    b'{"type":1}',
    b'{"type":null}',
    b'{"type":["x"]}',
    b'{"type":{"a":1}}',
    b'{"role":7,"content":7}',
    b'{"role":"system","content":7}',
    b'{"role":"system","content":"a"}',
    b'{"role":"assistant","content":[1]}',
    b'{"role":"assistant","content":{"type":"thinking"}}',
    b'{"type":"thinking","thinking":1,"signature":2}',
    b'{"type":"thinking","signature":{}}',
    b'{"type":"image","source":3}',
    b'{"type":"image","source":{"type":4}}',
    b'{"type":"document","source":{"type":"text","data":5},"title":6}',
    b'{"type":"tool_reference","tool_name":7}',
    b'{"type":"tool_result","content":8}',
    b'{"name":1,"type":2,"defer_loading":3}',
    rb'{"type":"\u0074ext"}',
]
# Where they stand.
PLACES = {
    "messages": b'{"model":"m","thinking":{"type":"enabled"},"messages":[%b]}',
    "blocks": b'{"model":"m","messages":[{"role":"user","content":[%b]}]}',
    "blocks of the assistant": b'{"model":"m","x":"thinking","messages":'
    b'[{"role":"assistant","content":[%b]}]}',
    "blocks of a system turn": b'{"model":"m","messages":[{"role":"system","content":[%b]}]}',
    "blocks of a result": b'{"model":"m","messages":[{"role":"user","content":'
    b'[{"type":"tool_result","content":[%b]}]}]}',
    "tools": b'{"model":"m","tools":[%b],"messages":[]}',
    "system": b'{"model":"m","system":[%b],"messages":[]}',
    "edits": b'{"model":"m","thinking":{"type":"enabled"},"context_management":{"edits":[%b]},'
    b'"messages":[{"role":"assistant","content":[{"type":"thinking"},{"type":"tool_use"}]}]}',
}
SETTINGS: dict[str, Any] = {
    "name": "p",
    "base_url": "http://127.0.0.1:1",
    "auth": "none",
    "count_tokens": "estimate",
    "system_role": "user",
}
DIALECTS: dict[str, Dialect] = {
    "zai": ZaiDialect(Provider(type="zai", **SETTINGS)),
    "ollama": OllamaDialect(Provider(type="ollama", **SETTINGS)),
    "compatible": CompatibleDialect(
        Provider(type="compatible", tool_type_custom="drop", **SETTINGS)
    ),
}
WORK: dict[str, Callable[[bytes], object]] = {
    **{
        name: lambda body, dialect=dialect: dialect.rewrite(  # type: ignore[misc]
            body, "glm-5.3", RequestClass.MESSAGES
        )
        for name, dialect in DIALECTS.items()
    },
    "foreign thinking": lambda body: strip_foreign(body, everything=False),
    "all thinking": lambda body: strip_foreign(body, everything=True),
    "tokens": estimate,
}


def exceptions_in(work: Callable[[bytes], object], body: bytes) -> int:
    """How many are raised on the way."""
    raised = 0

    def trace(_frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal raised
        raised += event == "exception"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work(body)
    except RelayError:
        pass
    finally:
        sys.settrace(before)
    return raised


@pytest.mark.parametrize("name", WORK)
@pytest.mark.parametrize("place", PLACES)
def test_no_exception_is_raised_for_each_item(place: str, name: str) -> None:
    for item in ITEMS:
        body = PLACES[place] % b",".join([item] * 50)
        assert exceptions_in(WORK[name], body) < 10, item


@pytest.mark.parametrize("name", WORK)
def test_memory_is_in_proportion_to_the_elements(name: str) -> None:
    for place in PLACES.values():
        for item in ITEMS:
            body = place % b",".join([item] * 2000)
            tracemalloc.start()
            WORK[name](body)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 4 * len(body) + 300 * count_elements(body), (item, place)


@pytest.mark.parametrize(
    "text",
    [
        rb"\ud800" * 20_000,
        rb"\\" * 60_000,
        (rb"\\" * 2000 + rb"\ud800") * 20,
        rb"\u0041" * 20_000 + rb"\ud800",
        rb"\ud83d\ude00" * 10_000 + rb"\udc00",
    ],
)
def test_lone_surrogates_are_replaced_in_linear_time(text: bytes) -> None:
    body = b'{"model":"m","a":"%b"}' % text
    assert b"a" in {name.encode() for name in read_body(body)}


# ---- what providers send


def dense(size: int, item: bytes) -> bytes:
    return b",".join([item] * size)


TOO_DENSE = RESPONSE_ELEMENTS_MAX + 10


@pytest.mark.parametrize("item", [b"1", b"{}", b'{"a":1}', b"[[]]"])
def test_a_dense_response_is_not_decoded(item: bytes) -> None:
    items = dense(TOO_DENSE, item)
    error = b'{"error":{"message":"m","details":[%b]}}' % items
    readers: list[Callable[[], object]] = [
        lambda: read_fault(400, error),
        lambda: foreign_message(400, error),
        lambda: is_error(error),
        lambda: sse_error_from_body(400, error),
        lambda: list(_members(error)),
        lambda: usage_from_json(b'{"iterations":[%b]}' % items),
        lambda: usage_from_stream(None, b'{"usage":{"iterations":[%b]}}' % items),
        lambda: DIALECTS["zai"].read_error(400, error),
        lambda: DIALECTS["zai"].translate_error(400, error),
    ]
    for read in readers:
        tracemalloc.start()
        read()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 3 * len(error)
    with pytest.raises(ValueError, match="too many"):
        events_of_message(b'{"type":"message","content":[%b]}' % items)


def test_no_more_models_are_read_of_a_page_than_a_provider_has() -> None:
    matcher = ModelMatcher({}, ["*"])
    page = b'{"data":[%b]}'
    rows = b",".join(b'{"id":"m-%d"}' % n for n in range(ROWS_MAX + 100))
    assert len(discovered_entries(page % rows, matcher)) == ROWS_MAX
    assert discovered_entries(page % dense(400_010, b"1"), matcher) == []
    assert discovered_entries(page % b'1,{},[],"x",{"id":"m"}', matcher)[0].id == "m"
