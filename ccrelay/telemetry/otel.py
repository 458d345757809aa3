"""OpenTelemetry export: records in, OTLP out, and nothing waits for the collector.

    observe --bounded queue--> intake thread --bounded queue--> sender thread --HTTP--> collector
                                 metrics --the SDK's reader, once a minute--^

The threads belong to the manager. A queue without room drops and counts.
"""

import threading
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from ccrelay.config.model import Config, Telemetry
from ccrelay.config.secret_shapes import without_secrets
from ccrelay.ledger.record import Record
from ccrelay.telemetry import genai
from ccrelay.telemetry.state import Drops
from ccrelay.types import LogSink

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from ccrelay.telemetry.otlp import MetricExport, SpanExport
    from ccrelay.telemetry.spans import SpanMaker

INSTALL = "pip install 'ccrelay-proxy[otel]'"
RECORDS_MAX = 4096  # that wait for the intake
SPANS_MAX = 8192  # that wait for the collector
BATCH = 512
DELAY_S = 2.0  # a span waits so long for others
REASON_MAX = 200

Item = TypeVar("Item")


class Wanted:
    """What is to be exported, by the configuration and the standard variables."""

    def __init__(self, telemetry: Telemetry, env: Mapping[str, str]) -> None:
        self.endpoint = telemetry.otlp_endpoint
        is_off = env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        self.traces = telemetry.traces and not is_off and self._has("TRACES", env)
        self.metrics = telemetry.metrics and not is_off and self._has("METRICS", env)
        self.protocol = ""
        if self.endpoint is None and (self.traces or self.metrics):
            told = env.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip()
            self.protocol = told if told not in ("", "http/protobuf") else ""

    def _has(self, signal: str, env: Mapping[str, str]) -> bool:
        if self.endpoint is not None:
            return True
        if env.get(f"OTEL_{signal}_EXPORTER", "otlp").strip().lower() not in ("", "otlp"):
            return False
        names = (f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
        return any(env.get(name, "").strip() for name in names)


class Otel:
    """The export of one process, as its configuration wants it now.

    Args:
        log: is told when a collector fails and when it takes again.
        env: the environment of the process, which the SDK reads as well.
    """

    def __init__(self, log: LogSink, env: Mapping[str, str]) -> None:
        self._log = log
        self._env = env
        self._lock = threading.Lock()
        self._exported: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._failing: set[str] = set()
        self._export: _Export | None = None
        self._basis: tuple[Telemetry, Mapping[str, genai.Target]] | None = None

    def apply(self, config: Config) -> None:
        """Start, change or stop the export. Returns at once; an earlier one ends by itself."""
        basis = (config.telemetry, genai.targets(config))
        if basis == self._basis:
            return
        self._basis = basis
        self._stop(timeout_s=2.0, wait=False)
        wanted = Wanted(config.telemetry, self._env)
        if wanted.protocol:
            self._log.event(
                "warning",
                "telemetry_protocol",
                protocol=wanted.protocol,
                hint="The relay speaks OTLP over HTTP with protobuf: the endpoint must, too.",
            )
        if not (wanted.traces or wanted.metrics):
            return
        if not _is_installed():
            self._log.event(
                "warning",
                "telemetry_not_installed",
                hint=f"Nothing is sent to the collector: {INSTALL}, then restart the relay.",
            )
            return
        self._export = _Export(self, wanted, config.telemetry.headers, basis[1])

    def observe(self, records: Sequence[Record]) -> None:
        """Take exchanges that are over; never blocks."""
        export = self._export
        if export is not None:
            export.intake.put(records)

    def counts(self) -> Drops | None:
        """Return what became of spans and metric exports; None: nothing is exported."""
        if self._export is None:
            return None
        with self._lock:
            return Drops(dict(self._exported), dict(self._dropped))

    def close(self, timeout_s: float = 2.0) -> None:
        """Send what there is, within the time, and stop."""
        self._stop(timeout_s, wait=True)
        self._basis = None

    def told(self, signal: str, number: int, problem: str) -> None:
        """Count spans or exports that were taken, or with a problem those that were not."""
        with self._lock:
            (self._dropped if problem else self._exported)[signal] += number
            was_failing = signal in self._failing
            (self._failing.add if problem else self._failing.discard)(signal)
        if problem and not was_failing:
            self._log.event(
                "warning",
                "telemetry_failing",
                signal=signal,
                reason=without_secrets(problem)[:REASON_MAX],
            )
        elif was_failing and not problem:
            self._log.event("info", "telemetry_resumed", signal=signal)

    def dropped(self, signal: str, number: int) -> None:
        """Count what no queue had room for."""
        with self._lock:
            self._dropped[signal] += number

    def _stop(self, timeout_s: float, *, wait: bool) -> None:
        export, self._export = self._export, None
        if export is not None:
            closing = threading.Thread(target=export.close, args=(timeout_s,), daemon=True)
            closing.start()
            if wait:
                closing.join(timeout_s + 1.0)


def _is_installed() -> bool:
    from importlib.util import find_spec

    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # of a parent package
        return False


class _Queue(Generic[Item]):
    """Items for one thread, bounded: `put` says what there was no room for."""

    def __init__(self, maximum: int) -> None:
        self._items: deque[Item] = deque()
        self._maximum = maximum
        self._changed = threading.Condition()
        self._is_closed = False

    def put(self, items: Sequence[Item]) -> int:
        """Add what there is room for; return how many were dropped."""
        with self._changed:
            room = 0 if self._is_closed else self._maximum - len(self._items)
            was_empty = not self._items
            self._items.extend(items[: max(room, 0)])
            if was_empty or len(self._items) >= BATCH:
                self._changed.notify()
        return max(len(items) - max(room, 0), 0)

    def take(self) -> list[Item] | None:
        """Wait for a batch, or DELAY_S for fewer; None: closed and empty."""
        with self._changed:
            while not self._items and not self._is_closed:
                self._changed.wait()
            if len(self._items) < BATCH and not self._is_closed:
                self._changed.wait(DELAY_S)
            if not self._items:
                return None
            return [self._items.popleft() for _ in range(min(BATCH, len(self._items)))]

    def close(self) -> None:
        """Take no more; what is in it can still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def clear(self) -> int:
        """Drop what is in it; return how many."""
        with self._changed:
            number = len(self._items)
            self._items.clear()
            return number


class _Intake(_Queue[Record]):
    def __init__(self, otel: Otel, signal: str) -> None:
        super().__init__(RECORDS_MAX)
        self._otel = otel
        self._signal = signal

    def put(self, items: Sequence[Record]) -> int:
        dropped = super().put(items)
        if dropped:
            # Counted as the spans that would have been made of them, at the least.
            self._otel.dropped(self._signal, 2 * dropped)
        return dropped


class _Export:
    """The threads of one configuration."""

    def __init__(
        self,
        otel: Otel,
        wanted: Wanted,
        headers: Mapping[str, str],
        known: Mapping[str, genai.Target],
    ) -> None:
        self.intake = _Intake(otel, "traces" if wanted.traces else "metrics")
        self._otel = otel
        self._wanted = wanted
        self._headers = headers
        self._known = known
        self._spans: _Queue[ReadableSpan] = _Queue(SPANS_MAX)
        self._sender: SpanExport | None = None
        self._metrics: MetricExport | None = None
        self._maker: SpanMaker | None = None
        self._sending: threading.Thread | None = None
        self._taking = threading.Thread(target=self._run_intake, daemon=True)
        self._taking.start()

    def close(self, timeout_s: float) -> None:
        """Send what there is within the time; drop and count the rest."""
        self.intake.close()
        self._taking.join(timeout_s)
        if self._sending is not None:  # made by the other one
            self._sending.join(timeout_s)
        if self._sender is not None:
            self._sender.close()
        left = self._spans.clear()
        if left:
            self._otel.dropped("traces", left)
        if self._metrics is not None:
            self._metrics.close(timeout_s)

    def _run_intake(self) -> None:
        try:
            self._open()
        except Exception as error:  # outermost shell of a thread: a broken installation
            self._otel.told("traces", 0, f"{type(error).__name__}: {error}")
            self.intake.close()
            return
        while (records := self.intake.take()) is not None:
            self._work(records)
        self._spans.close()

    def _open(self) -> None:
        """Import the SDK, which takes its time, and make what is wanted of it."""
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        from ccrelay import __version__
        from ccrelay.telemetry.otlp import SCOPE, MetricExport, SpanExport, resource
        from ccrelay.telemetry.spans import SpanMaker

        source = resource(str(uuid.uuid4()))
        endpoint, told = self._wanted.endpoint, self._otel.told
        if self._wanted.traces:
            self._maker = SpanMaker(source, InstrumentationScope(SCOPE, __version__), self._known)
            self._sender = SpanExport(endpoint, self._headers, told)
            self._sending = threading.Thread(target=self._run_sender, daemon=True)
            self._sending.start()
        if self._wanted.metrics:
            self._metrics = MetricExport(endpoint, self._headers, told, source, self._known)

    def _work(self, records: Iterable[Record]) -> None:
        spans: list[ReadableSpan] = []
        for record in records:
            if self._metrics is not None:
                self._metrics.observe(record)
            if self._maker is not None:
                spans += self._maker.spans(record)
        dropped = self._spans.put(spans)
        if dropped:
            self._otel.dropped("traces", dropped)

    def _run_sender(self) -> None:
        sender = self._sender
        assert sender is not None
        while (spans := self._spans.take()) is not None:
            if spans:
                sender.export(spans)
