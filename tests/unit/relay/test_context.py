"""What a worker's exchanges share."""

import pytest

from ccrelay.relay.context import WorkerContext
from tests.unit.relay.fakes import FakeRelay


@pytest.fixture
def context() -> WorkerContext:
    return FakeRelay().context


def test_serials_count_the_requests_of_the_worker(context: WorkerContext) -> None:
    assert [context.next_serial() for _ in range(3)] == [1, 2, 3]
    assert context.served == 3


def test_ids_are_the_prefix_and_the_serial_in_hex(context: WorkerContext) -> None:
    assert (context.id_of(1), context.id_of(0x1B2)) == ("req_1", "req_1b2")


def test_a_configuration_can_be_replaced(context: WorkerContext) -> None:
    other = FakeRelay().context.config
    context.config = other
    assert context.config is other
    with pytest.raises(AttributeError):
        context.queue = other  # type: ignore[misc]
