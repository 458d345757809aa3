"""Gauges from a snapshot of the state.

The snapshot has the members of `ccrelay.v1.Status`; which room makes it is no concern of this one.
Numbers of states are those of the schema, as the tests compare.
"""

import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric as Family

from ccrelay.metrics import CATALOGUE, NONE

STATES = {1: "starting", 2: "serving", 3: "draining"}  # Status.State
BREAKER_STATES = {1: "closed", 2: "open", 3: "half_open"}  # Breaker.State
KEY_STATES = {  # Key.State
    1: "idle",
    2: "in_use",
    3: "cooldown",
    4: "full",
    5: "refused",
    6: "disabled",
}
SEVERITIES = {1: "warning", 2: "error"}  # Notice.Severity
LEDGER_FAILING = 2  # Ledger.State
WINDOWS_MAX = 32  # of a key: their names come from headers

Samples = Sequence[tuple[tuple[str, ...], float]]


class Drops(msgspec.Struct, frozen=True):
    """What became of spans and metric exports, by signal (`traces`, `metrics`)."""

    exported: dict[str, int]
    dropped: dict[str, int]


def families(status: Any | None, drops: Drops | None) -> Iterator[Family]:
    """Yield the metrics of a state; those of a part that is not known are left out."""
    if status is not None:
        yield from _relay(status)
        yield from _providers(status)
        yield from _keys(status)
        yield from _windows(status)
        yield from _management(status)
    if drops is not None:
        for name, counts in (
            ("ccrelay_telemetry_exported_total", drops.exported),
            ("ccrelay_telemetry_dropped_total", drops.dropped),
        ):
            yield _family(name, [((signal,), count) for signal, count in counts.items()])


def _family(name: str, samples: Samples) -> Family:
    metric = CATALOGUE[name]
    if metric.kind == "info":
        info = InfoMetricFamily(name.removesuffix("_info"), metric.help)
        for values, _ in samples:
            info.add_metric([], dict(zip(metric.labels, values, strict=True)))
        return info
    make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = make(name, metric.help, labels=metric.labels)
    # A scraper refuses the whole page for a series that is there twice.
    for values, value in dict(samples).items():
        family.add_metric(values, value)
    return family


def _one(name: str, value: float) -> Family:
    return _family(name, [((), value)])


def _among(values: tuple[str, ...], states: dict[int, str], present: int) -> Samples:
    """One sample for each state: 1 for the present one, 0 for the others."""
    return [((*values, name), float(number == present)) for number, name in states.items()]


def _relay(status: Any) -> Iterator[Family]:
    yield _family("ccrelay_build_info", [((status.version, platform.python_version()), 1)])
    yield _one("ccrelay_start_time_seconds", status.started_at_ms / 1000)
    yield _family("ccrelay_state", _among((), STATES, status.state))
    yield _one("ccrelay_answering", float(status.answering))
    workers = Counter(worker.state for worker in status.workers)
    yield _family("ccrelay_workers", [((name,), workers[name]) for name in STATES.values()])
    yield _one("ccrelay_exchanges_in_flight", status.in_flight)
    yield _one("ccrelay_queued", status.queued)
    notices = Counter(notice.severity for notice in status.notices)
    yield _family(
        "ccrelay_notices", [((name,), notices[number]) for number, name in SEVERITIES.items()]
    )
    yield _one("ccrelay_config_revision", status.revision)
    yield _one("ccrelay_config_reload_failed", float(bool(status.reload_problem)))


def _providers(status: Any) -> Iterator[Family]:
    providers = status.providers
    yield _family(
        "ccrelay_provider_enabled", [((one.name,), float(one.enabled)) for one in providers]
    )
    yield _family(
        "ccrelay_breaker_state",
        [
            sample
            for one in providers
            for sample in _among((one.name,), BREAKER_STATES, one.breaker.state)
        ],
    )


def _named_keys(status: Any) -> Iterator[tuple[tuple[str, str], Any]]:
    """Every key with its labels. Two keys of one name and provider would be one series: the later
    ones go by their fingerprint.
    """
    seen = set()
    for provider in status.providers:
        for key in provider.keys:
            values = (provider.name, key.name or key.fingerprint or NONE)
            if values in seen:
                values = (provider.name, key.fingerprint or NONE)
            if values not in seen:
                seen.add(values)
                yield values, key


def _keys(status: Any) -> Iterator[Family]:
    keys = list(_named_keys(status))
    now_ms = status.at_ms
    yield _family("ccrelay_in_flight", [(values, key.in_flight) for values, key in keys])
    yield _family(
        "ccrelay_key_state",
        [sample for values, key in keys for sample in _among(values, KEY_STATES, key.state)],
    )
    yield _family(
        "ccrelay_key_cooldown_seconds",
        [(values, _left(key.cooldown_until_ms, now_ms)) for values, key in keys],
    )
    yield _family(
        "ccrelay_key_group_cooldown_seconds",
        [
            ((*values, rest.group), _left(rest.until_ms, now_ms))
            for values, key in keys
            for rest in key.group_cooldowns
        ],
    )
    yield _family(
        "ccrelay_key_room_ratio",
        [(values, key.room) for values, key in keys if key.HasField("room")],
    )


def _left(until_ms: int, now_ms: int) -> float:
    return max(until_ms - now_ms, 0) / 1000 if until_ms else 0.0


def _windows(status: Any) -> Iterator[Family]:
    windows = [
        ((*values, window.name), window)
        for values, key in _named_keys(status)
        for window in list(key.windows)[:WINDOWS_MAX]
    ]
    yield _family(
        "ccrelay_window_utilization_ratio", [(values, w.utilization) for values, w in windows]
    )
    yield _family(
        "ccrelay_window_reset_time_seconds",
        [(values, w.resets_at_ms / 1000) for values, w in windows if w.resets_at_ms],
    )
    yield _family(
        "ccrelay_window_full_time_seconds",
        [(values, w.full_at_ms / 1000) for values, w in windows if w.full_at_ms],
    )


def _management(status: Any) -> Iterator[Family]:
    management = status.management
    ledger = management.ledger
    yield _one("ccrelay_manager_restarts_total", management.restarts)
    yield _one("ccrelay_ledger_up", float(ledger.state != LEDGER_FAILING))
    yield _one("ccrelay_ledger_size_bytes", ledger.bytes)
    yield _one("ccrelay_ledger_written_total", ledger.written)
    yield _one("ccrelay_ledger_pending", ledger.pending)
    yield _one("ccrelay_records_dropped_total", ledger.dropped)
