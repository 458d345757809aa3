"""The catalogue of metrics: every name, kind, unit, label and bucket that `/metrics` may show.

The registry (`ccrelay.telemetry.prometheus`) is built from it, and so is docs/metrics.md; a test
compares the Grafana dashboard with it. So a metric cannot be exported under a name that no page
tells. Names follow Prometheus: base units, the unit in the name, `_total` for what only grows.
"""

from typing import Literal

import msgspec

Kind = Literal["counter", "gauge", "histogram", "info"]
Unit = Literal["", "seconds", "bytes", "dollars", "ratio", "tokens"]

# A label holds at most so many values; later ones are counted under OTHER. A client that invents
# names must not be able to fill the manager's memory, or a scraper's disk.
LABEL_VALUES_MAX = 200
LABEL_LENGTH_MAX = 120  # characters; longer values are OTHER
OTHER = "other"
NONE = "none"  # there was none: no provider was tried, no model is known

LABELS = {
    "provider": "Name of the provider, from the configuration; `none`: no target was tried.",
    "key": "Name of the key, else its fingerprint; `none`: no target was tried.",
    "model": "Model as it was sent to a provider and served by it, never as it was asked for.",
    "class": "`main`, `subagent`, `background`, `compaction`, `web-search`, `count_tokens`; for "
    "requests outside of conversations `messages`, `models`, `other_v1`, `local`, `unknown`.",
    "outcome": "`ok`, `failover`, `client_left`, `passed_on`, `refused`, `lost`.",
    "verdict": "What the relay made of the attempt: `answered`, `client_left`, `passed_on` (the "
    "client's own error), `lost`, or why another one followed, such as `overloaded`.",
    "code": "HTTP status for the client; `none`: none was sent.",
    "type": "`input` (without cache), `output`, `cache_read`, `cache_write_5m`, `cache_write_1h`.",
    "billing": "`tokens`: will be charged; `plan`: list price of what a plan covers; `free`; "
    "`unknown`.",
    "state": "One of the states named in the meaning; 1 for the present one, 0 for the others.",
    "window": "`5h`, `7d`, `7d_sonnet`, ...; `requests`, `tokens`, `input_tokens`, "
    "`output_tokens` per minute.",
    "group": "Group of models, such as `opus`.",
    "severity": "`warning` or `error`.",
    "signal": "`traces` or `metrics`.",
    "version": "Version of the relay.",
    "python": "Version of Python.",
}

# Chosen for answers of models: most begin within seconds and end within minutes.
LATENCY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)
DURATION_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
OWN_BUCKETS = (0.00005, 0.0001, 0.0002, 0.0003, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25)


class Metric(msgspec.Struct, frozen=True):
    """One metric.

    Args:
        name: in full, as a query spells it; of histograms without `_bucket`, `_sum`, `_count`.
        kind: a counter only grows, and begins at 0 when the manager is started.
        unit: base unit; empty: a plain number.
        help: one sentence.
        labels: in order; all are in LABELS.
        buckets: upper bounds, of histograms only.
    """

    name: str
    kind: Kind
    unit: Unit
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_SERVED = ("provider", "model")
_KEY = ("provider", "key")

# Counted from the records of exchanges that are over.
FROM_RECORDS = (
    Metric(
        "ccrelay_exchanges_total",
        "counter",
        "",
        "Exchanges that are over.",
        ("provider", "key", "model", "class", "outcome"),
    ),
    Metric("ccrelay_responses_total", "counter", "", "Exchanges by HTTP status.", ("code",)),
    Metric(
        "ccrelay_attempts_total",
        "counter",
        "",
        "Attempts at targets, the failed ones included.",
        ("provider", "verdict"),
    ),
    Metric(
        "ccrelay_exchange_duration_seconds",
        "histogram",
        "seconds",
        "From the request to the end of the answer.",
        _SERVED,
        DURATION_BUCKETS,
    ),
    Metric(
        "ccrelay_first_event_seconds",
        "histogram",
        "seconds",
        "From the request to the first event of a streamed answer.",
        _SERVED,
        LATENCY_BUCKETS,
    ),
    Metric(
        "ccrelay_queue_wait_seconds",
        "histogram",
        "seconds",
        "Time spent waiting for room, of exchanges that waited.",
        ("provider",),
        LATENCY_BUCKETS,
    ),
    Metric(
        "ccrelay_relay_own_seconds",
        "histogram",
        "seconds",
        "Time of the relay itself per exchange: neither side was waited for.",
        (),
        OWN_BUCKETS,
    ),
    Metric(
        "ccrelay_request_bytes_total",
        "counter",
        "bytes",
        "Size of request bodies, as they came.",
        ("provider",),
    ),
    Metric(
        "ccrelay_response_bytes_total",
        "counter",
        "bytes",
        "Size of answers, as they were sent to clients.",
        ("provider",),
    ),
    Metric(
        "ccrelay_tokens_total",
        "counter",
        "tokens",
        "Tokens as providers reported them. The types add up: none is part of another.",
        ("provider", "model", "type"),
    ),
    Metric(
        "ccrelay_thinking_tokens_total",
        "counter",
        "tokens",
        "Part of the output tokens that was thinking.",
        _SERVED,
    ),
    Metric(
        "ccrelay_cost_dollars_total",
        "counter",
        "dollars",
        "Cost at the known prices; what has no price is in `ccrelay_unpriced_exchanges_total`.",
        ("provider", "model", "billing"),
    ),
    Metric(
        "ccrelay_cost_uncached_dollars_total",
        "counter",
        "dollars",
        "What the same tokens had cost without prompt cache. Less the cost, it is what caches "
        "saved: no metric of its own, since it may shrink and a counter must not.",
        ("provider", "model", "billing"),
    ),
    Metric(
        "ccrelay_moves_total",
        "counter",
        "",
        "Conversations that left a warm cache, by the provider that they went to.",
        ("provider",),
    ),
    Metric(
        "ccrelay_moved_dollars_total",
        "counter",
        "dollars",
        "What those moves cost in cache.",
        ("provider",),
    ),
    Metric(
        "ccrelay_unpriced_exchanges_total",
        "counter",
        "",
        "Exchanges with usage whose price is not known; they are in no sum of money.",
        _SERVED,
    ),
)

