import pytest

from tests.unit.relay.fakes import FakeRelay
from tests.unit.relay.scenario import settings


@pytest.fixture
def relay() -> FakeRelay:
    """One provider with one key."""
    return FakeRelay(config=settings(ping_s=10.0, early_head_s=40.0))
