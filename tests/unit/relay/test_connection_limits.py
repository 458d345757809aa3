"""How many connections are taken, by what may be open."""

import pytest

from ccrelay.config.model import Limits
from ccrelay.relay import connection_limits

MB = 1 << 20


@pytest.mark.parametrize(
    ("configured", "open_files", "most"),
    [
        (None, 1024, 480),
        (0, 1024, 480),
        (None, 65_536, 32_736),
        (None, 40, 1),
        (100, 1024, 100),
        (5000, 1024, 5000),  # an explicit value wins
    ],
)
def test_half_of_the_open_files_unless_configured(
    configured: int | None, open_files: int, most: int
) -> None:
    assert connection_limits.connections_max(Limits(connections_max=configured), open_files) == most


@pytest.mark.parametrize(
    ("configured", "open_files", "warns"),
    [(None, 64, False), (0, 64, False), (480, 1024, False), (481, 1024, True)],
)
def test_what_cannot_be_kept_is_warned_about(
    configured: int | None, open_files: int, warns: bool
) -> None:
    assert connection_limits.too_many(Limits(connections_max=configured), open_files) is warns


@pytest.mark.parametrize(
    ("configured", "connections", "most"),
    [(None, 32_000, 8000), (None, 100, 64), (0, 32_000, 0), (7, 32_000, 7)],
)
def test_a_quarter_of_them_may_be_one_addresss(
    configured: int | None, connections: int, most: int
) -> None:
    limits = Limits(unadmitted_per_address_max=configured)
    assert connection_limits.unadmitted_max(limits, connections) == most


def test_memory_is_that_for_replays_and_some_more_unless_configured() -> None:
    assert connection_limits.memory_max(Limits(replay_bytes_max=MB)) == 65 * MB
    assert connection_limits.memory_max(Limits(memory_bytes_max=2 * MB)) == 2 * MB


def test_the_limit_in_force_is_a_number() -> None:
    assert connection_limits.open_files_max() > 0