# Read from the state when a scraper asks.
FROM_STATE = (
    Metric("ccrelay_build_info", "info", "", "What runs; always 1.", ("version", "python")),
    Metric(
        "ccrelay_start_time_seconds",
        "gauge",
        "seconds",
        "When the supervisor was started, since 1970.",
    ),
    Metric(
        "ccrelay_state",
        "gauge",
        "",
        "What the relay does with requests: `starting`, `serving`, `draining`.",
        ("state",),
    ),
    Metric(
        "ccrelay_answering",
        "gauge",
        "",
        "1 while for every model that is served a target can be used; else 0.",
    ),
    Metric(
        "ccrelay_workers",
        "gauge",
        "",
        "Worker processes: `starting`, `serving`, `draining`. Here the value is their number.",
        ("state",),
    ),
    Metric(
        "ccrelay_in_flight",
        "gauge",
        "",
        "Exchanges under way at a key, over all workers.",
        _KEY,
    ),
    Metric("ccrelay_exchanges_in_flight", "gauge", "", "Exchanges under way in all."),
    Metric("ccrelay_queued", "gauge", "", "Requests that wait for room."),
    Metric(
        "ccrelay_provider_enabled",
        "gauge",
        "",
        "1 while requests may go to the provider, overrides included; else 0.",
        ("provider",),
    ),
    Metric(
        "ccrelay_breaker_state",
        "gauge",
        "",
        "Circuit breaker of the endpoint: `closed`, `open`, `half_open`.",
        ("provider", "state"),
    ),
    Metric(
        "ccrelay_key_state",
        "gauge",
        "",
        "What a key does: `idle`, `in_use`, `cooldown`, `full`, `refused`, `disabled`.",
        ("provider", "key", "state"),
    ),
    Metric(
        "ccrelay_key_cooldown_seconds",
        "gauge",
        "seconds",
        "What is left of the cooldown of a key; 0: there is none.",
        _KEY,
    ),
    Metric(
        "ccrelay_key_group_cooldown_seconds",
        "gauge",
        "seconds",
        "What is left of the cooldown of a key for one group of models.",
        ("provider", "key", "group"),
    ),
    Metric(
        "ccrelay_key_room_ratio",
        "gauge",
        "ratio",
        "What is left of the tightest limit of a key, 0 to 1; absent: no limit is known.",
        _KEY,
    ),
    Metric(
        "ccrelay_window_utilization_ratio",
        "gauge",
        "ratio",
        "Used part of an allowance or a limit, 0 to 1; may be above 1.",
        ("provider", "key", "window"),
    ),
    Metric(
        "ccrelay_window_reset_time_seconds",
        "gauge",
        "seconds",
        "When an allowance starts again, since 1970; absent: it slides, or that is not known.",
        ("provider", "key", "window"),
    ),
    Metric(
        "ccrelay_window_full_time_seconds",
        "gauge",
        "seconds",
        "When an allowance is full if use goes on as now, since 1970; absent: it lasts.",
        ("provider", "key", "window"),
    ),
    Metric("ccrelay_notices", "gauge", "", "What needs a look.", ("severity",)),
    Metric("ccrelay_config_revision", "gauge", "", "Number of the configuration in force."),
    Metric(
        "ccrelay_config_reload_failed",
        "gauge",
        "",
        "1 while the last reload changed nothing because the file has mistakes; else 0.",
    ),
    Metric(
        "ccrelay_manager_restarts_total",
        "counter",
        "",
        "Restarts of a manager that died or hung, since the relay was started or upgraded.",
    ),
    Metric(
        "ccrelay_ledger_up",
        "gauge",
        "",
        "1 while records are written, or the ledger is off; 0 while they cannot be.",
    ),
    Metric("ccrelay_ledger_size_bytes", "gauge", "bytes", "Size of the ledger's file."),
    Metric(
        "ccrelay_ledger_written_total",
        "counter",
        "",
        "Exchanges written to the ledger since the manager was started.",
    ),
    Metric("ccrelay_ledger_pending", "gauge", "", "Exchanges that wait to be written."),
    Metric(
        "ccrelay_records_dropped_total",
        "counter",
        "",
        "Exchanges lost to ledger and metrics because buffers were full.",
    ),
    Metric(
        "ccrelay_telemetry_exported_total",
        "counter",
        "",
        "Spans and metric exports that the OpenTelemetry collector took; absent without one.",
        ("signal",),
    ),
    Metric(
        "ccrelay_telemetry_dropped_total",
        "counter",
        "",
        "Spans and metric exports that it did not take, or that no queue had room for.",
        ("signal",),
    ),
)

CATALOGUE = {metric.name: metric for metric in (*FROM_RECORDS, *FROM_STATE)}
