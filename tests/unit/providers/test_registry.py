from collections.abc import Callable
from typing import get_args

import pytest

from ccrelay.config.model import Provider, ProviderType
from ccrelay.providers.anthropic import AnthropicDialect
from ccrelay.providers.compatible import CompatibleDialect
from ccrelay.providers.ollama import OllamaDialect
from ccrelay.providers.registry import dialect_for
from ccrelay.providers.zai import ZaiDialect

Make = Callable[..., Provider]

DIALECTS = {
    "anthropic": AnthropicDialect,
    "zai": ZaiDialect,
    "ollama": OllamaDialect,
    "compatible": CompatibleDialect,
}


@pytest.mark.parametrize("kind", get_args(ProviderType))
def test_every_provider_type_has_a_dialect(make: Make, kind: str) -> None:
    provider = make(kind)
    dialect = dialect_for(provider)
    assert type(dialect) is DIALECTS[kind]
    assert dialect.provider is provider
    assert dialect.name == "p"
