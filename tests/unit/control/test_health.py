import asyncio
from typing import Any

import pytest
from grpc_health.v1 import health_pb2

from ccrelay.control.errors import Refused
from ccrelay.control.health import Health

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def ask(service: str) -> Any:
    return health_pb2.HealthCheckRequest(service=service)


async def all_of(health: Health, service: str) -> list[int]:
    return [answer.status async for answer in health.Watch(ask(service), None)]


def test_each_service_and_the_whole() -> None:
    async def run() -> None:
        health = Health(["a.B"])
        for service in ("", "a.B"):
            assert (await health.Check(ask(service), None)).status == SERVING
        with pytest.raises(Refused, match="no such service"):
            await health.Check(ask("c.D"), None)

    asyncio.run(run())


@pytest.mark.skipif(
    not hasattr(health_pb2, "HealthListResponse"), reason="newer than the oldest version"
)
def test_the_list() -> None:
    listed = asyncio.run(Health(["a.B"]).List(None, None)).statuses
    assert {name: each.status for name, each in listed.items()} == {"": SERVING, "a.B": SERVING}


def test_watchers_are_told_of_the_end() -> None:
    async def run() -> None:
        health = Health(["a.B"])
        async with asyncio.TaskGroup() as group:
            watches = [group.create_task(all_of(health, name)) for name in ("", "a.B", "c.D")]
            await asyncio.sleep(0)
            assert health.is_serving
            health.stop()
        results = [watch.result() for watch in watches]
        assert results == [[SERVING, NOT_SERVING], [SERVING, NOT_SERVING], [UNKNOWN, UNKNOWN]]
        assert (await health.Check(ask(""), None)).status == NOT_SERVING

    asyncio.run(run())
