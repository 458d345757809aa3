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
        case "bedrock" | "claude-aws" | "vertex" | "claude-google" | "azure":
            return _cloud_dialect(provider)
        case _:
            assert_never(provider.type)


def _cloud_dialect(provider: Provider) -> Dialect:
    # Imported here: a relay without clouds does without their tables.
    if provider.type == "bedrock":
        from ccrelay.providers.bedrock import bedrock_dialect

        return bedrock_dialect(provider)
    if provider.type == "claude-aws":
        from ccrelay.providers.claude_aws import ClaudeAwsDialect

        return ClaudeAwsDialect(provider)
    if provider.type == "vertex":
        from ccrelay.providers.vertex import VertexDialect

        return VertexDialect(provider)
    if provider.type == "claude-google":
        from ccrelay.providers.claude_google import ClaudeGoogleDialect

        return ClaudeGoogleDialect(provider)
    from ccrelay.providers.azure import AzureDialect

    return AzureDialect(provider)
