"""Commands run in this process set the key of fingerprints: other tests have theirs again."""

from collections.abc import Iterator

import pytest

from ccrelay.config.fingerprint import current_key, set_key


@pytest.fixture(autouse=True)
def own_fingerprints() -> Iterator[None]:
    """Put the key of fingerprints back after each test."""
    before = current_key()
    yield
    set_key(before)
