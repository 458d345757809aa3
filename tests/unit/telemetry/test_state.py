"""Gauges from a real Status of the schema."""

from typing import Any

import pytest

from ccrelay.metrics import CATALOGUE, FROM_STATE
from ccrelay.telemetry import state
from ccrelay.telemetry.state import Drops, families
from ccrelay.v1 import providers_pb2, relay_pb2

NOW_MS = 1_800_000_000_000


def status() -> Any:
    key = providers_pb2.Key(
        name="team-a",
        fingerprint="hmac:1",
        state=providers_pb2.Key.STATE_COOLDOWN,
        in_flight=3,
        room=0.25,
        cooldown_until_ms=NOW_MS + 47_000,
        group_cooldowns=[providers_pb2.GroupCooldown(group="opus", until_ms=NOW_MS - 5)],
        windows=[
            providers_pb2.Window(
                name="7d", utilization=0.71, resets_at_ms=NOW_MS + 9000, full_at_ms=NOW_MS + 4000
            ),
            providers_pb2.Window(name="requests", utilization=0.1),
        ],
    )
    provider = providers_pb2.Provider(
        name="anthropic",
        enabled=True,
        breaker=providers_pb2.Breaker(state=providers_pb2.Breaker.STATE_OPEN),
        keys=[key, providers_pb2.Key(fingerprint="hmac:2", state=providers_pb2.Key.STATE_IDLE)],
    )
    return relay_pb2.Status(
        version="0.3.0",
        started_at_ms=NOW_MS - 60_000,
        state=relay_pb2.Status.STATE_SERVING,
        revision=14,
        workers=[relay_pb2.Worker(state="serving"), relay_pb2.Worker(state="draining")],
        in_flight=3,
        queued=2,
        providers=[provider],
        notices=[relay_pb2.Notice(severity=relay_pb2.Notice.SEVERITY_ERROR)],
        management=relay_pb2.Management(
            restarts=1,
            ledger=relay_pb2.Ledger(
                state=relay_pb2.Ledger.STATE_FAILING, bytes=4096, written=7, dropped=2, pending=5
            ),
        ),
        answering=True,
        at_ms=NOW_MS,
    )


def samples(source: Any, drops: Drops | None = None) -> dict[tuple[Any, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families(source, drops)
        for sample in family.samples
    }


KEY = (("key", "team-a"), ("provider", "anthropic"))


@pytest.mark.parametrize(
    ("series", "value"),
    [
        (("ccrelay_start_time_seconds",), NOW_MS / 1000 - 60),
        (("ccrelay_state", ("state", "serving")), 1),
        (("ccrelay_state", ("state", "draining")), 0),
        (("ccrelay_answering",), 1),
        (("ccrelay_workers", ("state", "serving")), 1),
        (("ccrelay_workers", ("state", "starting")), 0),
        (("ccrelay_in_flight", *KEY), 3),
        (("ccrelay_exchanges_in_flight",), 3),
        (("ccrelay_queued",), 2),
        (("ccrelay_provider_enabled", ("provider", "anthropic")), 1),
        (("ccrelay_breaker_state", ("provider", "anthropic"), ("state", "open")), 1),
        (("ccrelay_breaker_state", ("provider", "anthropic"), ("state", "closed")), 0),
        (("ccrelay_key_state", *KEY, ("state", "cooldown")), 1),
        (("ccrelay_key_cooldown_seconds", *KEY), 47),
        (("ccrelay_key_cooldown_seconds", ("key", "hmac:2"), ("provider", "anthropic")), 0),
        (("ccrelay_key_group_cooldown_seconds", ("group", "opus"), *KEY), 0),
        (("ccrelay_key_room_ratio", *KEY), 0.25),
        (("ccrelay_window_utilization_ratio", *KEY, ("window", "7d")), 0.71),
        (("ccrelay_window_reset_time_seconds", *KEY, ("window", "7d")), NOW_MS / 1000 + 9),
        (("ccrelay_window_full_time_seconds", *KEY, ("window", "7d")), NOW_MS / 1000 + 4),
        (("ccrelay_notices", ("severity", "error")), 1),
        (("ccrelay_notices", ("severity", "warning")), 0),
        (("ccrelay_config_revision",), 14),
        (("ccrelay_config_reload_failed",), 0),
        (("ccrelay_manager_restarts_total",), 1),
        (("ccrelay_ledger_up",), 0),
        (("ccrelay_ledger_size_bytes",), 4096),
        (("ccrelay_ledger_written_total",), 7),
        (("ccrelay_ledger_pending",), 5),
        (("ccrelay_records_dropped_total",), 2),
    ],
)
def test_a_member_becomes_its_metric(series: tuple[Any, ...], value: float) -> None:
    assert samples(status())[series] == value


def test_what_is_not_known_is_absent() -> None:
    found = samples(status())
    other = (("key", "hmac:2"), ("provider", "anthropic"))
    assert ("ccrelay_key_room_ratio", *other) not in found
    assert ("ccrelay_window_reset_time_seconds", *KEY, ("window", "requests")) not in found
    assert list(families(None, None)) == []


def test_every_metric_of_the_state_is_given_and_no_other() -> None:
    drops = Drops({"traces": 5}, {"traces": 1})
    given = {name for name, *_ in samples(status(), drops)}
    assert given == {metric.name for metric in FROM_STATE}


def test_labels_are_those_of_the_catalogue() -> None:
    for name, *labels in samples(status(), Drops({"traces": 5}, {"metrics": 1})):
        assert {label for label, _ in labels} == set(CATALOGUE[name].labels), name


def test_an_empty_state_is_no_error() -> None:
    found = samples(relay_pb2.Status())
    assert found["ccrelay_answering",] == 0
    assert found["ccrelay_ledger_up",] == 1


def test_two_keys_of_one_name_are_two_series() -> None:
    source = status()
    source.providers[0].keys[1].name = "team-a"
    found = samples(source)
    assert ("ccrelay_in_flight", ("key", "hmac:2"), ("provider", "anthropic")) in found
    source.providers[0].keys.add(name="team-a", fingerprint="hmac:2")
    names = [name for name, *_ in samples(source)]
    assert names.count("ccrelay_in_flight") == 2


def test_windows_of_a_key_are_bounded_and_a_repeated_one_is_one_series() -> None:
    source = status()
    key = source.providers[0].keys[0]
    del key.windows[:]
    for number in range(100):
        key.windows.add(name=f"w{number % 40}", utilization=0.5)
    found = [s for f in families(source, None) for s in f.samples]
    series = [s for s in found if s.name == "ccrelay_window_utilization_ratio"]
    assert len(series) == state.WINDOWS_MAX


@pytest.mark.parametrize(
    ("names", "enum", "prefix"),
    [
        (state.STATES, relay_pb2.Status.State, "STATE_"),
        (state.BREAKER_STATES, providers_pb2.Breaker.State, "STATE_"),
        (state.KEY_STATES, providers_pb2.Key.State, "STATE_"),
        (state.SEVERITIES, relay_pb2.Notice.Severity, "SEVERITY_"),
    ],
)
def test_numbers_are_those_of_the_schema(names: dict[int, str], enum: Any, prefix: str) -> None:
    schema = {number: name.removeprefix(prefix).lower() for name, number in enum.items() if number}
    assert names == schema
    assert relay_pb2.Ledger.STATE_FAILING == state.LEDGER_FAILING
