"""Members of a request body that each surface of the mock clouds accepts, by model. Pure.

The validators of the clouds are strict: a member that a surface does not know is refused with
"Extra inputs are not permitted", whatever it holds.
"""

from collections.abc import Iterator
from typing import Any

from ccrelay.demo.cloud import Surface
from ccrelay.demo.cloud_errors import CloudError
from ccrelay.demo.cloud_flags import (
    ADVANCED_TOOL_USE,
    CACHING_SCOPE,
    COMPACT,
    CONTEXT_MANAGEMENT,
    TOOL_EXAMPLES,
    TOOL_SEARCH,
)
from ccrelay.demo.cloud_models import Model

EXTRA = "Extra inputs are not permitted"
PLATFORMS = (Surface.CLAUDE_AWS, Surface.CLAUDE_GOOGLE)  # as at Anthropic
NEAR = (*PLATFORMS, Surface.AZURE)
_BASE = frozenset(
    {
        *("max_tokens", "messages", "system", "stop_sequences", "temperature", "top_p", "top_k"),
        *("tools", "tool_choice", "thinking", "metadata", "output_config", "safeguards"),
    }
)
_PLAIN = _BASE | {"model", "stream"}
_PLATFORM = _PLAIN | {
    *("context_management", "cache_control", "container", "mcp_servers", "service_tier", "speed"),
    *("inference_geo", "fallbacks", "output_format", "user_profile_id"),
}
TOP: dict[Surface, frozenset[str]] = {
    Surface.CLAUDE_AWS: _PLATFORM,
    Surface.CLAUDE_GOOGLE: _PLATFORM,
    Surface.AZURE: _PLAIN | {"context_management", "cache_control", "container", "output_format"},
    Surface.MANTLE: _PLAIN | {"context_management", "cache_control", "user_profile_id"},
    Surface.RUNTIME: _PLAIN - {"metadata"} | {"context_management"},
    Surface.INVOKE: _BASE
    | {"anthropic_version", "anthropic_beta", "context_management", "user_profile_id"},
    Surface.VERTEX: _BASE | {"anthropic_version", "stream", "cache_control", "context_management"},
}
# Edits of `context_management` that a surface takes, and the flag that each needs; others take all.
_BEDROCK_EDITS = {"compact_20260112": COMPACT, "clear_tool_uses_20250919": CONTEXT_MANAGEMENT}
EDITS: dict[Surface, dict[str, str]] = {
    Surface.INVOKE: _BEDROCK_EDITS,
    Surface.RUNTIME: _BEDROCK_EDITS,
    Surface.VERTEX: {"compact_20260112": COMPACT},
}
CLIENT_TOOLS = ("custom", "bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_")
_BLOCKS = {
    *("text", "image", "document", "search_result", "tool_use", "tool_result", "thinking"),
    *("redacted_thinking", "compaction", "tool_reference", "tool_addition", "tool_removal"),
}
_SEARCH_BLOCKS = {"server_tool_use", "web_search_tool_result"}
_SERVER_BLOCKS = _SEARCH_BLOCKS | {
    *("web_fetch_tool_result", "code_execution_tool_result", "container_upload"),
    *("bash_code_execution_tool_result", "text_editor_code_execution_tool_result"),
    *("mcp_tool_use", "mcp_tool_result", "tool_search_tool_result"),
}
_CACHE_MARKS_MAX = 4


class Problem(Exception):
    """What is wrong in a body: the path of the member, and the validator's words."""

    def __init__(self, path: str, words: str = EXTRA) -> None:
        super().__init__(f"{path}: {words}")


def check_members(
    surface: Surface, model: Model, body: dict[str, Any], flags: frozenset[str], *, counts: bool
) -> None:
    """Refuse what a surface does not know, for this model. Raises CloudError."""
    validator = _Validator(surface, model, flags)
    try:
        validator.check(body, counts=counts)
    except Problem as problem:
        raise CloudError(str(problem)) from None


