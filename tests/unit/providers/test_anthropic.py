from collections.abc import Callable

from ccrelay.config.model import Provider
from ccrelay.providers.anthropic import AnthropicDialect

Make = Callable[..., Provider]


def test_nothing_is_rewritten_translated_or_repaired(make: Make) -> None:
    dialect = AnthropicDialect(make("anthropic"))
    assert not dialect.needs_rewrite("claude-opus-5-5")
    assert not dialect.translates_errors
    assert not dialect.repairs_stream
    assert dialect.drop_betas is None
    assert dialect.drop_names == frozenset()
