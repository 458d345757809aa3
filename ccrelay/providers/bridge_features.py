"""The features of a request, each with its halves: betas of the header, parts of the body.

Data only. A strict provider refuses a body part without its beta ("Extra inputs are not
permitted") and a beta that it does not know ("invalid beta flag"), so both halves of a feature are
kept or left out together. `bridge_table` says where; names are those of the log, of `route explain`
and of what is learned. Sources: providers reference, sections 2.3, 11, 12; the list of betas of the
official SDK (`anthropic_beta_param`, 2.14.0); what Claude Code 2.1.332 sends.

Parts are written as

- `member:NAME`, `member:NAME.NAME`: a member of the body, of an object in it
- `member:NAME=VALUE`: that member, where it is that word, or an object of that `type`
- `turn:NAME`: a member of a message; `turn:role=system`: a message with that role
- `block:TYPE`: a content block, also inside a tool result
- `source:TYPE`: an image or document with a source of that type
- `tool:TYPE`: a tool whose type begins so; `tool-name:NAME`: a custom tool of that name
- `tool-member:NAME`: a member of a tool
- `cache:NAME`: a member of a `cache_control`
- `edit:TYPE`: an edit of `context_management` whose type begins so
"""

import msgspec


class Feature(msgspec.Struct, frozen=True):
    """What a request may ask for.

    Args:
        name: of the feature.
        betas: its half in the header.
        parts: its half in the body.
        needed: what the request needs, in words. Without it the request would mean something else,
            so it is refused where a provider lacks it; empty: it is left out.
    """

    name: str
    betas: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    needed: str = ""


CLAUDE_CODE = "claude-code-20250219"
ADVANCED_TOOL_USE = "advanced-tool-use-2025-11-20"
TOOL_SEARCH_TOOL = "tool-search-tool-2025-10-19"
FALLBACK_CREDIT = "fallback-credit-2026-06-01"

