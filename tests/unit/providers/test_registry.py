from collections.abc import Callable
from typing import get_args

import pytest

from ccrelay.config.model import Provider, ProviderType
from ccrelay.providers.anthropic import AnthropicDialect
from ccrelay.providers.azure import AzureDialect
from ccrelay.providers.bedrock import BedrockDialect
from ccrelay.providers.claude_aws import ClaudeAwsDialect
from ccrelay.providers.claude_google import ClaudeGoogleDialect
from ccrelay.providers.compatible import CompatibleDialect
from ccrelay.providers.ollama import OllamaDialect
from ccrelay.providers.registry import dialect_for
from ccrelay.providers.vertex import VertexDialect
from ccrelay.providers.zai import ZaiDialect
from tests.child import run_code

Make = Callable[..., Provider]

DIALECTS = {
    "anthropic": AnthropicDialect,
    "zai": ZaiDialect,
    "ollama": OllamaDialect,
    "compatible": CompatibleDialect,
    "bedrock": BedrockDialect,
    "claude-aws": ClaudeAwsDialect,
    "vertex": VertexDialect,
    "claude-google": ClaudeGoogleDialect,
    "azure": AzureDialect,
}


@pytest.mark.parametrize("kind", get_args(ProviderType))
def test_every_provider_type_has_a_dialect(make: Make, kind: str) -> None:
    provider = make(kind, project="test-project-1")
    dialect = dialect_for(provider)
    assert type(dialect) is DIALECTS[kind]
    assert dialect.provider is provider
    assert dialect.name == "p"


def test_a_relay_without_clouds_does_without_their_tables() -> None:
    code = "import ccrelay.providers.registry, sys; print(*sys.modules)"
    found = run_code(code)
    loaded = found.stdout.split()
    assert "ccrelay.providers.zai" in loaded
    assert not [name for name in loaded if "cloud_error" in name or "bridge" in name]
