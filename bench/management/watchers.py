"""`python -m bench.management.watchers SOCKET WATCHERS TAILS [RUNNING]`: gRPC clients.

They read until they are told to end (SIGTERM), then print how many messages came, as JSON.
"""

import asyncio
import json
import signal
import sys

import grpc

from ccrelay.v1 import exchanges_pb2, exchanges_pb2_grpc, relay_pb2, relay_pb2_grpc

INTERVAL_MS = 100


async def _watch(channel: grpc.aio.Channel, counts: dict[str, int]) -> None:
    request = relay_pb2.WatchStatusRequest(interval_ms=INTERVAL_MS)
    stub = relay_pb2_grpc.RelayStub(channel)  # type: ignore[no-untyped-call]
    async for _ in stub.WatchStatus(request):
        counts["status"] += 1


async def _tail(channel: grpc.aio.Channel, counts: dict[str, int]) -> None:
    stub = exchanges_pb2_grpc.ExchangesStub(channel)  # type: ignore[no-untyped-call]
    async for found in stub.Tail(exchanges_pb2.TailRequest()):
        counts["exchanges"] += len(found.exchanges)
        counts["dropped"] += found.dropped


async def _running(channel: grpc.aio.Channel, counts: dict[str, int]) -> None:
    stub = exchanges_pb2_grpc.ExchangesStub(channel)  # type: ignore[no-untyped-call]
    async for _ in stub.WatchRunning(exchanges_pb2.WatchRunningRequest(interval_ms=1)):
        counts["running"] += 1


async def _read(socket: str, watchers: int, tails: int, running: int) -> dict[str, int]:
    counts = {"status": 0, "exchanges": 0, "dropped": 0, "running": 0}
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        reading = [_watch(channel, counts) for _ in range(watchers)]
        reading += [_tail(channel, counts) for _ in range(tails)]
        reading += [_running(channel, counts) for _ in range(running)]
        tasks = [asyncio.ensure_future(one) for one in reading]
        stop = asyncio.ensure_future(ended.wait())
        # A stream that ends by itself is an error, and ends the others.
        await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        errors = [one for one in results if isinstance(one, Exception)]
        if errors:
            raise errors[0]
    return counts


def main() -> None:
    """Read until SIGTERM."""
    socket, *counts = sys.argv[1:]
    watchers, tails, running = [*map(int, counts), 0][:3]
    print(json.dumps(asyncio.run(_read(socket, watchers, tails, running))))


if __name__ == "__main__":
    main()
