from typing import get_args

import msgspec
import pytest

from ccrelay.config.model_routing import RequestKind, Routing, Rule, StrategyName, Use, When
from ccrelay.types import TrafficClass


def test_an_empty_rule_has_no_conditions_and_no_effect():
    assert Rule() == Rule(when=When(), use=Use())
    assert not any(getattr(When(), name) for name in When.__struct_fields__)
    assert not any(getattr(Use(), name) for name in Use.__struct_fields__)


def test_a_false_condition_differs_from_an_absent_one():
    assert When(images=False) != When()
    assert msgspec.json.decode(msgspec.json.encode(When(images=False)), type=When).images is False


def test_every_traffic_class_is_a_request_class():
    names = {kind.replace("-", "_").upper() for kind in get_args(RequestKind)}
    assert names == set(TrafficClass.__members__)


@pytest.mark.parametrize("strategy", get_args(StrategyName))
def test_every_strategy_is_valid_in_routing_and_rules(strategy):
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
def test_invalid_routing_settings_are_rejected(members):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(members, Routing)


def test_queueing_and_retries_can_be_disabled():
    members = {"queue_timeout_s": 0, "attempts_max": 1, "queue_max": 0, "affinity": {"wait_s": 0}}
    routing = msgspec.convert(members, Routing)
    assert (routing.queue_timeout_s, routing.attempts_max, routing.affinity.wait_s) == (0, 1, 0)
