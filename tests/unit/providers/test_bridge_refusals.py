import json
import time

import pytest
from hypothesis import given, strategies as st

from ccrelay.providers.bridge import names_no_beta, refused_features, sent_features
from ccrelay.providers.bridge_features import BY_NAME
from ccrelay.providers.bridge_refusals import GUESSED, NAME_BYTES_MAX, NAMES_MAX
from ccrelay.providers.bridge_rows import ALL, STRICT, Surface


def aws(text: str) -> bytes:
    return json.dumps({"message": text}).encode()


def anthropic(text: str) -> bytes:
    error = {"type": "invalid_request_error", "message": text}
    return json.dumps({"type": "error", "error": error}).encode()


def google(text: str) -> bytes:
    error = {"code": 400, "message": text, "status": "INVALID_ARGUMENT"}
    return json.dumps([{"error": error}]).encode()


def wrapped(text: str) -> bytes:
    return google(anthropic(text).decode())


SHAPES = (aws, anthropic, google, wrapped)

NAMED = [
    ("context_management: Extra inputs are not permitted", ("context_management",)),
    ("context_management.edits.0: Extra inputs are not permitted", ("context_management",)),
    ("Unknown parameter: 'context_management'.", ("context_management",)),
    ("Unrecognized request argument supplied: inference_geo", ("inference_geo",)),
    ("Unsupported parameter: 'tools[0].strict' is not supported.", ("strict_tools",)),
    ("Unknown parameter: 'messages'.", ()),
    ("Unknown parameter: 'tools[0].name'.", ()),
    (
        "anthropic-beta header contains unsupported values: skills-2025-10-02, foo-2026-01-02",
        ("skills", "beta:foo-2026-01-02"),
    ),
    ("web_search is not available in this location", ("web_search",)),
    ("Feature web_search_20250305 is disallowed by constraints/x", ("web_search",)),
    ("Web search is not enabled for this project.", ("web_search",)),
    ("Code execution is not supported for this hosting option", ("code_execution",)),
    ("This model doesn't support the structured outputs feature.", ("structured_outputs",)),
    ("This model doesn't support the effort parameter.", ("effort",)),
    ("This model does not support mid-conversation system messages.", ("system_turns",)),
    ("role 'system' is not supported in messages for this model", ("system_turns",)),
    ("cache_control.ttl is not supported for this model", ("cache_ttl",)),
    ("tool_reference blocks are not supported on this platform", ("tool_search",)),
    (
        "claude-a does not support the `clear_tool_uses_20250919` context management strategy",
        ("clear_tool_uses",),
    ),
    ("tool_choice: forced tool use is not supported with thinking", ()),
    ("The web page says that code execution was not supported.", ()),
    ("output_config.effort: Extra inputs are not permitted", ("effort",)),
    ("output_config: Extra inputs are not permitted", ("effort", "structured_outputs")),
    ("output_config.format: Extra inputs are not permitted", ("structured_outputs",)),
    ("output_config.fancy: Extra inputs are not permitted", ("member:output_config.fancy",)),
    ("messages.1.output_config: Extra inputs are not permitted", ("per_turn_control",)),
    ("messages.17.fancy: Extra inputs are not permitted", ("turn:fancy",)),
    ("messages.17.content: Extra inputs are not permitted", ()),
    ("tools.0.custom.defer_loading: Extra inputs are not permitted", ("tool_search",)),
    ("tools.12.defer_loading: Extra inputs are not permitted", ("tool_search",)),
    ("tools.0.custom.strict: Extra inputs are not permitted", ("strict_tools",)),
    ("tools.0.custom.fancy: Extra inputs are not permitted", ("tool-member:fancy",)),
    ("tools.0.bash_20250124.fancy: Extra inputs are not permitted", ("tool-member:fancy",)),
    ("tools.0.custom.input_schema: Extra inputs are not permitted", ()),
    ("tools.0.custom.input_schema.fancy: Extra inputs are not permitted", ()),
    ("thinking.display: Extra inputs are not permitted", ("thinking_display",)),
    ("thinking.adaptive.display: Extra inputs are not permitted", ("thinking_display",)),
    ("system.2.cache_control.ephemeral.scope: Extra inputs are not permitted", ("cache_scope",)),
    ("messages.0.content.3.cache_control.ttl: Extra inputs are not permitted", ("cache_ttl",)),
    ("speed: Extra inputs are not permitted", ("fast_mode",)),
    ("fancy: Extra inputs are not permitted", ("member:fancy",)),
    (
        "a: Extra inputs are not permitted, b: Extra inputs are not permitted",
        ("member:a", "member:b"),
    ),
    (
        "Unexpected value(s) `per-turn-control-2026-07-01` for the `anthropic-beta` header. "
        "Please consult our documentation at docs.claude.com",
        ("per_turn_control",),
    ),
    (
        "Unexpected value(s) `fancy-2027-01-01`, `effort-2025-11-24` for the `anthropic-beta` "
        "header",
        ("beta:fancy-2027-01-01", "effort"),
    ),
    (
        "Unexpected value(s) `fancy-2027-01-01` for the `anthropic-beta` header: expected one of "
        "`effort-2025-11-24`, `context-1m-2025-08-07`",
        ("beta:fancy-2027-01-01",),
    ),
    ("invalid beta flag: context-1m-2025-08-07", ("long_context",)),
    ("Unsupported beta header fancy-2027-01-01", ("beta:fancy-2027-01-01",)),
    (
        "subagent-review-2026-11-17 is not available to this caller",
        ("beta:subagent-review-2026-11-17",),
    ),
    ("This model does not support the effort parameter.", ("effort",)),
    ("adaptive thinking is not supported on this model", ("adaptive_thinking",)),
    ('"thinking.type.enabled" is not supported for this model.', ("thinking_budget",)),
    ("messages.1.role: Input should be 'user' or 'assistant'", ("system_turns",)),
    (
        'messages: Unexpected role "system". The Messages API accepts a top-level `system`',
        ("system_turns",),
    ),
    (
        "tools.0: Input tag 'web_search_20250305' found using 'type' does not match any of the "
        "expected tags: 'bash_20250124', 'custom'",
        ("web_search",),
    ),
    (
        "tools.0: Input tag 'fancy_20270101' found using 'type' does not match any of the "
        "expected tags: 'custom'",
        ("tool:fancy_20270101",),
    ),
    (
        "context_management.edits.0: Input tag 'clear_thinking_20251015' found using 'type' does "
        "not match any of the expected tags: 'clear_tool_uses_20250919'",
        ("clear_thinking",),
    ),
    (
        "messages.0.content.1.image.source: Input tag 'url' found using 'type' does not match any "
        "of the expected tags: 'base64'",
        ("url_sources",),
    ),
    (
        "'claude-haiku-4-5' does not support tool types: advisor_20260301, web_search_20260209. "
        "Did you mean one of claude-opus-5-5?",
        ("advisor", "web_search"),
    ),
    (
        "Malformed input request: #: extraneous key [context_management] is not permitted, please "
        "reformat your input and try again.",
        ("context_management",),
    ),
    (
        "Malformed input request: #/messages/1: extraneous key [output_config] is not permitted",
        ("per_turn_control",),
    ),
    (
        "Malformed input request: #/tools/0: extraneous key [defer_loading] is not permitted",
        ("tool_search",),
    ),
    (
        'Invalid JSON payload received. Unknown name "speed": Cannot find field.',
        ("fast_mode",),
    ),
    (
        "Invalid JSON payload received. Unknown name \"strict\" at 'tools[0]': Cannot find field.",
        ("strict_tools",),
    ),
    ("temperature is not supported for this model", ("temperature",)),
    ("`top_k` is deprecated for this model.", ("top_k",)),
    (
        "thinking.adaptive.display: Input should be 'omitted' or 'summarized'",
        ("thinking_display",),
    ),
    ("metadata.user_id: String should match pattern '^[a-z]+$'", ("metadata",)),
]
TOOL_MEMBERS = ("tool_search", "strict_tools")
# The same complaints in other words: quotes, lists, cases, what is put before a path.
CONTEXT, FAST = ("context_management",), ("context_management", "fast_mode")
REWORDED = [
    ("context_management: extra inputs are not permitted", CONTEXT),
    ("context_management: Extra fields not permitted", CONTEXT),
    ("context_management\n  Extra inputs are not permitted [type=extra_forbidden]", CONTEXT),
    ("`context_management`: Extra inputs are not permitted", CONTEXT),
    ('"context_management": Extra inputs are not permitted', CONTEXT),
    ("body.context_management: Extra inputs are not permitted", CONTEXT),
    ("***.context_management: Extra inputs are not permitted", CONTEXT),
    ("Extra inputs are not permitted: context_management, speed", FAST),
    ("context_management, speed: Extra inputs are not permitted", FAST),
    ("context_management and speed: Extra inputs are not permitted", FAST),
    ("context_management and speed are not supported", FAST),
    ("The fields `context_management` and `speed` are not supported.", FAST),
    ("The fields `context_management`, `safeguards` are not supported.", CONTEXT),
    ("Additional properties are not allowed ('context_management' was unexpected)", CONTEXT),
    ("Additional properties are not allowed ('speed', 'context_management' were unexpected)", FAST),
    ("Context management is not available in this region.", CONTEXT),
    ("Context management isn't supported.", CONTEXT),
    ("Messages.1.Output_Config: Extra Inputs Are Not Permitted", ("per_turn_control",)),
    ("messages.1.output_config: Unexpected field", ("per_turn_control",)),
    ("#/tools/0: extraneous keys [defer_loading, strict] are not permitted", TOOL_MEMBERS),
    ("tools[0].defer_loading: unknown field", ("tool_search",)),
    ("unknown field `defer_loading`, expected one of `name`, `strict`", ("tool_search",)),
    ('Unrecognized field "defer_loading"', ("tool_search",)),
    ("Unknown field: defer_loading", ("tool_search",)),
    ("Unknown field: Fancy", ("member:Fancy",)),
    ("tools.0.eager_input_streaming is not supported", ("eager_streaming",)),
    ("Tool 'Bash' has unsupported field `eager_input_streaming`", ("eager_streaming",)),
    ("tools.3.type: Unexpected value 'web_search_20250305'", ("web_search",)),
    ("tools.3: unknown tool type `web_search_20250305`", ("web_search",)),
    ("Unsupported tool type: fancy_20270101", ("tool:fancy_20270101",)),
    ("tool type web_search_20250305 not supported for this model", ("web_search",)),
    ("The tool `computer_20250124` isn't available here.", ("tool:computer_20250124",)),
    ("messages.3.content.0.type: Unexpected value 'tool_reference'", ("tool_search",)),
    ("messages.3.content.0.type: Unexpected value 'fancy'", ()),
    ("messages.1.role: Unexpected value 'system'", ("system_turns",)),
    ("messages.1.role: must be one of user, assistant", ("system_turns",)),
    ("Role must be either user or assistant, got system", ("system_turns",)),
    ("Invalid role: system", ("system_turns",)),
    ("role: system is not supported", ("system_turns",)),
    ("thinking.type: Input should be 'enabled' or 'disabled'", ("adaptive_thinking",)),
    ('"thinking.type.adaptive" is not supported for this model.', ("adaptive_thinking",)),
    ("thinking.display: unexpected value 'updates'", ("thinking_display",)),
    ("thinking.display 'updates' is not supported", ("thinking_display",)),
    ("Parameter 'output_config.effort' not supported by model", ("effort",)),
    ("This model does not support output_config", ("effort", "structured_outputs")),
    ("messages.0.content.0.text.cache_control.ephemeral.ttl: Input should be '5m'", ("cache_ttl",)),
    ("Unexpected value(s) [effort-2025-11-24] for the anthropic_beta field", ("effort",)),
    ("beta header `effort-2025-11-24` not recognized", ("effort",)),
    ("'effort-2025-11-24' is not a valid beta flag", ("effort",)),
    ("effort-2025-11-24: unknown beta", ("effort",)),
    ('"context-1m-2025-08-07" beta is not yet available', ("long_context",)),
    ("The long context beta is not yet available for this subscription.", ("long_context",)),
    ("The 1M context window beta is not available", ("long_context",)),
    ("unsupported anthropic-beta: effort-2025-11-24; allowed: context-1m-2025-08-07", ("effort",)),
    ("Tool search isn't supported", ("tool_search",)),
    ("The `tool_search` feature is not supported", ("tool_search",)),
    ("Fast mode is not enabled for your organization.", ("fast_mode",)),
    ("`effort` is not supported with this model.", ("effort",)),
    ("`effort` is not supported when using this model.", ("effort",)),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize(("text", "names"), NAMED)
@pytest.mark.parametrize("surface", ["bedrock-invoke", "azure"])
def test_names(surface: Surface, text: str, names: tuple[str, ...], shape: object) -> None:
    found = refused_features(surface, 400, shape(text))  # type: ignore[operator]
    assert found == names


ELSE = [
    "prompt is too long: 210000 tokens > 200000 maximum",
    "Input is too long for requested model.",
    "input length and `max_tokens` exceed context limit: 1 + 2 > 3",
    "max_tokens: 32000 > 8192, which is the maximum allowed number of output tokens",
    "messages: Extra inputs are not permitted",
    "model: Extra inputs are not permitted",
    "max_tokens: Extra inputs are not permitted",
    "tools: Extra inputs are not permitted",
    "system: Extra inputs are not permitted",
    "system.0.text: Extra inputs are not permitted",
    "messages.0.content: Extra inputs are not permitted",
    "messages.0.content.0.text: Extra inputs are not permitted",
    "messages.3.content.1.tool_result.content: Input should be a valid list",
    "messages is not supported",
    "messages.1.role: Input should be 'user', 'assistant' or 'system'",
    "thinking.adaptive.display: Input should be 'omitted', 'summarized' or 'updates'",
    "context_management.edits.0.keep: Input should be a valid dictionary",
    "output_config.effort: Input should be 'low', 'medium' or 'high'",
    "metadata.user_id: Input should be a valid string",
    "This model does not support effort level 'max'.",
    "tools are not supported",
    "system is not supported",
    "x-anthropic-billing-header is a reserved keyword and may not be used in the system prompt.",
    "The provided model identifier is invalid.",
    "Invocation of model ID x with on-demand throughput isn't supported.",
    "safeguards: Extra inputs are not permitted",
    "Unexpected value(s) `dangerous-tool-use-2026-09-03` for the `anthropic-beta` header",
    "messages.1.content.0: Invalid `signature` in `thinking` block",
    "Your credit balance is too low",
    "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
    "`temperature` may only be set to 1 when thinking is enabled",
    "messages.3.content.1.tool_use.caller: Extra inputs are not permitted",
    "messages.3.content.1.text.citations: Extra inputs are not permitted",
    "body.messages: Extra inputs are not permitted",
    "Unknown fields: messages, tools and Model",
    "max_tokens, messages: Extra inputs are not permitted",
    "tools: Tool names must be unique",
    "`temperature` is not supported with thinking",
    "Unsupported input image format",
    "Unknown key in the metadata of the request",
    "`top_k` is not supported when thinking is enabled",
    "The fields `temperature`, `top_p` are not allowed together",
    "The messages and system prompts are not supported",
    "unknown value: see the documentation of temperature",
    "",
]


@pytest.mark.parametrize(("text", "names"), REWORDED)
def test_names_in_other_words(text: str, names: tuple[str, ...]) -> None:
    assert sorted(refused_features("bedrock-invoke", 400, aws(text))) == sorted(names)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("text", ELSE)
def test_errors_about_something_else(text: str, shape: object) -> None:
    assert refused_features("mantle", 400, shape(text)) == ()  # type: ignore[operator]


def test_only_errors_about_the_request_count() -> None:
    for status in (200, 401, 403, 404, 413, 429, 500, 529):
        assert refused_features("mantle", status, aws(NAMED[0][0])) == ()
    assert refused_features("mantle", 422, aws(NAMED[0][0])) == ("context_management",)


@pytest.mark.parametrize("surface", ALL)
def test_a_beta_without_a_name_is_guessed_the_least_missed_first(surface: Surface) -> None:
    found = refused_features(surface, 400, aws("invalid beta flag"))
    if surface not in STRICT:
        assert found[0] == "beta:*"
        found = found[1:]
    assert found[:2] == ("thinking_display", "thinking_token_count")
    assert [name for name in GUESSED if name in found] == list(found)
    assert len(found) <= NAMES_MAX


def test_what_the_guesses_name_is_there() -> None:
    assert set(GUESSED) <= set(BY_NAME)


@given(st.binary(max_size=300), st.sampled_from(ALL), st.sampled_from([400, 422]))
def test_any_bytes_are_read(body: bytes, surface: Surface, status: int) -> None:
    for shape in (body, aws(body.decode("latin-1")), google(body.decode("latin-1"))):
        for name in refused_features(surface, status, shape):
            assert len(name) <= NAME_BYTES_MAX


@pytest.mark.parametrize(
    "text",
    [
        "a-" * 3000,
        "a." * 3000 + ": Extra inputs are not permitted",
        "invalid beta " * 400,
        "unexpected value(s) " * 300,
        "does not support tool types: " + "a, " * 2000,
        "#/a" * 2000,
        'Unknown name "' * 400,
        "[" * 5000,
        '{"error":' * 2000,
        "x: Input tag 'a' found using " * 200,
        "is not available " * 300,
        "`" * 4000,
        "a, " * 1300,
        "unknown fields: " + "a_b and " * 500,
        "a.b, " * 800 + "c: Extra inputs are not permitted",
        "is not " * 600,
        "beta " * 800,
        "invalid role " * 300,
    ],
)
def test_a_hostile_text_costs_little(text: str) -> None:
    started = time.process_time()
    for shape in SHAPES:
        refused_features("vertex", 400, shape(text))
    assert time.process_time() - started < 1.0


def test_a_long_list_is_cut() -> None:
    text = "; ".join(f"m{i}: Extra inputs are not permitted" for i in range(100))
    assert len(refused_features("mantle", 400, aws(text))) == NAMES_MAX
    assert refused_features("mantle", 400, aws(f"{'x' * 60}: Extra inputs are not permitted")) == ()


@pytest.mark.parametrize(
    ("body", "is_guess"),
    [
        (b'{"message":"invalid beta flag"}', True),
        (b'{"message":"invalid beta flag: effort-2025-11-24"}', False),
        (b'{"message":"context_management: Extra inputs are not permitted"}', False),
        (b'{"message":"Input is too long."}', False),
        (b"", False),
    ],
)
def test_an_error_that_names_no_beta_leaves_a_guess(body: bytes, is_guess: bool) -> None:
    assert names_no_beta(400, body) is is_guess
    assert names_no_beta(500, body) is False


def test_of_guesses_those_that_a_request_had() -> None:
    guesses = ("beta:*", "thinking_display", "tool_search", "effort")
    header = b"effort-2025-11-24, tool-search-tool-2025-10-19"
    assert sent_features(guesses, header, b"") == ("tool_search", "effort")
    assert sent_features(guesses, b"new-2027-01-01", b"") == ("beta:*",)
    body = b'{"anthropic_beta":["thinking-display-updates-2026-08-18"]}'
    assert sent_features(guesses, b"", body) == ("thinking_display",)
    assert sent_features(guesses, b"", b"{}") == ()
