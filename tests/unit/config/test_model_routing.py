from typing import get_args

import msgspec
import pytest

from ccrelay.config.model_routing import RequestKind, Routing, Rule, StrategyName, Use, When
from ccrelay.types import TrafficClass


def test_an_empty_rule_asks_nothing_and_changes_nothing():
    assert Rule() == Rule(when=When(), use=Use())
    assert not any(getattr(When(), name) for name in When.__struct_fields__)
    assert not any(getattr(Use(), name) for name in Use.__struct_fields__)


def test_a_condition_that_is_false_is_not_one_that_is_absent():
    assert When(images=False) != When()
    assert msgspec.json.decode(msgspec.json.encode(When(images=False)), type=When).images is False


def test_every_class_of_traffic_can_be_asked_for():
    names = {kind.replace("-", "_").upper() for kind in get_args(RequestKind)}
    assert names == set(TrafficClass.__members__)


@pytest.mark.parametrize("strategy", get_args(StrategyName))
def test_every_strategy_may_be_configured_and_used_by_a_rule(strategy):
    routing = msgspec.convert(
        {"strategy": strategy, "rules": [{"use": {"strategy": strategy}}]}, Routing
    )
    assert routing.strategy == routing.rules[0].use.strategy == strategy


@pytest.mark.parametrize(
    "members",
    [
        {"attempts_max": 0},
        {"explore": 1.5},
        {"queue_timeout_s": -1},
        {"models": {"m": "p"}},
        {"retry_budget": {"ratio": -0.1}},
        {"rules": [{"when": {"tokens_under": 0}}]},
    ],
)
def test_routing_that_makes_no_sense_is_refused(members):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(members, Routing)


def test_waiting_and_retries_may_be_switched_off():
    members = {"queue_timeout_s": 0, "attempts_max": 1, "queue_max": 0, "affinity": {"wait_s": 0}}
    routing = msgspec.convert(members, Routing)
    assert (routing.queue_timeout_s, routing.attempts_max, routing.affinity.wait_s) == (0, 1, 0)
