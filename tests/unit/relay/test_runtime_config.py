"""What follows from a configuration, and what survives a reload."""

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
from tests.unit.relay.fakes import FakeReactor, keys, provider


@pytest.fixture
def builder() -> RuntimeConfigBuilder:
    parts: Any = SimpleNamespace()
    memory = SharedMemory.private(targets=8, endpoints=4, bindings=8)
    return RuntimeConfigBuilder(parts, FakeReactor(), memory, parts, lambda *_: None)


def make(
    builder: RuntimeConfigBuilder,
    *providers: Provider,
    old: RuntimeConfig | None = None,
    **routing: Any,
) -> RuntimeConfig:
    config = Config(providers=list(providers), routing=Routing(**routing))
    models_api: Any = lambda made: ("models of", made)  # noqa: E731
    return builder.make(config, Layout.of(config), old, models_api)


def test_every_enabled_provider_has_a_state_and_a_pool(
    builder: RuntimeConfigBuilder,
) -> None:
    made = make(builder, provider("one"), provider("off", enabled=False), provider("two"))
    assert [state.name for state in made.providers] == ["one", "two"]
    assert made.pools.keys() == {"one", "two"}
    assert made.pools["one"] is not made.pools["two"]
    assert made.models_api == ("models of", made)


def test_slots_follow_the_layout_also_with_disabled_providers(
    builder: RuntimeConfigBuilder,
) -> None:
    off = provider("off", enabled=False, keys=keys("x", "y"))
    made = make(builder, off, provider("two", keys=keys("a", "b")))
    assert [target.slot for target in made.providers[0].targets] == [2, 3]
    assert made.by_slot == {target.slot: target for target in made.providers[0].targets}


def test_pools_survive_a_reload_where_they_still_fit(
    builder: RuntimeConfigBuilder,
) -> None:
    old = make(builder, provider("same"), provider("moves"), provider("slower"))
    new = make(
        builder,
        provider("same", weight=5, keys=keys("other")),
        provider("moves", base_url="http://127.0.0.1:2"),
        provider("slower", timeouts=UpstreamTimeouts(idle_s=5.0)),
        old=old,
    )
    kept = {name for name in new.pools if new.pools[name] is old.pools[name]}
    assert kept == {"same"}


def test_usage_of_keys_survives_a_reload(builder: RuntimeConfigBuilder) -> None:
    old = make(builder, provider("one"))
    held = old.providers[0].targets[0].limits.reserve(1000.0, 1, 1)
    new = make(builder, provider("one"), old=old)
    assert held is not None
    assert new.providers[0].targets[0].limits.in_flight == 1


def test_a_configuration_that_cannot_be_served_changes_nothing(
    builder: RuntimeConfigBuilder,
) -> None:
    old = make(builder, provider("one"))
    before = dict(old.pool_keys)
    with pytest.raises(ValueError, match="defaults are not filled in"):
        make(builder, provider("one"), provider("two", base_url=None), old=old)
    assert old.pool_keys == before


def test_without_rules_none_are_matched(builder: RuntimeConfigBuilder) -> None:
    assert make(builder, provider("one")).rules is None
    assert make(builder, provider("one"), rules=[Rule(use=Use(model="m"))]).rules is not None


def test_rules_use_their_own_strategy_or_the_configured_one(
    builder: RuntimeConfigBuilder,
) -> None:
    rules = [
        Rule(use=Use(strategy="least-busy")),
        Rule(use=Use(model="m")),
        Rule(use=Use(strategy="least-busy")),
    ]
    made = make(builder, provider("one"), rules=rules)
    assert made.rules is not None
    routes = [made.routes.under(rule, "m") for rule in made.rules.rules]
    names = [route.strategy.name for route in routes]
    assert names == ["least-busy", "simple-shuffle", "least-busy"]
    assert routes[0].strategy is routes[2].strategy
    assert routes[1].strategy is made.strategy


def test_affinity_and_debug_are_as_configured(builder: RuntimeConfigBuilder) -> None:
    made = make(builder, provider("one"), affinity=Affinity(enabled=False), debug=True)
    assert (made.affinity, made.debug) == (False, True)


def test_wait_s_is_the_shorter_of_ping_s_and_early_head_s() -> None:
    config = Config(routing=Routing(ping_s=12.0, early_head_s=5.0))
    assert downstream_limits(config).wait_s == 5.0
