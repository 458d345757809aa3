"""Known Anthropic-compatible services as data: what a provider gets without saying so.

Facts are those the services document for their Anthropic endpoint; what they leave open is decided
on the safe side (count_tokens is estimated, betas are dropped). Any field can be overridden in the
provider: MiniMax and Kimi have a second base URL for China (api.minimaxi.com, api.moonshot.cn).
"""

import msgspec

from ccrelay.config.model import AuthStyle, CountTokens, Signatures, SystemRole, ToolTypeCustom


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults of a provider type or preset. None: nothing to offer, or it depends."""

    base_url: str | None = None
    auth: AuthStyle = "bearer"
    models: tuple[str, ...] | None = None  # None: everything, or only what is mapped
    drop_betas: tuple[str, ...] = ()
    system_role: SystemRole = "keep"
    count_tokens: CountTokens = "forward"
    tool_type_custom: ToolTypeCustom = "keep"
    signatures: Signatures = "none"


BY_TYPE: dict[str, Service] = {
    "anthropic": Service(
        base_url="https://api.anthropic.com",
        auth="x-api-key",
        models=("claude-*", "anthropic*"),
        signatures="claude",
    ),
    "zai": Service(base_url="https://api.z.ai/api/anthropic", models=("glm-*", "GLM-*")),
    # No count_tokens route; any credential is ignored locally, Ollama's cloud wants Bearer.
    "ollama": Service(
        base_url="http://localhost:11434",
        auth="none",
        system_role="user",
        count_tokens="estimate",
    ),
    "compatible": Service(),
}

PRESETS: dict[str, Service] = {
    # Refuses some betas (fine-grained-tool-streaming, context-1m) and ignores most others.
    "minimax": Service(
        base_url="https://api.minimax.io/anthropic",
        drop_betas=("*",),
        system_role="user",
        count_tokens="estimate",
    ),
    "kimi": Service(
        base_url="https://api.moonshot.ai/anthropic",
        drop_betas=("*",),
        system_role="user",
        count_tokens="estimate",
    ),
    # Answers 400 to the member "type": "custom" of a tool.
    "deepseek": Service(
        base_url="https://api.deepseek.com/anthropic",
        auth="x-api-key",
        drop_betas=("*",),
        system_role="user",
        count_tokens="estimate",
        tool_type_custom="drop",
    ),
    # Passes betas on to Anthropic models.
    "openrouter": Service(base_url="https://openrouter.ai/api", count_tokens="estimate"),
}
