"""The registry behind `/metrics`: counters from records, gauges from the state when asked."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import (
    CONTENT_TYPE_LATEST as CONTENT_TYPE_OPENMETRICS,
    generate_latest as generate_openmetrics,
)

from ccrelay.ledger.record import Record
from ccrelay.metrics import FROM_RECORDS, Metric
from ccrelay.telemetry import labels
from ccrelay.telemetry.labels import RecordLabels
from ccrelay.telemetry.state import Drops, families

Child = Counter | Histogram

_MICRO = 1e-6


class Metrics:
    """All metrics of the relay.

    `observe` and `render` may be called from different threads.

    Args:
        status: gives the state as of now, a `ccrelay.v1.Status` or what has its members; None: it
            is not known yet, and the gauges are left out.
        drops: gives the counts of the OpenTelemetry export; None: there is no export.
    """

    def __init__(
        self,
        status: Callable[[], Any | None] = lambda: None,
        drops: Callable[[], Drops | None] = lambda: None,
    ) -> None:
        # When a series began is told by the start time; a second series each would say no more.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._labels = RecordLabels()
        self._metrics = {metric.name: self._make(metric) for metric in FROM_RECORDS}
        self._children: dict[tuple[str, ...], Child] = {}
        self._registry.register(_State(status, drops))

    def observe(self, records: Sequence[Record]) -> None:
        """Count exchanges that are over."""
        for record in records:
            self._observe(record)

    def render(self, accept: str = "") -> tuple[str, bytes]:
        """Return content type and body for a scraper with this Accept header.

        OpenMetrics where it is asked for, else the text format 0.0.4. Raises nothing for odd
        headers; what the callbacks raise is passed on.
        """
        kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
        if "application/openmetrics-text" in kinds:
            openmetrics: bytes = generate_openmetrics(self._registry)  # type: ignore[no-untyped-call]
            return CONTENT_TYPE_OPENMETRICS, openmetrics
        return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._registry)

    def _make(self, metric: Metric) -> Child:
        if metric.kind == "histogram":
            return Histogram(
                metric.name,
                metric.help,
                metric.labels,
                buckets=metric.buckets,
                registry=self._registry,
            )
        return Counter(metric.name, metric.help, metric.labels, registry=self._registry)

    def _add(self, name: str, amount: float, *values: str) -> None:
        child = self._child(name, values)
        assert isinstance(child, Counter)
        child.inc(amount)

    def _time(self, name: str, micros: int, *values: str) -> None:
        child = self._child(name, values)
        assert isinstance(child, Histogram)
        child.observe(micros * _MICRO)

    def _child(self, name: str, values: tuple[str, ...]) -> Child:
        # The library's own look-up checks and converts the labels each time.
        child = self._children.get((name, *values))
        if child is None:
            metric = self._metrics[name]
            child = metric.labels(*values) if values else metric
            self._children[name, *values] = child
        return child

    def _observe(self, record: Record) -> None:
        named = self._labels
        provider, model = named.provider(record.provider), named.model(record)
        self._add(
            "ccrelay_exchanges_total",
            1,
            provider,
            named.key(record),
            model,
            named.traffic(record),
            labels.outcome(record),
        )
        self._add("ccrelay_responses_total", 1, labels.code(record.status))
        for target, verdict in named.attempts(record):
            self._add("ccrelay_attempts_total", 1, target, verdict)
        self._add("ccrelay_request_bytes_total", max(record.bytes_in, 0), provider)
        self._add("ccrelay_response_bytes_total", max(record.bytes_out, 0), provider)
        self._observe_times(record, provider, model)
        if record.has_usage:
            self._observe_tokens(record, provider, model)
            self._observe_cost(record, provider, model)
        if record.moved:
            self._add("ccrelay_moves_total", 1, provider)
            self._add("ccrelay_moved_dollars_total", max(record.moved_micros, 0) / 1e6, provider)

    def _observe_times(self, record: Record, provider: str, model: str) -> None:
        self._time("ccrelay_exchange_duration_seconds", record.duration_us, provider, model)
        self._time("ccrelay_relay_own_seconds", record.own_us)
        if record.first_event_us > 0:
            self._time("ccrelay_first_event_seconds", record.first_event_us, provider, model)
        if record.queued_us > 0:
            self._time("ccrelay_queue_wait_seconds", record.queued_us, provider)

    def _observe_tokens(self, record: Record, provider: str, model: str) -> None:
        for kind, tokens in (
            ("input", record.input),
            ("output", record.output),
            ("cache_read", record.cache_read),
            ("cache_write_5m", record.cache_write_5m),
            ("cache_write_1h", record.cache_write_1h),
        ):
            if tokens > 0:
                self._add("ccrelay_tokens_total", tokens, provider, model, kind)
        if record.thinking > 0:
            self._add("ccrelay_thinking_tokens_total", record.thinking, provider, model)

    def _observe_cost(self, record: Record, provider: str, model: str) -> None:
        if record.cost_micros < 0:
            self._add("ccrelay_unpriced_exchanges_total", 1, provider, model)
            return
        paid = labels.billing(record)
        cost, uncached = record.cost_micros, max(record.uncached_micros, 0)
        self._add("ccrelay_cost_dollars_total", cost / 1e6, provider, model, paid)
        self._add("ccrelay_cost_uncached_dollars_total", uncached / 1e6, provider, model, paid)


class _State:
    """What the library asks for the gauges, whenever a scraper comes."""

    def __init__(self, status: Callable[[], Any | None], drops: Callable[[], Drops | None]) -> None:
        self._status = status
        self._drops = drops

    def collect(self) -> Iterator[Family]:
        return families(self._status(), self._drops())
