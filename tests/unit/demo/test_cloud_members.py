import pytest

from ccrelay.demo.cloud import Surface
from ccrelay.demo.cloud_errors import CloudError
from ccrelay.demo.cloud_members import TOP, check_members
from ccrelay.demo.cloud_models import MODELS

NEAR = {Surface.CLAUDE_AWS, Surface.CLAUDE_GOOGLE, Surface.AZURE}
FAR = set(Surface) - NEAR
SEARCH = "tool-search-tool-2025-10-19"
CONTEXT = "context-management-2025-06-27"


def problem(surface, body, model="claude-opus-5", flags=(), *, counts=False):
    """What is wrong; "" if nothing is."""
    try:
        check_members(surface, MODELS[model], body, frozenset(flags), counts=counts)
    except CloudError as error:
        return error.message
    return ""


def accepted_by(body, model="claude-opus-5", flags=()):
    return {surface for surface in Surface if not problem(surface, body, model, flags)}


def turn(*content, role="user", **members):
    return {"messages": [{"role": role, "content": list(content), **members}]}


def test_plain_members_are_accepted_everywhere():
    body = turn({"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}})
    body |= {"max_tokens": 1, "system": "s", "tools": [{"name": "a", "input_schema": {}}]}
    assert accepted_by(body) == set(Surface)


@pytest.mark.parametrize("surface", Surface)
def test_unknown_members_are_refused(surface):
    assert problem(surface, {"nope": 1}) == "nope: Extra inputs are not permitted"
    for name in set().union(*TOP.values()) - TOP[surface]:
        assert problem(surface, {name: None}).startswith(f"{name}: Extra inputs")


@pytest.mark.parametrize(
    ("body", "surfaces"),
    [
        ({"model": "m"}, set(Surface) - {Surface.INVOKE, Surface.VERTEX}),
        ({"stream": True}, set(Surface) - {Surface.INVOKE}),
        ({"anthropic_beta": []}, {Surface.INVOKE}),
        ({"metadata": {"user_id": "x"}}, set(Surface) - {Surface.RUNTIME}),
        ({"mcp_servers": []}, {Surface.CLAUDE_AWS, Surface.CLAUDE_GOOGLE}),
        ({"fallbacks": []}, {Surface.CLAUDE_AWS, Surface.CLAUDE_GOOGLE}),
        ({"metadata": {"trace": "x"}}, set()),
        ({"thinking": {"type": "disabled"}}, {Surface.CLAUDE_AWS, Surface.CLAUDE_GOOGLE}),
        ({"output_config": {"format": {}}}, set(Surface) - {Surface.RUNTIME}),
        (turn(role="user", output_config={}), NEAR),
        (turn(role="user", nope={}), set()),
        (
            {"tools": [{"name": "a", "eager_input_streaming": True}]},
            set(Surface) - {Surface.RUNTIME},
        ),
        ({"tools": [{"name": "a", "custom": {}}]}, NEAR),
        ({"tools": [{"type": "web_search_20250305", "name": "a"}]}, NEAR | {Surface.VERTEX}),
        ({"tools": [{"type": "web_fetch_20250910", "name": "a"}]}, NEAR),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, set(Surface)),
        (turn({"type": "image", "source": {"type": "url", "url": "u"}}), NEAR),
        (turn({"type": "document", "source": {"type": "file", "file_id": "f"}}), NEAR),
        (turn({"type": "image", "source": {"type": "base64", "data": ""}}), set(Surface)),
        (turn({"type": "server_tool_use"}), NEAR | {Surface.VERTEX}),
        (turn({"type": "mcp_tool_use"}), NEAR),
        (turn({"type": "thinking", "thinking": "t", "signature": ""}), set()),
        (
            turn({"type": "text", "text": "", "cache_control": {"type": "ephemeral", "ttl": "2h"}}),
            set(),
        ),
    ],
)
def test_members_by_surface(body, surfaces):
    assert accepted_by(body) == surfaces


def test_edits_of_the_context():
    clear = {"context_management": {"edits": [{"type": "clear_thinking_20251015"}]}}
    assert accepted_by(clear, flags=[CONTEXT]) == NEAR | {Surface.MANTLE}
    assert accepted_by(clear) == set()
    uses = {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}
    assert accepted_by(uses, flags=[CONTEXT]) == set(Surface) - {Surface.VERTEX}
    compact = {"context_management": {"edits": [{"type": "compact_20260112"}]}}
    few = {Surface.INVOKE, Surface.RUNTIME, Surface.VERTEX}
    assert accepted_by(compact, flags=[CONTEXT]) == set(Surface) - few
    assert accepted_by(compact, flags=["compact-2026-01-12"]) == set(Surface)
    assert accepted_by({"context_management": None}) == NEAR


def test_deferred_tools_need_their_flag():
    deferred = {"tools": [{"name": "a", "defer_loading": True}]}
    assert accepted_by(deferred) == set()
    assert accepted_by(deferred, flags=[SEARCH]) == set(Surface)
    assert accepted_by(deferred, flags=["advanced-tool-use-2025-11-20"]) == NEAR
    reference = turn({"type": "tool_result", "content": [{"type": "tool_reference"}]})
    assert accepted_by(reference) == set()
    assert accepted_by(reference, flags=[SEARCH]) == set(Surface)


def test_the_scope_of_a_cache_needs_its_flag():
    scoped = {
        "system": [{"type": "text", "cache_control": {"type": "ephemeral", "scope": "global"}}]
    }
    assert accepted_by(scoped) == set()
    flags = ["prompt-caching-scope-2026-01-05"]
    assert accepted_by(scoped, flags=flags) == {Surface.CLAUDE_AWS, Surface.CLAUDE_GOOGLE}


def test_four_marks_of_the_cache_at_most():
    marked = {"type": "text", "text": "", "cache_control": {"type": "ephemeral"}}
    assert problem(Surface.VERTEX, turn(*[marked] * 4)) == ""
    assert "Found 5" in problem(Surface.VERTEX, turn(*[marked] * 5))


@pytest.mark.parametrize(
    ("model", "body", "words"),
    [
        ("claude-opus-5", {"thinking": {"type": "enabled"}}, "thinking.type.enabled"),
        ("claude-haiku-4-5", {"thinking": {"type": "adaptive"}}, "adaptive"),
        ("claude-opus-5-5", {"tool_choice": {"type": "any"}}, "tool_choice"),
        ("claude-opus-4-7", turn(role="system"), "Unexpected role"),
        ("claude-haiku-4-5", {"output_config": {"effort": "high"}}, "output_config.effort"),
    ],
)
def test_models_have_rules_of_their_own(model, body, words):
    for surface in Surface:
        assert words in problem(surface, body, model)
    other = "claude-sonnet-4-6" if "thinking" in body else "claude-opus-5"
    assert accepted_by(body, other) == set(Surface)


def test_old_models_have_no_display_on_bedrock_and_vertex():
    shown = {"thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"}}
    assert accepted_by(shown, "claude-haiku-4-5") == NEAR
    effort = {"output_config": {"effort": "high"}}
    without = {Surface.INVOKE, Surface.VERTEX}
    assert accepted_by(effort, "claude-opus-4-5") == set(Surface) - without


def test_a_count_on_vertex_has_its_model_in_the_body():
    assert problem(Surface.VERTEX, {"model": "m"}, counts=True) == ""


@pytest.mark.parametrize("value", [None, 1, "x", [], [1, "x", None], {"a": 1}])
def test_members_of_other_types_are_left_to_the_parser(value):
    for name in ("messages", "tools", "system", "thinking", "output_config", "tool_choice"):
        for surface in Surface:
            problem(surface, {name: value})
            problem(surface, {"messages": [{"role": "user", "content": value}]})
