"""Creates the dialect of a configured provider."""

from typing import assert_never

from ccrelay.config.model import Provider
from ccrelay.providers.anthropic import AnthropicDialect
from ccrelay.providers.base import Dialect
from ccrelay.providers.compatible import CompatibleDialect
from ccrelay.providers.ollama import OllamaDialect
from ccrelay.providers.zai import ZaiDialect


def dialect_for(provider: Provider) -> Dialect:
    """Create the dialect of a provider whose defaults are filled in.

    Raises:
        ValueError: defaults are missing, or a header or key cannot be sent.
    """
    match provider.type:
        case "anthropic":
            return AnthropicDialect(provider)
        case "zai":
            return ZaiDialect(provider)
        case "ollama":
            return OllamaDialect(provider)
        case "compatible":
            return CompatibleDialect(provider)
        case _:
            assert_never(provider.type)
