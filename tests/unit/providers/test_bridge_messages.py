from typing import Any

import pytest

from ccrelay.errors import CannotServe
from ccrelay.providers.bridge import Surface
from ccrelay.providers.bridge_rows import ALL, STRICT
from tests.unit.providers.test_bridge import PLAIN, Json, bridged


def turns(*messages: Json) -> Json:
    return PLAIN | {"messages": list(messages)}


def user(*blocks: Json) -> Json:
    return {"role": "user", "content": list(blocks)}


HI = {"type": "text", "text": "hi"}


# --- sources ------------------------------------------------------------------------------------


def image(kind: str) -> Json:
    return {"type": "image", "source": {"type": kind, "url": "https://x/y.png"}}


@pytest.mark.parametrize("surface", ALL)
@pytest.mark.parametrize("kind", ["image", "document"])
@pytest.mark.parametrize("source", ["url", "file"])
def test_sources_that_a_cloud_would_have_to_fetch(surface: Surface, kind: str, source: str) -> None:
    block = image(source) | {"type": kind}
    for sent in (
        turns(user(HI, block)),
        turns(user({"type": "tool_result", "tool_use_id": "t", "content": [HI, block]})),
    ):
        if surface in STRICT:
            with pytest.raises(CannotServe, match=r"URL|Files"):
                bridged(surface, sent)
        else:
            assert bridged(surface, sent)[0]["messages"] == sent["messages"]


@pytest.mark.parametrize("surface", ALL)
def test_what_looks_like_one_but_is_none(surface: Surface) -> None:
    sent = turns(
        user(image("base64")),
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "t", "name": "f", "input": {"source": {"type": "url"}}},
                {"type": "text", "text": '{"type":"image","source":{"type":"url"}}'},
            ],
        },
        user({"type": "tool_result", "tool_use_id": "t", "content": '"type":"file"'}),
    )
    assert bridged(surface, sent)[0]["messages"] == sent["messages"]


# --- blocks -------------------------------------------------------------------------------------

FOREIGN = (
    *("web_fetch_tool_result", "code_execution_tool_result", "container_upload"),
    *("mcp_tool_use", "mcp_tool_result", "fallback", "bash_code_execution_tool_result"),
)


@pytest.mark.parametrize("surface", STRICT)
@pytest.mark.parametrize("kind", FOREIGN)
def test_content_that_a_cloud_does_not_take_is_refused_and_not_dropped(
    surface: Surface, kind: str
) -> None:
    with pytest.raises(CannotServe):
        bridged(surface, turns({"role": "assistant", "content": [HI, {"type": kind}]}))


@pytest.mark.parametrize("surface", ALL)
def test_content_is_kept(surface: Surface) -> None:
    blocks: list[Json] = [
        {"type": "thinking", "thinking": "", "signature": "Eg"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": ""},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        {"type": "server_tool_use", "id": "s", "name": "tool_search_tool_bm25", "input": {}},
        {"type": "tool_search_tool_result", "tool_use_id": "s", "content": {"type": "x"}},
        {"type": "search_result", "source": "x", "content": [HI]},
        {"type": "from_the_future", "x": [1]},
    ]
    sent = turns(*({"role": "assistant", "content": [block]} for block in blocks))
    assert bridged(surface, sent)[0]["messages"] == sent["messages"]


# --- turns --------------------------------------------------------------------------------------


@pytest.mark.parametrize("surface", STRICT)
def test_effort_of_a_turn_goes_with_its_beta(surface: Surface) -> None:
    sent = turns(
        user(HI),
        {"role": "system", "content": "x", "output_config": {"effort": "low"}, "clear_at": "y"},
    )
    body, found = bridged(surface, sent, betas=("per-turn-control-2026-07-01",))
    assert body["messages"][1] == {"role": "system", "content": "x"}
    assert "per_turn_control" in found.left_out
    assert found.betas == ()


@pytest.mark.parametrize("surface", ALL)
@pytest.mark.parametrize(
    ("model", "folds"),
    [("claude-opus-4-7", True), ("claude-sonnet-4-5", True), ("claude-sonnet-5", False)],
)
def test_models_that_do_not_take_system_turns(surface: Surface, model: str, folds: bool) -> None:
    sent = turns(user(HI), {"role": "system", "content": "x"}, user(HI))
    body, found = bridged(surface, sent, model=model)
    roles = [turn["role"] for turn in body["messages"]]
    assert ("system" not in roles) is folds
    assert ("system_turns" in found.left_out) is folds
    assert [b["text"] for t in body["messages"] for b in t["content"] if isinstance(b, dict)] == (
        ["hi", "x", "hi"] if folds else ["hi", "hi"]
    )


def addition(tool: Json) -> Json:
    return {"role": "system", "content": [{"type": "tool_addition", "tool": tool}]}


@pytest.mark.parametrize("surface", STRICT)
def test_a_turn_that_only_changes_tools_goes_and_its_tools_are_there_from_the_start(
    surface: Surface,
) -> None:
    tools = [
        {"name": name, "input_schema": {}, "defer_loading": True} for name in ("late", "later")
    ]
    sent = turns(
        user(HI),
        addition({"type": "tool_reference", "tool_name": "late"}),
        {"role": "system", "content": [HI, {"type": "tool_removal", "tool": {"name": "x"}}]},
    )
    body, found = bridged(surface, sent | {"tools": tools})
    assert body["messages"] == [user(HI), {"role": "system", "content": [HI]}]
    assert ["defer_loading" in tool for tool in body["tools"]] == [False, True]
    assert "tool_changes" in found.left_out


@pytest.mark.parametrize("surface", STRICT)
def test_a_tool_that_is_defined_on_the_way_cannot_be_left_out(surface: Surface) -> None:
    with pytest.raises(CannotServe, match="tool_addition"):
        bridged(surface, turns(addition({"type": "tool_definition", "definition": {}})))


HOSTILE: tuple[Any, ...] = (
    {"type": "tool_addition"},
    {"type": "tool_addition", "tool": []},
    {"type": "tool_addition", "tool": {"tool_name": 1}},
    {"type": "tool_removal", "tool": "\ud800"},
    {"type": "image", "source": "url"},
    {"type": "image", "source": {"type": ["url"]}},
    {"type": "document"},
    {"type": "tool_result", "content": {"type": "tool_reference"}},
    {"type": "tool_result", "content": [{"type": "tool_result", "content": [HI]}]},
    {"type": "text", "cache_control": "scope"},
    {"type": "text", "cache_control": {"scope": {"scope": []}}},
    *({"type": "tool_reference", "tool_name": wrong} for wrong in (1, None, [], {})),
)


@pytest.mark.parametrize("surface", ALL)
@pytest.mark.parametrize("block", HOSTILE, ids=str)
def test_odd_blocks_never_raise_anything_else(surface: Surface, block: Json) -> None:
    dropped = frozenset({"tool_search"})
    for role in ("user", "system", "assistant", "x"):
        bridged(surface, turns({"role": role, "content": [block, 1, "x", None]}), dropped=dropped)


@pytest.mark.parametrize("surface", ALL)
def test_deep_nesting_costs_no_more_than_its_bytes(surface: Surface) -> None:
    deep = b'{"type":"tool_result","content":[' * 200 + b"]}" * 200
    body = b'{"messages":[{"role":"user","content":[%b]}]}' % deep
    assert deep in bridged(surface, body)[1].body