class _Validator:
    def __init__(self, surface: Surface, model: Model, flags: frozenset[str]) -> None:
        self._surface = surface
        self._model = model
        self._flags = flags
        self._is_near = surface in NEAR
        self._marks = 0

    def check(self, body: dict[str, Any], *, counts: bool) -> None:
        known = TOP[self._surface]
        if counts and self._surface is Surface.VERTEX:
            known = known | {"model"}
        for name in body:
            if name not in known:
                raise Problem(name)
        self._check_thinking(body.get("thinking"))
        self._check_output(body.get("output_config"))
        if "context_management" in body:
            self._check_edits(body["context_management"])
        self._check_metadata(body.get("metadata"))
        self._check_choice(body.get("tool_choice"))
        self._check_mark(body, "")
        for index, tool in enumerate(_dicts(body.get("tools"))):
            self._check_tool(tool, f"tools.{index}")
        for index, block in enumerate(_dicts(body.get("system"))):
            self._check_block(block, f"system.{index}")
        for index, message in enumerate(_dicts(body.get("messages"))):
            self._check_message(message, f"messages.{index}")
        if self._marks > _CACHE_MARKS_MAX:
            words = (
                f"A maximum of 4 blocks with cache_control may be provided. Found {self._marks}."
            )
            raise CloudError(words)

    def _check_thinking(self, thinking: Any) -> None:
        if not isinstance(thinking, dict):
            return
        kind = thinking.get("type")
        if kind == "disabled" and self._surface not in PLATFORMS:
            raise Problem("thinking.type", "Input should be 'enabled' or 'adaptive'")
        if kind == "enabled" and not self._model.budget:
            words = '"thinking.type.enabled" is not supported for this model. Use '
            raise CloudError(words + '"thinking.type.adaptive" and "output_config.effort".')
        if kind == "adaptive" and not self._model.adaptive:
            raise CloudError("adaptive thinking is not supported on this model")
        if "display" in thinking and self._model.is_old and not self._is_near:
            raise Problem("thinking.display")

    def _check_output(self, output: Any) -> None:
        if not isinstance(output, dict):
            return
        effort = self._model.effort
        if self._surface in (Surface.INVOKE, Surface.VERTEX):
            effort = effort and not self._model.date
        if "effort" in output and not effort:
            raise Problem("output_config.effort")
        if "format" in output and self._surface is Surface.RUNTIME:
            raise Problem("output_config.format")

    def _check_edits(self, management: Any) -> None:
        if management is None and self._is_near:
            return
        if CONTEXT_MANAGEMENT not in self._flags and COMPACT not in self._flags:
            raise Problem("context_management")
        known = EDITS.get(self._surface)
        for edit in _dicts(management.get("edits") if isinstance(management, dict) else None):
            if known is not None and known.get(str(edit.get("type"))) not in self._flags:
                raise Problem("context_management")

    def _check_metadata(self, metadata: Any) -> None:
        if isinstance(metadata, dict):
            for name in metadata:
                if name != "user_id":
                    raise Problem(f"metadata.{name}")

    def _check_choice(self, choice: Any) -> None:
        kind = choice.get("type") if isinstance(choice, dict) else None
        if kind in ("any", "tool") and not self._model.forced_tools:
            raise CloudError(f"tool_choice.type: '{kind}' is not supported for this model")

    def _check_tool(self, tool: dict[str, Any], path: str) -> None:
        kind = str(tool.get("type") or "custom")
        own = ("web_search_20250305",) if self._surface is Surface.VERTEX else ()
        known = (*CLIENT_TOOLS, *own)
        if not self._is_near and not kind.startswith(known):
            raise Problem(path, _wrong_tag(kind, known))
        searches = {TOOL_SEARCH} | ({ADVANCED_TOOL_USE} if self._is_near else set())
        if kind.startswith("tool_search_tool_") and not searches & self._flags:
            raise Problem(path, _wrong_tag(kind, CLIENT_TOOLS))
        if "defer_loading" in tool and not searches & self._flags:
            raise Problem(f"{path}.defer_loading")
        if "input_examples" in tool and not (searches | {TOOL_EXAMPLES}) & self._flags:
            raise Problem(f"{path}.input_examples")
        if "eager_input_streaming" in tool and self._surface is Surface.RUNTIME:
            raise Problem(f"{path}.eager_input_streaming")
        if "custom" in tool and not self._is_near:
            raise Problem(f"{path}.custom")
        self._check_mark(tool, f"{path}.")

    def _check_message(self, message: dict[str, Any], path: str) -> None:
        if message.get("role") == "system" and not self._model.system_turns:
            words = 'Unexpected role "system". The Messages API accepts a top-level `system` '
            raise Problem(path, words + 'parameter, not "system" as an input message role.')
        for name in message:
            if name in ("role", "content"):
                continue
            if not self._is_near or name not in ("output_config", "clear_at"):
                raise Problem(f"{path}.{name}")
        for index, block in enumerate(_dicts(message.get("content"))):
            self._check_block(block, f"{path}.content.{index}")

    def _check_block(self, block: dict[str, Any], path: str) -> None:
        kind = str(block.get("type"))
        known = _BLOCKS | (_SERVER_BLOCKS if self._is_near else set())
        if self._surface is Surface.VERTEX:
            known = known | _SEARCH_BLOCKS
        if kind not in known:
            raise Problem(path, _wrong_tag(kind, sorted(known)))
        if kind == "thinking" and not block.get("signature"):
            raise Problem(path, "Invalid `signature` in `thinking` block")
        if kind == "tool_reference" and not {TOOL_SEARCH, ADVANCED_TOOL_USE} & self._flags:
            raise Problem(path, _wrong_tag(kind, sorted(known - {kind})))
        source = block.get("source")
        form = str(source.get("type")) if isinstance(source, dict) else ""
        if form in ("url", "file") and not self._is_near:
            raise Problem(f"{path}.{kind}.source", _wrong_tag(form, ("base64", "text")))
        self._check_mark(block, f"{path}.")
        if kind == "tool_result":
            for index, inner in enumerate(_dicts(block.get("content"))):
                self._check_block(inner, f"{path}.content.{index}")

    def _check_mark(self, owner: dict[str, Any], prefix: str) -> None:
        mark = owner.get("cache_control")
        if not isinstance(mark, dict):
            return
        self._marks += 1
        path = f"{prefix}cache_control"
        for name in mark:
            if name == "scope":
                if self._surface not in PLATFORMS or CACHING_SCOPE not in self._flags:
                    raise Problem(f"{path}.ephemeral.scope")
            elif name not in ("type", "ttl"):
                raise Problem(f"{path}.ephemeral.{name}")
        if mark.get("ttl", "5m") not in ("5m", "1h"):
            raise Problem(f"{path}.ephemeral.ttl", "Input should be '5m' or '1h'")


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _wrong_tag(kind: str, known: Any) -> str:
    tags = ", ".join(f"'{tag}'" for tag in known)
    return f"Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}"