FEATURES: tuple[Feature, ...] = (
    # --- what Claude Code sends ---
    Feature("claude_code", (CLAUDE_CODE,)),
    Feature("interleaved_thinking", ("interleaved-thinking-2025-05-14",)),
    Feature(
        "context_management",
        ("context-management-2025-06-27",),
        ("member:context_management",),
    ),
    Feature("clear_thinking", (), ("edit:clear_thinking_",)),
    Feature("clear_tool_uses", (), ("edit:clear_tool_uses_",)),
    Feature(
        "per_turn_control",
        ("per-turn-control-2026-07-01", "mid-conversation-output-config-2026-07-01"),
        ("turn:output_config",),
    ),
    Feature(
        "tool_changes",
        ("mid-conversation-tool-changes-2026-07-01", "inline-tools-2026-09-15"),
        ("block:tool_addition", "block:tool_removal"),
    ),
    Feature("thinking_token_count", ("thinking-token-count-2026-05-13",)),
    Feature(
        "thinking_display",
        ("thinking-display-updates-2026-08-18",),
        ("member:thinking.display",),
    ),
    Feature(
        "tool_search",
        (ADVANCED_TOOL_USE, TOOL_SEARCH_TOOL),
        (
            "tool-member:defer_loading",
            "tool:tool_search_tool_",
            "block:tool_reference",
            "block:tool_search_tool_result",
        ),
    ),
    Feature("effort", ("effort-2025-11-24",), ("member:output_config.effort",)),
    Feature(
        "web_search",
        ("web-search-2025-03-05",),
        ("tool:web_search_", "block:web_search_tool_result"),
        needed="a web search",
    ),
    Feature("web_search_tool", (), ("tool-name:WebSearch",)),
    Feature("advisor", ("advisor-tool-2026-03-01",), ("tool:advisor_",)),
    Feature("cache_scope", ("prompt-caching-scope-2026-01-05",), ("cache:scope",)),
    Feature("long_cache_beta", ("extended-cache-ttl-2025-04-11",)),
    Feature("cache_ttl", (), ("cache:ttl",)),
    Feature("long_context", ("context-1m-2025-08-07",)),
    Feature("safeguards", ("dangerous-tool-use-2026-09-03",), ("member:safeguards",)),
    Feature("auto_mode", ("afk-mode-2026-01-31",)),
    Feature("token_counting", ("token-counting-2024-11-01",)),
    Feature("system_turns", (), ("turn:role=system",)),
    Feature("thinking_disabled", (), ("member:thinking=disabled",)),
    Feature("subscription", ("oauth-2025-04-20",)),
    # --- what other clients send ---
    Feature("adaptive_thinking", (), ("member:thinking=adaptive",)),
    Feature("thinking_budget", (), ("member:thinking=enabled",)),
    Feature(
        "thinking_binding",
        ("thinking-binding-controls-2026-08-01",),
        ("member:thinking.block_binding",),
    ),
    Feature(
        "system_clear_at", ("mid-conversation-system-clear-at-2026-08-21",), ("turn:clear_at",)
    ),
    Feature("tool_examples", ("tool-examples-2025-10-29",), ("tool-member:input_examples",)),
    Feature("task_budget", ("task-budgets-2026-03-13",), ("member:output_config.task_budget",)),
    Feature(
        "structured_outputs",
        ("structured-outputs-2025-11-13", "structured-outputs-2025-12-15"),
        ("member:output_config.format",),
        needed="an output format",
    ),
    Feature("output_format", (), ("member:output_format",), needed="an output format"),
    Feature("strict_tools", (), ("tool-member:strict",)),
    Feature(
        "eager_streaming",
        ("fine-grained-tool-streaming-2025-05-14",),
        ("tool-member:eager_input_streaming",),
    ),
    Feature("nested_custom", (), ("tool-member:custom",)),
    Feature("allowed_callers", (), ("tool-member:allowed_callers",)),
    Feature("computer_use_2024", ("computer-use-2024-10-22",)),
    Feature("computer_use", ("computer-use-2025-01-24", "computer-use-2025-11-24")),
    Feature(
        "toolsets",
        (),
        ("tool:browser_toolset_", "tool:computer_toolset_"),
        needed="a browser or computer toolset",
    ),
    Feature(
        "compaction",
        ("compact-2026-01-12", "compact-2026-09-04"),
        ("edit:compact_", "member:compaction", "block:compaction"),
    ),
    Feature(
        "web_fetch",
        ("web-fetch-2025-09-10",),
        ("tool:web_fetch_", "block:web_fetch_tool_result"),
        needed="the web fetch tool",
    ),
    Feature(
        "code_execution",
        ("code-execution-2025-05-22", "code-execution-2025-08-25"),
        (
            "tool:code_execution_",
            "member:container",
            "block:code_execution_tool_result",
            "block:bash_code_execution_tool_result",
            "block:text_editor_code_execution_tool_result",
        ),
        needed="code execution",
    ),
    Feature("skills", ("skills-2025-10-02",)),
    Feature(
        "files",
        ("files-api-2025-04-14",),
        ("source:file", "block:container_upload"),
        needed="files of the Files API",
    ),
    Feature("url_sources", (), ("source:url",), needed="images or documents by URL"),
    Feature(
        "mcp_connector",
        (
            *("mcp-client-2025-04-04", "mcp-client-2025-11-20"),
            *("mcp-client-2026-09-15", "mcp-servers-2025-12-04"),
        ),
        ("member:mcp_servers", "tool:mcp_toolset", "block:mcp_tool_use", "block:mcp_tool_result"),
        needed="the MCP connector",
    ),
    Feature(
        "threads", ("message-threads-2026-08-12",), ("member:thread",), needed="message threads"
    ),
    Feature("fast_mode", ("fast-mode-2026-02-01",), ("member:speed",)),
    Feature("service_tier", (), ("member:service_tier",)),
    Feature("inference_geo", (), ("member:inference_geo",)),
    Feature(
        "fallbacks",
        (
            *("server-side-fallback-2026-06-01", "server-side-fallback-2026-07-01"),
            *(FALLBACK_CREDIT, "fallback-credit-2026-07-01"),
        ),
        ("member:fallbacks", "member:fallback_credit_token", "block:fallback"),
    ),
    Feature("billing_policy", (), ("member:billing_policy",)),
    Feature("diagnostics", ("cache-diagnosis-2026-04-07",), ("member:diagnostics",)),
    Feature(
        "user_profile",
        ("user-profiles-2026-03-24", "user-profiles-2026-08-18", "user-profiles-2026-09-04"),
        ("member:user_profile_id",),
    ),
    Feature("automatic_caching", (), ("member:cache_control",)),
    Feature("metadata", (), ("member:metadata",)),
    Feature("temperature", (), ("member:temperature",)),
    Feature("top_p", (), ("member:top_p",)),
    Feature("top_k", (), ("member:top_k",)),
    Feature("long_output", ("output-128k-2025-02-19", "output-300k-2026-03-24")),
    Feature("efficient_tools", ("token-efficient-tools-2025-02-19",)),
    Feature("context_window_stop", ("model-context-window-exceeded-2025-08-26",)),
    Feature("old_betas", ("prompt-caching-2024-07-31", "pdfs-2024-09-25")),
    Feature("batches", ("message-batches-2024-09-24",)),
)
BY_NAME: dict[str, Feature] = {feature.name: feature for feature in FEATURES}
BY_BETA: dict[str, Feature] = {beta: found for found in FEATURES for beta in found.betas}
BY_PART: dict[str, Feature] = {part: found for found in FEATURES for part in found.parts}
