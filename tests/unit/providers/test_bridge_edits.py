"""Members and tools of other clients than Claude Code, by the tables of the providers reference."""

from typing import Any

import pytest

from ccrelay.errors import CannotServe
from ccrelay.providers.bridge import Surface
from ccrelay.providers.bridge_rows import ALL, AZURE, BEDROCK, RUNTIME, STRICT
from tests.unit.providers.test_bridge import PLAIN, Json, bridged

# Members that only Anthropic itself serves, and what a request without them loses.
NOT_ON_CLOUDS: tuple[tuple[str, Any], ...] = (
    ("speed", "fast"),
    ("service_tier", "auto"),
    ("inference_geo", "us"),
    ("fallbacks", [{"model": "claude-opus-5"}]),
    ("fallback_credit_token", "t"),
    ("billing_policy", {"type": "x"}),
)


@pytest.mark.parametrize(("name", "value"), NOT_ON_CLOUDS)
@pytest.mark.parametrize("surface", ALL)
def test_members_of_anthropics_own_service(surface: Surface, name: str, value: Any) -> None:
    body, found = bridged(surface, PLAIN | {name: value})
    assert (name in body) is (surface in ("claude-aws", "claude-google"))
    assert bool(found.left_out) is (name not in body)


@pytest.mark.parametrize("surface", STRICT)
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("mcp_servers", [{"type": "url", "url": "https://x", "name": "x"}], "MCP"),
        ("container", "container_1", "code execution"),
        ("container", {"skills": [{"skill_id": "pptx"}]}, "code execution"),
        ("thread", {"id": "thread_1"}, "threads"),
    ],
)
def test_a_request_that_needs_them_is_refused(
    surface: Surface, name: str, value: Any, said: str
) -> None:
    with pytest.raises(CannotServe, match=said):
        bridged(surface, PLAIN | {name: value})
    for nothing in (None, [], {}):
        body, found = bridged(surface, PLAIN | {name: nothing})
        assert name not in body
        assert found.left_out == ()


@pytest.mark.parametrize("surface", ["azure", "claude-aws", "claude-google"])
def test_what_has_no_row_is_kept_where_anthropics_own_service_runs(surface: Surface) -> None:
    sent = PLAIN | {"mcp_servers": [{"url": "x"}], "container": "c", "tags": {"a": "b"}}
    body, found = bridged(surface, sent)
    assert sent.keys() <= body.keys()
    assert found.left_out == ()


@pytest.mark.parametrize("surface", ALL)
def test_sampling_and_stop_sequences_are_kept(surface: Surface) -> None:
    sent = {"temperature": 1.0, "top_p": 0.5, "top_k": 4, "stop_sequences": ["x"]}
    body, _ = bridged(surface, PLAIN | sent)
    assert sent.items() <= body.items()


def test_metadata_is_kept_but_on_bedrock_messages() -> None:
    for surface in ALL:
        body, _ = bridged(surface, PLAIN | {"metadata": {"user_id": '{"device_id":"0"}'}})
        assert ("metadata" in body) is (surface != "bedrock-messages")


@pytest.mark.parametrize("surface", ALL)
def test_the_former_name_of_an_output_format(surface: Surface) -> None:
    format_ = {"type": "json_schema", "schema": {"type": "object"}}
    body, _ = bridged(surface, PLAIN | {"output_format": format_})
    if surface in STRICT:
        assert body["output_config"] == {"format": format_}
        assert "output_format" not in body
    else:
        assert body["output_format"] == format_
    sent = PLAIN | {"output_format": format_, "output_config": {"effort": "low"}}
    if surface in STRICT:
        assert bridged(surface, sent)[0]["output_config"] == {"effort": "low", "format": format_}


def test_other_settings_of_output_config_stay() -> None:
    sent = PLAIN | {"output_config": {"effort": "low", "format": {"type": "json_schema"}}}
    body, _ = bridged("vertex", sent, model="claude-opus-4-5@20251101")
    assert body["output_config"] == {"format": {"type": "json_schema"}}
    body, _ = bridged("mantle", sent, model="anthropic.claude-opus-4-5")
    assert body["output_config"] == sent["output_config"]
    body, _ = bridged("mantle", sent, model="anthropic.claude-haiku-4-5")
    assert body["output_config"] == {"format": {"type": "json_schema"}}


CLEAR_TOOLS = {"type": "clear_tool_uses_20250919"}
CLEAR_THINKING = {"type": "clear_thinking_20251015", "keep": "all"}
COMPACT = {"type": "compact_20260112"}
CONTEXT_BETAS = ("context-management-2025-06-27", "compact-2026-01-12")


