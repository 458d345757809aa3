"""The exporters of OpenTelemetry's SDK, with what they sent and what they could not.

Imported only where a collector is configured: the SDK takes some 20 MB and half a second.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Histogram
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from ccrelay import __version__
from ccrelay.ledger.record import Record
from ccrelay.telemetry import genai
from ccrelay.telemetry.genai import Target
from ccrelay.telemetry.labels import RecordLabels

SCOPE = "ccrelay"
# Bounds that the conventions advise.
DURATION_BOUNDS = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28),
    *(2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
FIRST_CHUNK_BOUNDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
    *(0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
TOKEN_BOUNDS = tuple(float(4**power) for power in range(14))

Told = Callable[[str, int, str], None]  # signal, how many, why not ("" when they were taken)


def resource(instance: str) -> Resource:
    """Return what sends the telemetry; the standard variables have the last word."""
    own = {"service.name": "ccrelay", "service.version": __version__}
    own["service.instance.id"] = instance
    return Resource(own).merge(Resource.create()) if _is_named() else Resource.create(own)


def _is_named() -> bool:
    # `Resource.create` has a name of its own for what has none, which must not win.
    return bool(os.environ.get("OTEL_SERVICE_NAME")) or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )


class SpanExport:
    """Sends spans; `export` blocks for at most the exporter's timeout (10 s)."""

    def __init__(self, endpoint: str | None, headers: Mapping[str, str], told: Told) -> None:
        url = f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None
        self._exporter = OTLPSpanExporter(url, headers=dict(headers) or None)
        self._told = told
        self._reasons = LastMessage.install()

    def export(self, spans: Sequence[ReadableSpan]) -> None:
        """Send one batch; tell whether the collector took it. Raises nothing."""
        try:
            taken = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception as error:  # outermost shell of what a collector may answer
            self._told("traces", len(spans), type(error).__name__)
            return
        self._told("traces", len(spans), "" if taken else self._reasons.take())

    def close(self) -> None:
        """Give up what is being sent, and send no more."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class _MetricExporter(OTLPMetricExporter):
    """Tells of each export whether the collector took it."""

    def __init__(self, url: str | None, headers: Mapping[str, str], told: Told) -> None:
        super().__init__(url, headers=dict(headers) or None)
        self._told = told
        self._reasons = LastMessage.install()

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        try:
            result = super().export(metrics_data, timeout_millis, **kwargs)
        except Exception as error:  # outermost shell of what a collector may answer
            self._told("metrics", 1, type(error).__name__)
            return MetricExportResult.FAILURE
        taken = result is MetricExportResult.SUCCESS
        self._told("metrics", 1, "" if taken else self._reasons.take())
        return result


class MetricExport:
    """The metrics of the conventions, sent once a minute or as OTEL_METRIC_EXPORT_INTERVAL says."""

    def __init__(
        self,
        endpoint: str | None,
        headers: Mapping[str, str],
        told: Told,
        source: Resource,
        known: Mapping[str, Target],
    ) -> None:
        url = f"{endpoint.rstrip('/')}/v1/metrics" if endpoint else None
        reader = PeriodicExportingMetricReader(_MetricExporter(url, headers, told))
        self._provider = MeterProvider([reader], resource=source, shutdown_on_exit=False)
        self._known = known
        self._labels = RecordLabels()
        meter = self._provider.get_meter(SCOPE, __version__)
        self._duration: Histogram = meter.create_histogram(
            genai.OPERATION_DURATION,
            "s",
            "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=DURATION_BOUNDS,
        )
        self._first_chunk: Histogram = meter.create_histogram(
            genai.OPERATION_FIRST_CHUNK,
            "s",
            "Time to receive the first chunk.",
            explicit_bucket_boundaries_advisory=FIRST_CHUNK_BOUNDS,
        )
        self._tokens: Histogram = meter.create_histogram(
            genai.TOKEN_USAGE,
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKEN_BOUNDS,
        )

    def observe(self, record: Record) -> None:
        """Count the attempts of an exchange."""
        operation = genai.operation(record)
        tries = genai.attempts(record) if operation else []
        model = self._labels.model(record)
        for attempt in tries:
            target = self._known.get(attempt.provider, Target("_OTHER", "", 0))
            attributes: genai.Attributes = {
                genai.OPERATION: operation,
                genai.PROVIDER: target.name,
                genai.REQUEST_MODEL: model,
            }
            if target.address:
                attributes[genai.SERVER_ADDRESS] = target.address
                attributes[genai.SERVER_PORT] = target.port
            if attempt is tries[-1] and record.status == 200:
                attributes[genai.RESPONSE_MODEL] = model
                self._observe_answer(record, attempt.started_us, attributes)
            if attempt.verdict not in genai.ANSWERED:
                attributes[genai.ERROR_TYPE] = genai.attempt_error(attempt)
            micros = max(attempt.ended_us - attempt.started_us, 0)
            self._duration.record(micros / 1e6, attributes)

    def _observe_answer(
        self, record: Record, started_us: int, attributes: genai.Attributes
    ) -> None:
        if record.first_event_us > started_us:
            self._first_chunk.record((record.first_event_us - started_us) / 1e6, attributes)
        if record.has_usage:
            for kind, tokens in (("input", genai.input_tokens(record)), ("output", record.output)):
                self._tokens.record(max(tokens, 0), {**attributes, genai.TOKEN_TYPE: kind})

    def close(self, timeout_s: float) -> None:
        """Send what there is, within the time, and stop."""
        self._provider.shutdown(timeout_millis=timeout_s * 1000)


class LastMessage(logging.Handler):
    """Keeps the SDK's last complaint: it goes into the relay's own log, once, not to stderr."""

    _installed: "LastMessage | None" = None

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._text = ""

    @classmethod
    def install(cls) -> "LastMessage":
        """Return the handler of this process; the SDK's messages go nowhere else."""
        if cls._installed is None:
            cls._installed = cls()
            logger = logging.getLogger("opentelemetry")
            logger.addHandler(cls._installed)
            logger.propagate = False
        return cls._installed

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self._text = record.getMessage()

    def take(self) -> str:
        """Return the last message, once."""
        text, self._text = self._text, ""
        return text or "the collector did not take it"
