"""The mock clouds for clients that block: a server in a thread of its own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ccrelay.demo.cloud import Cloud
from ccrelay.demo.script import Script
from ccrelay.demo.server import DemoServer, start_demo

START_S = 30.0


@contextmanager
def mock_cloud(cloud: Cloud, *, script: str = "ok") -> Iterator[DemoServer]:
    """Run a mock cloud; its `url`, `requests` and `cloud` may be used from the calling thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="mock-cloud")
    thread.start()
    try:
        start = start_demo(script=Script.parse(script), gap_ms=0, record=True, cloud=cloud)
        server = asyncio.run_coroutine_threadsafe(start, loop).result(START_S)
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.close(), loop).result(START_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
