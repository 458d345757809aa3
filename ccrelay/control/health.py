"""grpc.health.v1: whether the management plane serves.

Not the servicer of grpcio-health-checking: that one holds a lock while it writes to a watcher, so
that a slow one, who needs no token, blocks every change.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from ccrelay.control.errors import Refused

NAME = "grpc.health.v1.Health"
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # no types
    """Says of each service, and of "", the whole, that it serves, until `stop`.

    Args:
        services: full names.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset({"", *services})
        self._changed = asyncio.Event()

    @property
    def is_serving(self) -> bool:
        """Whether it has not been stopped."""
        return not self._changed.is_set()

    def stop(self) -> None:
        """Tell all watchers that nothing serves any more."""
        self._changed.set()

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return the status of one service. NOT_FOUND for others."""
        if request.service not in self._services:
            raise Refused(grpc.StatusCode.NOT_FOUND, "There is no such service.")
        return self._answer(request.service)

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Return the status of all services."""
        statuses = {name: self._answer(name) for name in sorted(self._services)}
        return health_pb2.HealthListResponse(statuses=statuses)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Yield the status of one service, and again when it changes."""
        yield self._answer(request.service)
        await self._changed.wait()
        yield self._answer(request.service)

    def _answer(self, service: str) -> Any:
        if service not in self._services:
            return health_pb2.HealthCheckResponse(status=_UNKNOWN)
        status = _SERVING if self.is_serving else _NOT_SERVING
        return health_pb2.HealthCheckResponse(status=status)
