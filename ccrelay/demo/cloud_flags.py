"""Beta flags that each surface of the mock clouds knows, by model. Pure; a table.

What Claude Code sends to a cloud is known there; what it leaves out is not. For the flags that it
never sends, the table of LiteLLM decides.
"""

from collections.abc import Iterable

from ccrelay.demo.cloud import Surface
from ccrelay.demo.cloud_errors import CloudError
from ccrelay.demo.cloud_models import Model

# One letter per surface, so that the table can be read.
_LETTERS = {
    "P": Surface.CLAUDE_AWS,
    "G": Surface.CLAUDE_GOOGLE,
    "F": Surface.AZURE,
    "C": Surface.MANTLE,
    "B": Surface.RUNTIME,
    "A": Surface.INVOKE,
    "V": Surface.VERTEX,
}
CONTEXT_MANAGEMENT = "context-management-2025-06-27"
COMPACT = "compact-2026-01-12"
ADVANCED_TOOL_USE = "advanced-tool-use-2025-11-20"
TOOL_SEARCH = "tool-search-tool-2025-10-19"
TOOL_EXAMPLES = "tool-examples-2025-10-29"
CACHING_SCOPE = "prompt-caching-scope-2026-01-05"
DISPLAY_UPDATES = "thinking-display-updates-2026-08-18"
TOKEN_COUNT = "thinking-token-count-2026-05-13"
INTERLEAVED = "interleaved-thinking-2025-05-14"
EFFORT = "effort-2025-11-24"
COUNTING = "token-counting-2024-11-01"
CLAUDE_CODE = "claude-code-20250219"
_KNOWN = {
    ADVANCED_TOOL_USE: "PGF",
    "advisor-tool-2026-03-01": "PG",
    "afk-mode-2026-01-31": "PGFCBAV",
    CLAUDE_CODE: "PGFCBAV",
    "code-execution-2025-08-25": "PGF",
    COMPACT: "PGCBAV",
    "compact-2026-09-04": "PGFV",
    "computer-use-2025-01-24": "PGFCBAV",
    "computer-use-2025-11-24": "PGFCBAV",
    "context-1m-2025-08-07": "PGFCBAV",
    CONTEXT_MANAGEMENT: "PGFCBA",
    "dangerous-tool-use-2026-09-03": "PGFCBAV",
    EFFORT: "PGFCBAV",
    "extended-cache-ttl-2025-04-11": "PGF",
    "fallback-credit-2026-06-01": "PGFCBAV",
    "fast-mode-2026-02-01": "PG",
    "files-api-2025-04-14": "PGF",
    "fine-grained-tool-streaming-2025-05-14": "PGCBA",
    "inline-tools-2026-09-15": "PGV",
    INTERLEAVED: "PGFCBAV",
    "mcp-client-2025-04-04": "PGF",
    "mcp-client-2025-11-20": "PGF",
    "mid-conversation-output-config-2026-07-01": "PGA",
    "mid-conversation-system-clear-at-2026-08-21": "PG",
    "mid-conversation-tool-changes-2026-07-01": "PGF",
    "output-128k-2025-02-19": "PGC",
    "per-turn-control-2026-07-01": "PGF",
    CACHING_SCOPE: "PGF",
    "message-batches-2024-09-24": "PG",
    "pdfs-2024-09-25": "PGF",
    "prompt-caching-2024-07-31": "PGF",
    "skills-2025-10-02": "PGF",
    "structured-outputs-2025-11-13": "PGFC",
    "thinking-binding-controls-2026-08-01": "PGFCBAV",
    DISPLAY_UPDATES: "PGFCBAV",
    TOKEN_COUNT: "PGFCBAV",
    COUNTING: "PGFCBAV",
    "token-efficient-tools-2025-02-19": "PGC",
    TOOL_EXAMPLES: "C",
    TOOL_SEARCH: "CBAV",
    "web-fetch-2025-09-10": "PGF",
    "web-search-2025-03-05": "PGFCV",
}
# On Vertex, a count knows few.
_COUNT_ON_VERTEX = {CLAUDE_CODE, INTERLEAVED, COUNTING, TOOL_SEARCH, "context-1m-2025-08-07"}


def check_flags(surface: Surface, model: Model, flags: Iterable[str], *, counts: bool) -> None:
    """Refuse flags that a surface does not know, for this model. Raises CloudError."""
    given = list(dict.fromkeys(flags))
    wrong = [flag for flag in given if not _is_known(surface, model, flag, counts=counts)]
    if not wrong:
        return
    if surface.is_bedrock_runtime:
        raise CloudError("invalid beta flag")
    names = ", ".join(f"`{flag}`" for flag in wrong)
    raise CloudError(
        f"Unexpected value(s) {names} for the `anthropic-beta` header. Please consult our "
        "documentation at docs.anthropic.com or try again without the header."
    )


def _is_known(surface: Surface, model: Model, flag: str, *, counts: bool) -> bool:
    if surface not in {_LETTERS[letter] for letter in _KNOWN.get(flag, "")}:
        return False
    if surface in (Surface.CLAUDE_AWS, Surface.CLAUDE_GOOGLE, Surface.AZURE):
        return True
    if flag in (DISPLAY_UPDATES, TOKEN_COUNT) and model.is_old:
        return False
    if surface not in (Surface.INVOKE, Surface.VERTEX):
        return True
    if counts and surface is Surface.VERTEX and flag not in _COUNT_ON_VERTEX:
        return False
    if flag == EFFORT:
        return not model.date  # 4.5: neither the flag nor the member
    return flag != INTERLEAVED or model.name != "claude-haiku-4-5"
