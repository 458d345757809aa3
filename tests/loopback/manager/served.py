"""The two services of the ledger behind a real gRPC server, asked by a real client."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from ccrelay.config.model import Price, Provider
from ccrelay.manager.clock import Clock
from ccrelay.manager.exchanges_service import ExchangesService
from ccrelay.manager.running import RunningExchanges
from ccrelay.manager.tail import TailHub
from ccrelay.manager.usage_service import UsageService
from ccrelay.runtime.manager_link import Command, Reply, StatsCommand
from ccrelay.store.ledger import Ledger
from ccrelay.v1 import (
    exchanges_pb2_grpc,
    usage_pb2_grpc,
)
from tests.unit.store.making import NOON_US, opened

NOW_S = NOON_US / 1e6 + 3600
PROVIDERS = [
    Provider(name="anthropic", type="anthropic"),
    Provider(name="zai", type="zai", prices={"glm-*": Price(input=1, output=2)}),
]


class Workers:
    """A supervisor that knows what its workers tell."""

    def __init__(self) -> None:
        self.running: list[bytes] = []
        self.error = ""
        self.asked: list[int] = []

    async def call(self, command: Command) -> Reply:
        """Answer as the real one."""
        assert isinstance(command, StatsCommand)
        self.asked.append(command.running)
        await asyncio.sleep(0.02)
        return Reply(1, error=self.error, running=self.running)


class Served:
    """A client's stubs, and what is behind them."""

    def __init__(
        self, channel: grpc.aio.Channel, ledger: Ledger | None, tail: TailHub, workers: "Workers"
    ) -> None:
        self.workers = workers
        self.exchanges: Any = exchanges_pb2_grpc.ExchangesStub(channel)
        self.usage: Any = usage_pb2_grpc.UsageStub(channel)
        self._ledger = ledger
        self.tail = tail

    @property
    def ledger(self) -> Ledger:
        assert self._ledger is not None
        return self._ledger


@asynccontextmanager
async def serving(
    path: Path | None, providers: Sequence[Provider] = PROVIDERS
) -> AsyncIterator[Served]:
    """Serve a ledger; None: there is none."""
    ledger = None
    if path is not None:
        ledger = opened(str(path), clock=lambda: NOW_S, zone=lambda _: 0)
    tail, workers = TailHub(), Workers()
    server = grpc.aio.server()
    exchanges_pb2_grpc.add_ExchangesServicer_to_server(
        ExchangesService(ledger, tail, lambda: providers, RunningExchanges(workers, Clock())),
        server,
    )
    usage_pb2_grpc.add_UsageServicer_to_server(UsageService(ledger, lambda: providers), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Served(channel, ledger, tail, workers)
    finally:
        await server.stop(0.1)
        if ledger is not None:
            await ledger.stop()


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """The error of a call, which has one."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    raise AssertionError("the call was not refused")
