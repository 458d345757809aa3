"""The bridge's table: what each surface keeps, drops, moves or rewrites of each feature.

Data only; `bridge_plan` reads it, `bridge_page` prints it. Of several rows that match,
the last one holds, for each half by itself. What has no row: azure, claude-aws and claude-google
keep it; the others drop it, or refuse a request that needs it.

Sources: `CLI` is what Claude Code 2.1.332 itself sends to that cloud for the prompt that it sends
to Anthropic in that form (recorded; it wins over the others). `SDK` is the official Python SDK.
`5.2` and its like are sections of the providers reference, `LL` what LiteLLM lists there.
"""

from ccrelay.providers.bridge_features import (
    ADVANCED_TOOL_USE,
    CLAUDE_CODE,
    FALLBACK_CREDIT,
    TOOL_SEARCH_TOOL,
)
from ccrelay.providers.bridge_rows import (
    ALL,
    ANTHROPICS,
    AZURE,
    BEDROCK,
    INVOKE,
    MANTLE,
    RUNTIME,
    STRICT,
    VERTEX,
    Row,
)

# Only Claude Code sends it, and not with experimental betas off.
_EXPERIMENTAL = ("thinking-token-count-2026-05-13",)
_SENT = "the CLI sends it there"
_LEFT = "the CLI leaves it out there"
_LIST = "the CLI sends it in the body's list"
_BOTH = "the CLI sends it in the header and in the body's list"
_UNKNOWN = "the cloud does not know it"
_NOT_THERE = "the cloud does not have it"
_NOT_IN_COUNTS = "refused in counts; the CLI counts without it"
_READS_LIST = "the cloud reads the body's list"

