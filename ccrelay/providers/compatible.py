"""Other endpoints with the Messages API: MiniMax, Kimi, DeepSeek, OpenRouter and so on.

Their differences are settings (providers reference, section 10), set by preset or by the user:
`system_role`, `drop_betas`, `count_tokens`, and `tool_type_custom` for DeepSeek, which rejects
tools with an explicit `"type": "custom"`.
"""

from ccrelay.config.model import Provider
from ccrelay.providers.base import Dialect
from ccrelay.wire.bodies import Members, drop_tool_member

CUSTOM = b'"custom"'


class CompatibleDialect(Dialect):
    """Type `compatible`, with or without a preset."""

    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self.drops_custom = provider.tool_type_custom == "drop"

    def needs_rewrite(self, model: str) -> bool:
        """True when system turns are folded or tools lose their `type`."""
        return self.drops_custom or super().needs_rewrite(model)

    def edit(self, top: Members, model: str) -> None:
        """Fold system turns, then remove `"type": "custom"` from tools."""
        super().edit(top, model)
        if self.drops_custom and "tools" in top:
            top["tools"] = drop_tool_member(top["tools"], "type", CUSTOM)
