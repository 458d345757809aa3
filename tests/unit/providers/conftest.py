from collections.abc import Callable

import pytest

from ccrelay.config.model import Provider

Make = Callable[..., Provider]


@pytest.fixture
def make() -> Make:
    """A provider with its defaults filled in, as loaded from the configuration."""

    def build(kind: str = "compatible", **settings: object) -> Provider:
        resolved: dict[str, object] = {
            "name": "p",
            "base_url": "https://relay.example/base",
            "auth": "bearer",
            "models": ["*"],
            "system_role": "keep",
            "count_tokens": "forward",
            "drop_betas": [],
            "tool_type_custom": "keep",
            **settings,
        }
        return Provider(type=kind, **resolved)  # type: ignore[arg-type]

    return build
