"""Defaults of known Anthropic-compatible services, by provider type and preset.

Source: the documentation of their Anthropic endpoints. Undocumented features use the safe value:
count_tokens is estimated, betas are dropped. A provider can override any of them: MiniMax and Kimi
have a second base URL for China (api.minimaxi.com, api.moonshot.cn).
"""

import msgspec

from ccrelay.config.model import AuthStyle, CountTokens, Signatures, SystemRole, ToolTypeCustom


class ServiceDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults of a provider type or preset. None: no default."""

    base_url: str | None = None
    auth: AuthStyle = "bearer"
    models: tuple[str, ...] | None = None  # None: all, or only those of model_mapping
    drop_betas: tuple[str, ...] = ()
    system_role: SystemRole = "keep"
    count_tokens: CountTokens = "forward"
    tool_type_custom: ToolTypeCustom = "keep"
    signatures: Signatures = "none"


BY_TYPE: dict[str, ServiceDefaults] = {
    "anthropic": ServiceDefaults(
        base_url="https://api.anthropic.com",
        auth="x-api-key",
        models=("claude-*", "anthropic*"),
        signatures="claude",
    ),
    "zai": ServiceDefaults(base_url="https://api.z.ai/api/anthropic", models=("glm-*", "GLM-*")),
    # No count_tokens endpoint; credentials are ignored locally, Ollama's cloud requires Bearer.
    "ollama": ServiceDefaults(
        base_url="http://localhost:11434",
        auth="none",
        system_role="user",
        count_tokens="estimate",
    ),
    "compatible": ServiceDefaults(),
    # The base URLs of the clouds depend on region, location, resource: `ccrelay.config.cloud`.
    "bedrock": ServiceDefaults(
        models=("claude-*", "anthropic.*", "*.anthropic.*", "arn:aws*"), signatures="claude"
    ),
    "claude-aws": ServiceDefaults(auth="x-api-key", models=("claude-*",), signatures="claude"),
    "vertex": ServiceDefaults(models=("claude-*",), signatures="claude"),
    "claude-google": ServiceDefaults(models=("claude-*",), signatures="claude"),
    "azure": ServiceDefaults(auth="x-api-key", models=("claude-*",), signatures="claude"),
}

PRESETS: dict[str, ServiceDefaults] = {
    # Rejects some betas (fine-grained-tool-streaming, context-1m) and ignores most others.
    "minimax": ServiceDefaults(
        base_url="https://api.minimax.io/anthropic",
        drop_betas=("*",),
        system_role="user",
        count_tokens="estimate",
    ),
    "kimi": ServiceDefaults(
        base_url="https://api.moonshot.ai/anthropic",
        drop_betas=("*",),
        system_role="user",
        count_tokens="estimate",
    ),
    # Responds with 400 to the member "type": "custom" of a tool.
    "deepseek": ServiceDefaults(
        base_url="https://api.deepseek.com/anthropic",
        auth="x-api-key",
        drop_betas=("*",),
        system_role="user",
        count_tokens="estimate",
        tool_type_custom="drop",
    ),
    # Forwards betas to Anthropic models.
    "openrouter": ServiceDefaults(base_url="https://openrouter.ai/api", count_tokens="estimate"),
}
