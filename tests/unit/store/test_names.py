"""Words for numbers, the same as elsewhere."""

from ccrelay.ledger.record import Result
from ccrelay.routing.rules import CLASSES as RULES
from ccrelay.store import names
from ccrelay.types import RequestClass, TrafficClass
from ccrelay.v1 import exchanges_pb2


def test_classes_are_spelt_as_in_rules() -> None:
    assert {int(traffic): name for name, traffic in RULES.items()} == names.CLASSES
    assert set(names.CLASSES) == set(TrafficClass)


def test_outcomes_are_those_of_the_schema() -> None:
    for number, name in names.OUTCOMES.items():
        assert exchanges_pb2.Outcome.Name(number) == f"OUTCOME_{name.upper()}"
    assert set(names.OUTCOMES) == set(Result)


def test_what_is_not_known_is_empty() -> None:
    assert names.class_name(-1) == names.class_name(99) == ""
    assert names.kind_name(RequestClass.OTHER_V1) == "other_v1"
    assert names.outcome_name(0) == names.reason_name(0) == names.billing_name(0) == ""
    assert (names.reason_name(5), names.billing_name(2)) == ("failover", "plan")
