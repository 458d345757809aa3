"""Metrics and OpenTelemetry as parts of the manager: a sink of records, the route `/metrics`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ccrelay.config.model import Config
from ccrelay.control.http import HttpHandler, HttpRequest, HttpResponse
from ccrelay.ledger.record import Record
from ccrelay.runtime.manager_link import ConfigChanged, ToManager
from ccrelay.telemetry.otel import Otel
from ccrelay.telemetry.prometheus import Metrics
from ccrelay.types import LogSink


class Scrape:
    """Counts exchanges, sends them to a collector, and answers scrapers.

    Args:
        config: in force.
        log: is told of a collector that does not take what is sent.
        env: the environment of the process.
        refresh: fetches what the state does not have at hand.
        compute: gives the state, a `ccrelay.v1.Status`.
    """

    def __init__(
        self,
        config: Config,
        log: LogSink,
        env: Mapping[str, str],
        refresh: Callable[[], Awaitable[None]],
        compute: Callable[[], Any],
    ) -> None:
        self._refresh = refresh
        self._compute = compute
        self._status: Any | None = None
        self._otel = Otel(log, env)
        self._metrics = Metrics(lambda: self._status, self._otel.counts)
        self._otel.apply(config)

    def observe(self, records: Sequence[Record]) -> None:
        """Take exchanges that are over; never blocks."""
        self._metrics.observe(records)
        self._otel.observe(records)

    def on_message(self, message: ToManager) -> None:
        """Take over what the supervisor tells."""
        if isinstance(message, ConfigChanged):
            self._otel.apply(message.config)

    def routes(self) -> Mapping[str, HttpHandler]:
        """Return the handlers of GET."""
        return {"/metrics": self._answer}

    async def close(self) -> None:
        """Send what there is to the collector, within a second."""
        await asyncio.to_thread(self._otel.close, 1.0)

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        await self._refresh()
        self._status = self._compute()
        # In a thread: with many models it takes long enough for those who watch to notice.
        kind, body = await asyncio.to_thread(self._metrics.render, request.header("accept"))
        return HttpResponse(body, content_type=kind, headers=[("cache-control", "no-store")])
