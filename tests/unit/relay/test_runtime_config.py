"""What follows from a configuration, and what goes over from one to the next."""

from types import SimpleNamespace
from typing import Any

import pytest

from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import (
    Affinity,
    Config,
    Provider,
    Routing,
    Rule,
    UpstreamTimeouts,
    Use,
)
from ccrelay.fleet.layout import Layout
from ccrelay.relay.runtime_config import RuntimeConfig, RuntimeConfigBuilder, downstream_limits
from tests.unit.relay.fakes import keys, provider


@pytest.fixture
def maker() -> RuntimeConfigBuilder:
    parts: Any = SimpleNamespace()
    board = SharedMemory.private(targets=8, endpoints=4, bindings=8)
    return RuntimeConfigBuilder(parts, parts, board, parts, lambda *_: None)


def make(
    maker: RuntimeConfigBuilder,
    *providers: Provider,
    old: RuntimeConfig | None = None,
    **routing: Any,
) -> RuntimeConfig:
    config = Config(providers=list(providers), routing=Routing(**routing))
    listings: Any = lambda snap: ("listings of", snap)  # noqa: E731
    return maker.make(config, Layout.of(config), old, listings)


def test_every_enabled_provider_is_a_service_with_connections_of_its_own(
    maker: RuntimeConfigBuilder,
) -> None:
    snap = make(maker, provider("one"), provider("off", enabled=False), provider("two"))
    assert [service.name for service in snap.providers] == ["one", "two"]
    assert snap.pools.keys() == {"one", "two"}
    assert snap.pools["one"] is not snap.pools["two"]
    assert snap.listings == ("listings of", snap)


def test_slots_are_those_of_the_layout_whoever_is_disabled(maker: RuntimeConfigBuilder) -> None:
    off = provider("off", enabled=False, keys=keys("x", "y"))
    snap = make(maker, off, provider("two", keys=keys("a", "b")))
    assert [target.slot for target in snap.providers[0].targets] == [2, 3]
    assert snap.by_slot == {target.slot: target for target in snap.providers[0].targets}


def test_connections_go_over_to_the_next_configuration_where_they_still_fit(
    maker: RuntimeConfigBuilder,
) -> None:
    old = make(maker, provider("same"), provider("moves"), provider("slower"))
    new = make(
        maker,
        provider("same", weight=5, keys=keys("other")),
        provider("moves", base_url="http://127.0.0.1:2"),
        provider("slower", timeouts=UpstreamTimeouts(idle_s=5.0)),
        old=old,
    )
    kept = {name for name in new.pools if new.pools[name] is old.pools[name]}
    assert kept == {"same"}


def test_what_the_keys_have_counted_goes_over(maker: RuntimeConfigBuilder) -> None:
    old = make(maker, provider("one"))
    held = old.providers[0].targets[0].limits.reserve(1000.0, 1, 1)
    new = make(maker, provider("one"), old=old)
    assert held is not None
    assert new.providers[0].targets[0].limits.in_flight == 1


def test_a_configuration_that_cannot_be_served_changes_nothing(maker: RuntimeConfigBuilder) -> None:
    old = make(maker, provider("one"))
    before = dict(old.pool_keys)
    with pytest.raises(ValueError, match="defaults are not filled in"):
        make(maker, provider("one"), provider("two", base_url=None), old=old)
    assert old.pool_keys == before


def test_without_rules_nothing_is_asked_of_a_request(maker: RuntimeConfigBuilder) -> None:
    assert make(maker, provider("one")).rules is None
    assert make(maker, provider("one"), rules=[Rule(use=Use(model="m"))]).rules is not None


def test_a_rule_with_a_strategy_has_its_own_and_others_the_configured_one(
    maker: RuntimeConfigBuilder,
) -> None:
    rules = [
        Rule(use=Use(strategy="least-busy")),
        Rule(use=Use(model="m")),
        Rule(use=Use(strategy="least-busy")),
    ]
    snap = make(maker, provider("one"), rules=rules)
    assert snap.rules is not None
    slates = [snap.candidates.under(rule, "m") for rule in snap.rules.rules]
    names = [slate.strategy.name for slate in slates]
    assert names == ["least-busy", "simple-shuffle", "least-busy"]
    assert slates[0].strategy is slates[2].strategy
    assert slates[1].strategy is snap.strategy


def test_affinity_and_debugging_are_as_configured(maker: RuntimeConfigBuilder) -> None:
    snap = make(maker, provider("one"), affinity=Affinity(enabled=False), debug=True)
    assert (snap.affinity, snap.debug) == (False, True)


def test_a_waiting_client_is_looked_at_as_often_as_the_shortest_of_its_times() -> None:
    config = Config(routing=Routing(ping_s=12.0, early_head_s=5.0))
    assert downstream_limits(config).wait_s == 5.0