@pytest.mark.parametrize("surface", [*RUNTIME, "vertex"])
def test_edits_of_the_context_that_the_cloud_knows_stay_with_their_betas(surface: Surface) -> None:
    sent = PLAIN | {"context_management": {"edits": [CLEAR_THINKING, CLEAR_TOOLS, COMPACT]}}
    body, found = bridged(surface, sent, betas=CONTEXT_BETAS)
    kept = [COMPACT] if surface == "vertex" else [CLEAR_TOOLS, COMPACT]
    assert body["context_management"] == {"edits": kept}
    listed = body.get("anthropic_beta") or found.betas
    assert sorted(listed) == sorted(CONTEXT_BETAS)
    body, found = bridged(
        surface,
        PLAIN | {"context_management": {"edits": [CLEAR_THINKING]}},
        betas=CONTEXT_BETAS[:1],
    )
    assert "context_management" not in body
    assert found.betas == ()
    assert "anthropic_beta" not in body


@pytest.mark.parametrize("surface", ALL)
def test_automatic_caching(surface: Surface) -> None:
    body, found = bridged(surface, PLAIN | {"cache_control": {"type": "ephemeral"}})
    assert ("cache_control" in body) is (surface not in RUNTIME)
    assert ("automatic_caching" in found.left_out) is (surface in RUNTIME)


# --- tools --------------------------------------------------------------------------------------


def with_tools(*tools: Json) -> Json:
    return PLAIN | {"tools": list(tools)}


SERVER_TOOLS = (
    *("web_search_20250305", "web_search_20260209", "web_fetch_20250910"),
    *("code_execution_20250825", "mcp_toolset", "browser_toolset_20260801"),
)


@pytest.mark.parametrize("kind", SERVER_TOOLS)
@pytest.mark.parametrize("surface", STRICT)
def test_server_tools_that_a_cloud_lacks(surface: Surface, kind: str) -> None:
    sent = with_tools({"name": "mine", "input_schema": {}}, {"type": kind, "name": "x"})
    if surface == "vertex" and kind == "web_search_20250305":
        assert bridged(surface, sent)[0]["tools"] == sent["tools"]
    else:
        with pytest.raises(CannotServe):
            bridged(surface, sent)


@pytest.mark.parametrize("surface", ALL)
@pytest.mark.parametrize(
    "kind", ["bash_20250124", "text_editor_20250728", "memory_20250818", "computer_20251124"]
)
def test_tools_that_the_client_runs_go_everywhere(surface: Surface, kind: str) -> None:
    sent = with_tools({"type": kind, "name": "x"})
    assert bridged(surface, sent)[0]["tools"] == sent["tools"]


WEB_SEARCH = {"name": "WebSearch", "description": "d", "input_schema": {}}
OTHER = {"name": "Read", "input_schema": {}}
CLAUDE_CODE = ("claude-code-20250219",)


@pytest.mark.parametrize("surface", ALL)
def test_the_clients_web_search_tool(surface: Surface) -> None:
    body, found = bridged(surface, with_tools(WEB_SEARCH, OTHER), betas=CLAUDE_CODE)
    assert body["tools"] == ([OTHER] if surface in BEDROCK else [WEB_SEARCH, OTHER])
    assert ("web_search_tool" in found.left_out) is (surface in BEDROCK)
    # Another client's tool of that name is its own.
    assert bridged(surface, with_tools(WEB_SEARCH))[0]["tools"] == [WEB_SEARCH]


def test_without_any_tool_there_is_no_choice_of_one() -> None:
    choice = {"tool_choice": {"type": "any"}}
    body, _ = bridged("mantle", with_tools(WEB_SEARCH) | choice, betas=CLAUDE_CODE)
    assert not {"tools", "tool_choice"} & body.keys()
    named = {"tool_choice": {"type": "tool", "name": "WebSearch"}}
    body, _ = bridged("mantle", with_tools(WEB_SEARCH) | named, betas=CLAUDE_CODE)
    assert body["tools"] == [WEB_SEARCH]
    assert bridged("mantle", PLAIN | {"tools": []})[0]["tools"] == []


def test_a_tool_that_the_conversation_refers_to_stays() -> None:
    reference = {"type": "tool_reference", "tool_name": "WebSearch"}
    sent = with_tools(WEB_SEARCH | {"defer_loading": True}) | {
        "messages": [
            {"role": "user", "content": [{"type": "tool_result", "content": [reference]}]},
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
        ]
    }
    body, _ = bridged("mantle", sent, betas=CLAUDE_CODE)
    assert body["tools"] == sent["tools"]