ROWS: tuple[Row, ...] = (
    # --- what Claude Code sends ---
    Row("claude_code", "keep", STRICT, _SENT, "CLI"),
    Row(
        "claude_code",
        "move",
        INVOKE,
        "the CLI counts with this beta alone, in the body's list",
        "CLI",
        kind="count",
    ),
    Row("interleaved_thinking", "keep", STRICT, _SENT, "CLI"),
    Row("interleaved_thinking", "move", INVOKE, _LIST, "CLI"),
    Row("interleaved_thinking", "drop", (*RUNTIME, *VERTEX), _LEFT, "CLI", models="haiku<=4.5"),
    Row("interleaved_thinking", "drop", RUNTIME, _LEFT, "CLI", kind="count"),
    Row("context_management", "keep", MANTLE, _SENT, "CLI"),
    Row(
        "context_management",
        "keep",
        (*RUNTIME, *VERTEX),
        "for the edits that the cloud knows",
        "5.2, 11",
        when=("context_management",),
    ),
    Row(
        "context_management",
        "move",
        INVOKE,
        "for the edits that the cloud knows",
        "5.2, 11",
        part="beta",
        when=("context_management",),
    ),
    Row("clear_thinking", "keep", MANTLE, _SENT, "CLI"),
    Row(
        "clear_thinking",
        "drop",
        (*RUNTIME, *VERTEX),
        "refused there; the CLI leaves out context_management",
        "CLI, 5.2",
    ),
    Row("clear_tool_uses", "keep", (*MANTLE, *RUNTIME), "the clouds know it", "5.2"),
    Row("clear_tool_uses", "drop", VERTEX, "no model is known to take it", "6.1, 12"),
    Row("per_turn_control", "drop", STRICT, _LEFT, "CLI"),
    Row("tool_changes", "drop", STRICT, _LEFT, "CLI"),
    Row("thinking_token_count", "keep", STRICT, _SENT, "CLI"),
    Row("thinking_token_count", "copy", INVOKE, _BOTH, "CLI"),
    Row("thinking_token_count", "drop", STRICT, _LEFT, "CLI", models="<=4.6"),
    Row("thinking_display", "keep", STRICT, _SENT, "CLI"),
    Row("thinking_display", "copy", INVOKE, _BOTH, "CLI", part="beta"),
    Row("thinking_display", "drop", STRICT, _LEFT, "CLI", models="<=4.6"),
    Row("tool_search", "keep", STRICT, _SENT, "CLI"),
    Row(
        "tool_search",
        "rewrite",
        STRICT,
        "the cloud knows the feature by that name",
        "CLI, LL",
        part=ADVANCED_TOOL_USE,
        to=TOOL_SEARCH_TOOL,
    ),
    Row("tool_search", "move", INVOKE, _LIST, "CLI", part=TOOL_SEARCH_TOOL),
    Row(
        "tool_search",
        "add",
        STRICT,
        "defer_loading without it is refused",
        "11",
        to=TOOL_SEARCH_TOOL,
        when=("tool_search",),
    ),
    Row("effort", "keep", STRICT, _SENT, "CLI"),
    Row(
        "effort",
        "drop",
        (*RUNTIME, *VERTEX),
        "refused there for these models",
        "CLI, 6.1",
        models="<=4.5",
    ),
    Row(
        "effort",
        "drop",
        MANTLE,
        "the models do not take it",
        "4",
        models="sonnet<=4.5,haiku<=4.5,opus<=4.1",
    ),
    Row("web_search", "refuse", BEDROCK, _NOT_THERE, "5.2, 5.8", part="body"),
    Row("web_search", "drop", BEDROCK, _LEFT, "CLI", part="beta"),
    Row("web_search", "keep", VERTEX, _SENT, "CLI"),
    Row(
        "web_search",
        "refuse",
        VERTEX,
        "the cloud has web_search_20250305 only",
        "6.1",
        part="tool:web_search_",
    ),
    Row("web_search", "keep", VERTEX, _SENT, "CLI, 6.1", part="tool:web_search_20250305"),
    Row(
        "web_search",
        "add",
        (*AZURE, *VERTEX),
        "the CLI always sends it there",
        "CLI",
        to="web-search-2025-03-05",
        when=("web_search", CLAUDE_CODE, *_EXPERIMENTAL),
        kind="messages",
    ),
    Row(
        "web_search_tool",
        "drop",
        BEDROCK,
        "the CLI does not offer its WebSearch tool there, because the cloud cannot search",
        "CLI",
        when=(CLAUDE_CODE,),
    ),
    Row("web_search_tool", "keep", VERTEX, _SENT, "CLI"),
    Row("advisor", "drop", (*AZURE, *STRICT), _NOT_THERE, "7, LL"),
    Row(
        "advisor",
        "add",
        ANTHROPICS,
        "the CLI sends it there, unless experimental betas are off",
        "CLI",
        to="advisor-tool-2026-03-01",
        when=_EXPERIMENTAL,
        kind="messages",
    ),
    Row("cache_scope", "drop", (*AZURE, *STRICT), _UNKNOWN, "5.2, 6.1, 7"),
    Row(
        "cache_scope",
        "add",
        ("claude-aws",),
        "the CLI sends it there, unless experimental betas are off",
        "CLI",
        to="prompt-caching-scope-2026-01-05",
        when=_EXPERIMENTAL,
        kind="messages",
    ),
    Row(
        "long_cache_beta", "drop", STRICT, "the CLI leaves it out there; `ttl` needs no beta", "CLI"
    ),
    Row("cache_ttl", "keep", STRICT, _SENT, "CLI"),
    Row("cache_ttl", "drop", RUNTIME, "these models do not take it", "5.2", models="<4.5"),
    Row("long_context", "keep", STRICT, _SENT, "CLI"),
    Row("long_context", "move", INVOKE, _LIST, "CLI"),
    Row("safeguards", "keep", STRICT, _SENT, "CLI"),
    Row("safeguards", "copy", INVOKE, _BOTH, "CLI", part="beta"),
    Row("auto_mode", "keep", STRICT, _SENT, "CLI"),
    Row("auto_mode", "copy", INVOKE, _BOTH, "CLI"),
    Row("token_counting", "keep", (*MANTLE, *VERTEX), _SENT, "CLI", kind="count"),
    # Its counts refuse betas that its messages take ("Unexpected value(s)").
    Row("web_search", "drop", VERTEX, _NOT_IN_COUNTS, "clouds 4", part="beta", kind="count"),
    Row("effort", "drop", VERTEX, _NOT_IN_COUNTS, "clouds 4", kind="count"),
    Row("thinking_token_count", "drop", VERTEX, _NOT_IN_COUNTS, "CLI", kind="count"),
    Row("thinking_display", "drop", VERTEX, _NOT_IN_COUNTS, "CLI", kind="count"),
    Row("system_turns", "keep", STRICT, _SENT, "CLI"),
    Row(
        "system_turns",
        "rewrite",
        ALL,
        "these models do not take them; the CLI sends them none",
        "4, CLI",
        models="<=4.7",
    ),
    Row("thinking_disabled", "drop", ALL, "the CLI leaves out `thinking` there", "CLI"),
    Row("subscription", "drop", ALL, "for Anthropic's own logins", "11"),
    # --- what other clients send ---
    Row("thinking_binding", "keep", STRICT, "the clouds know it", "LL"),
    Row("thinking_binding", "move", INVOKE, _READS_LIST, "LL", part="beta"),
    Row("tool_examples", "keep", MANTLE, "the cloud knows it", "LL"),
    Row(
        "tool_examples",
        "add",
        MANTLE,
        "the cloud knows the feature by that name",
        "11",
        to="tool-examples-2025-10-29",
        when=("tool_examples",),
    ),
    Row(
        "structured_outputs",
        "keep",
        STRICT,
        "generally available; learned where it is refused",
        "12",
        part="body",
    ),
    Row(
        "structured_outputs",
        "drop",
        (*INVOKE, *VERTEX),
        "the CLI leaves it out there; its prompt asks for JSON in words, too",
        "CLI",
        part="body",
        when=(CLAUDE_CODE, *_EXPERIMENTAL),
    ),
    Row("structured_outputs", "keep", MANTLE, "the CLI sends it there", "CLI, LL", part="beta"),
    Row("output_format", "move", STRICT, "its former name", "6.1", to="output_config.format"),
    Row("strict_tools", "keep", STRICT, "not known to be refused; learned where it is", "12"),
    Row("eager_streaming", "keep", BEDROCK, "the cloud knows it", "LL", part="beta"),
    Row("eager_streaming", "move", INVOKE, _READS_LIST, "LL", part="beta"),
    Row(
        "eager_streaming",
        "keep",
        (*MANTLE, *INVOKE, *VERTEX),
        "the CLI sends it to Google's and AWS's own hosts",
        "CLI",
        part="body",
    ),
    Row(
        "eager_streaming",
        "drop",
        INVOKE,
        "the CLI's list of models has these without it",
        "CLI",
        part="body",
        models="<=4.5,opus<=4.6",
    ),
    Row("computer_use", "keep", STRICT, "the clouds know it", "LL"),
    Row("computer_use", "move", INVOKE, _READS_LIST, "LL"),
    Row("toolsets", "refuse", (*AZURE, *STRICT), _NOT_THERE, "7"),
    Row("compaction", "keep", STRICT, "the clouds know it", "LL", part="compact-2026-01-12"),
    Row("compaction", "move", INVOKE, _READS_LIST, "LL", part="compact-2026-01-12"),
    Row("compaction", "keep", STRICT, "with its beta", "5.2", part="edit:compact_"),
    Row("compaction", "keep", STRICT, "what an edit has left", "5.2", part="block:compaction"),
    Row("compaction", "keep", VERTEX, "the cloud knows it", "LL", part="compact-2026-09-04"),
    Row("compaction", "keep", VERTEX, "the cloud knows its beta", "LL", part="member:compaction"),
    Row("web_fetch", "refuse", STRICT, _NOT_THERE, "5.2, 5.8, 6.1"),
    Row("code_execution", "refuse", STRICT, _NOT_THERE, "5.2, 5.8, 6.1"),
    Row("skills", "drop", STRICT, _NOT_THERE, "5.8, 6.1"),
    Row("files", "refuse", STRICT, _NOT_THERE, "5.8, 6.1"),
    Row("url_sources", "refuse", STRICT, _NOT_THERE, "5.2, 5.8, 6.1"),
    Row("mcp_connector", "refuse", STRICT, _NOT_THERE, "5.2, 5.8, 6.1"),
    Row("threads", "refuse", STRICT, "no cloud is known to keep them", "12"),
    Row("fast_mode", "drop", (*AZURE, *STRICT), _NOT_THERE, "5.2, 12"),
    Row(
        "service_tier", "drop", (*AZURE, *STRICT), "Anthropic's tiers; AWS has a header", "5.2, 12"
    ),
    Row("inference_geo", "drop", (*AZURE, *STRICT), "the provider's region decides", "5.2, 12"),
    Row("fallbacks", "drop", (*AZURE, *STRICT), _NOT_THERE, "5.8, 6.1, 7"),
    Row(
        "fallbacks",
        "keep",
        (*AZURE, *STRICT),
        "the CLI sends it there when it compacts",
        "CLI",
        part=FALLBACK_CREDIT,
        kind="messages",
    ),
    Row("fallbacks", "copy", INVOKE, _BOTH, "CLI", part=FALLBACK_CREDIT, kind="messages"),
    Row("billing_policy", "drop", (*AZURE, *STRICT), _UNKNOWN, "12"),
    Row("diagnostics", "drop", STRICT, _UNKNOWN, "12"),
    Row("user_profile", "keep", BEDROCK, "the SDK sends it there", "SDK"),
    Row("user_profile", "move", INVOKE, _READS_LIST, "SDK", part="beta"),
    Row("automatic_caching", "drop", RUNTIME, _UNKNOWN, "5.2"),
    Row(
        "automatic_caching",
        "keep",
        (*MANTLE, *VERTEX),
        "not known to be refused; learned where it is",
        "12",
    ),
    Row("metadata", "keep", STRICT, _SENT, "CLI"),
    Row(
        "metadata",
        "drop",
        ("bedrock-messages",),
        "its pattern check refuses the CLI's user_id",
        "5.2",
    ),
    Row("adaptive_thinking", "keep", STRICT, _SENT, "CLI"),
    Row("thinking_budget", "keep", STRICT, _SENT, "CLI"),
    Row("temperature", "keep", STRICT, "the clouds know it", "5.2"),
    Row("top_p", "keep", STRICT, "the clouds know it", "5.2"),
    Row("top_k", "keep", STRICT, "the clouds know it", "5.2"),
    Row("long_output", "keep", MANTLE, "the cloud knows it", "LL", part="output-128k-2025-02-19"),
    Row("efficient_tools", "keep", MANTLE, "the cloud knows it", "LL"),
)
# The only blocks that are dropped: they change the tools of a conversation, and say nothing.
DROPPED_BLOCKS = frozenset({"block:tool_addition", "block:tool_removal"})
# Members that need no feature.
BASIC_MEMBERS = frozenset(
    {
        *("model", "messages", "system", "tools", "tool_choice", "max_tokens", "stop_sequences"),
        *("stream", "thinking", "output_config", "metadata", "context_management"),
    }
)

# `anthropic_version` of a body, for the version that a client's header names. Other versions are
# not known there.
BODY_VERSIONS: dict[str, dict[str, str]] = {
    "bedrock-invoke": {"2023-06-01": "bedrock-2023-05-31", "2026-10-21": "2026-10-21"},
    "vertex": {"2023-06-01": "vertex-2023-10-16", "2026-10-21": "2026-10-21"},
}
OLD_VERSION, NEW_VERSION = "2023-06-01", "2026-10-21"
# Bedrock has the new version for Claude 4.7 and later, and not for ids that end in -v1:0 (section
# 2.1). What is legal in it is legal in the old one, and means the same.
OLD_VERSION_MODELS: dict[str, str] = dict.fromkeys(BEDROCK, "<4.7")
