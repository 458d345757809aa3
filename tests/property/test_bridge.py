"""Content of a body arrives, in order and whole, or the request is refused."""

import json
from typing import Any

from hypothesis import given, settings, strategies as st

from ccrelay.errors import CannotServe
from ccrelay.providers.base import Outgoing
from ccrelay.providers.bridge import apply
from ccrelay.providers.bridge_features import BY_BETA, BY_NAME
from ccrelay.providers.bridge_rows import ALL, STRICT
from ccrelay.types import RequestClass

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
CONTROL = st.fixed_dictionaries(
    {"type": st.just("ephemeral")},
    optional={"ttl": st.sampled_from(["5m", "1h"]), "scope": st.just("global")},
)
TEXT = st.fixed_dictionaries(
    {"type": st.just("text"), "text": st.text(max_size=12)}, optional={"cache_control": CONTROL}
)
BLOCK = (
    TEXT
    | st.fixed_dictionaries(
        {
            "type": st.sampled_from(["thinking", "tool_use", "image", "document", "new_thing"]),
            "source": st.fixed_dictionaries({"type": st.sampled_from(["base64", "url", "x"])}),
            "input": ANYTHING,
        }
    )
    | st.fixed_dictionaries(
        {
            "type": st.just("tool_result"),
            "content": st.text(max_size=5)
            | st.lists(
                TEXT
                | st.fixed_dictionaries(
                    {"type": st.just("tool_reference"), "tool_name": st.text(max_size=4)}
                ),
                max_size=3,
            ),
        }
    )
)
TURN = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system"]),
        "content": st.text(max_size=6) | st.lists(BLOCK, max_size=3),
    },
    optional={"output_config": ANYTHING, "clear_at": ANYTHING},
)
NAMES = st.sampled_from(
    [
        *("thinking", "output_config", "context_management", "metadata", "speed", "fancy"),
        *("cache_control", "safeguards", "output_format", "stop_sequences", "diagnostics"),
    ]
)
TOOL = st.fixed_dictionaries(
    {"name": st.sampled_from(["Read", "WebSearch", "x"]), "input_schema": ANYTHING},
    optional={
        "defer_loading": st.booleans(),
        "strict": st.booleans(),
        "type": st.sampled_from(["custom", "bash_20250124", "web_search_20250305"]),
        "cache_control": CONTROL,
    },
)
BODY = st.builds(
    lambda turns, tools, more: {"messages": turns, "tools": tools, "max_tokens": 1} | more,
    st.lists(TURN, max_size=4),
    st.lists(TOOL, max_size=3),
    st.dictionaries(NAMES, ANYTHING, max_size=4),
)
BETAS = st.lists(st.sampled_from([*BY_BETA, "fancy-2027-01-01"]), max_size=6)
DROPPED = st.frozensets(
    st.sampled_from([*BY_NAME, "beta:x-2027-01-01", "member:fancy", "tool-member:strict"]),
    max_size=2,
)
MODELS = st.sampled_from(
    ["claude-opus-5-5", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-3-7-sonnet", "x"]
)
TOOL_CHANGES = {"tool_addition", "tool_removal"}


def contents(turns: list[dict[str, Any]]) -> list[Any]:
    """All content in order, without `cache_control`; references to tools as their names."""
    found: list[Any] = []
    for turn in turns:
        content = turn["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        found += [plain(block) for block in blocks if block != {"type": "text", "text": ""}]
    return found


def plain(block: dict[str, Any]) -> Any:
    found = {name: value for name, value in block.items() if name != "cache_control"}
    if found["type"] == "tool_reference":
        return {"type": "text", "text": found["tool_name"]}
    if found["type"] == "tool_result" and isinstance(found["content"], list):
        found["content"] = [plain(inner) for inner in found["content"]]
    return found


@settings(max_examples=300, deadline=None)
@given(BODY, st.sampled_from(ALL), MODELS, BETAS, DROPPED, st.booleans())
def test_content_arrives(
    body: dict[str, Any],
    surface: Any,
    model: str,
    betas: list[str],
    dropped: frozenset[str],
    counts: bool,
) -> None:
    kind = RequestClass.COUNT_TOKENS if counts else RequestClass.MESSAGES
    request = Outgoing(json.dumps(body).encode(), model, kind, stream=True, betas=tuple(betas))
    request.dropped = dropped
    try:
        found = apply(surface, request)
    except CannotServe:
        return
    sent = json.loads(found.body)
    before, after = contents(body["messages"]), contents(sent["messages"])
    folds = any(turn["role"] == "system" for turn in body["messages"])
    if folds:  # system text moves behind the results of tools
        before.sort(key=json.dumps)
        after.sort(key=json.dumps)
    assert after == before
    assert len(set(found.betas)) == len(found.betas)
    if surface in STRICT:
        assert "fancy" not in sent
        assert "fancy-2027-01-01" not in {*found.betas, *sent.get("anthropic_beta", ())}
    kept = [tool["name"] for tool in sent.get("tools", [])]
    gone = [tool["name"] for tool in body["tools"] if tool["name"] not in kept]
    assert set(gone) <= {"WebSearch"}


@settings(max_examples=100, deadline=None)
@given(BODY, st.sampled_from(ALL), MODELS, BETAS)
def test_what_was_bridged_stays_as_it_is(
    body: dict[str, Any], surface: Any, model: str, betas: list[str]
) -> None:
    first = Outgoing(
        json.dumps(body).encode(), model, RequestClass.MESSAGES, stream=True, betas=tuple(betas)
    )
    try:
        once = apply(surface, first)
    except CannotServe:
        return
    if surface == "bedrock-invoke":
        return  # its form is not the one that comes in
    again = Outgoing(
        once.body, model, RequestClass.MESSAGES, stream=True, betas=once.betas, version=once.version
    )
    twice = apply(surface, again)
    assert json.loads(twice.body) == json.loads(once.body)
    assert sorted(twice.betas) == sorted(once.betas)