@pytest.mark.parametrize("surface", STRICT)
def test_deferred_tools_get_their_beta(surface: Surface) -> None:
    for tool in ({**OTHER, "defer_loading": True}, {"type": "tool_search_tool_bm25_20251119"}):
        body, found = bridged(surface, with_tools(tool))
        assert body["tools"] == [tool]
        listed = body.get("anthropic_beta") or found.betas
        assert list(listed) == ["tool-search-tool-2025-10-19"]
    assert bridged(surface, with_tools(OTHER))[1].betas == ()


@pytest.mark.parametrize("surface", ALL)
def test_members_of_tools(surface: Surface) -> None:
    tool = OTHER | {
        "type": "custom",
        "strict": True,
        "eager_input_streaming": True,
        "input_examples": [{}],
        "custom": {"x": 1},
        "allowed_callers": ["direct"],
        "cache_control": {"type": "ephemeral", "ttl": "1h", "scope": "global"},
    }
    (sent,) = bridged(surface, with_tools(tool))[0]["tools"]
    wanted = set(tool)
    if surface in STRICT:
        wanted -= {"custom", "allowed_callers"}
    if surface in STRICT and surface != "mantle":
        wanted -= {"input_examples"}
    if surface == "bedrock-messages":
        wanted -= {"eager_input_streaming"}
    assert set(sent) == wanted
    keeps_scope = surface in ("claude-aws", "claude-google")
    assert set(sent["cache_control"]) == {"type", "ttl"} | ({"scope"} if keeps_scope else set())


def test_examples_of_tools_have_a_beta_of_their_own_on_mantle() -> None:
    _, found = bridged("mantle", with_tools(OTHER | {"input_examples": [{}]}))
    assert found.betas == ("tool-examples-2025-10-29",)


def test_the_advisor_is_left_out_where_it_is_missing() -> None:
    advisor = {"type": "advisor_20260301", "name": "advisor"}
    for surface in (*AZURE, *STRICT):
        body, found = bridged(
            surface, with_tools(advisor, OTHER), betas=("advisor-tool-2026-03-01",)
        )
        assert body["tools"] == [OTHER]
        assert found.betas == ()


# --- cache_control ------------------------------------------------------------------------------


@pytest.mark.parametrize("surface", ALL)
def test_cache_control_in_every_place(surface: Surface) -> None:
    control = {"type": "ephemeral", "scope": "global", "ttl": "1h"}
    text = {"type": "text", "text": "x", "cache_control": control}
    sent = PLAIN | {
        "system": [text],
        "messages": [
            {"role": "user", "content": [text, {"type": "tool_result", "content": [text]}]}
        ],
    }
    body, found = bridged(surface, sent, betas=("prompt-caching-scope-2026-01-05",))
    keeps = surface in ("claude-aws", "claude-google")
    for block in (
        body["system"][0],
        body["messages"][0]["content"][0],
        body["messages"][0]["content"][1]["content"][0],
    ):
        assert ("scope" in block["cache_control"]) is keeps
        assert block["cache_control"]["ttl"] == "1h"
    assert bool(found.betas) is keeps


def test_old_models_on_bedrock_get_no_ttl() -> None:
    text = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    sent = PLAIN | {"system": [text]}
    body, found = bridged("bedrock-invoke", sent, model="anthropic.claude-3-7-sonnet-20250219-v1:0")
    assert body["system"][0]["cache_control"] == {"type": "ephemeral"}
    assert "cache_ttl" in found.left_out


@pytest.mark.parametrize(
    ("model", "keeps"),
    [
        ("us.anthropic.claude-opus-4-7", True),
        ("us.anthropic.claude-sonnet-4-6", True),
        ("us.anthropic.claude-opus-4-6-v1", False),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", False),
    ],
)
def test_arguments_of_tools_are_streamed_where_the_client_asks_bedrock_for_it(
    model: str, keeps: bool
) -> None:
    tool = OTHER | {"eager_input_streaming": True}
    body, _ = bridged("bedrock-invoke", with_tools(tool), model=model)
    assert ("eager_input_streaming" in body["tools"][0]) is keeps


@pytest.mark.parametrize("surface", ALL)
def test_an_output_format_of_claude_code_goes_where_the_client_sends_it(surface: Surface) -> None:
    """Its requests for titles: one of a small model has no beta but the last."""
    beta = "structured-outputs-2025-12-15"
    format_ = {"type": "json_schema", "schema": {"type": "object"}}
    sent = PLAIN | {"output_config": {"effort": "medium", "format": format_}}
    for own in ("claude-code-20250219", "thinking-token-count-2026-05-13"):
        body, found = bridged(surface, sent, betas=(own, beta))
        has_none = surface in ("bedrock-invoke", "vertex")
        assert ("format" in body["output_config"]) is not has_none
        assert (beta in found.betas) is (surface == "mantle" or surface not in STRICT)
    # Others need it.
    assert bridged(surface, sent, betas=(beta,))[0]["output_config"]["format"] == format_
