"""Values of labels stay few and short, whatever comes."""

import pytest

from ccrelay.ledger.record import Result
from ccrelay.metrics import LABEL_LENGTH_MAX, LABEL_VALUES_MAX, NONE, OTHER
from ccrelay.telemetry import labels
from ccrelay.telemetry.labels import LabelValues, RecordLabels
from ccrelay.types import RequestClass, TrafficClass
from tests.unit.telemetry.records import attempt, record


def test_values_beyond_the_limit_are_other_and_earlier_ones_stay() -> None:
    values = LabelValues()
    first = [values.admit(f"model-{n}") for n in range(LABEL_VALUES_MAX)]
    assert OTHER not in first
    assert values.admit("one-more") == OTHER
    assert values.admit("model-0") == "model-0"


@pytest.mark.parametrize("value", ["x" * (LABEL_LENGTH_MAX + 1), "a\nb", "\u202e", "\x1b[31m"])
def test_what_is_long_or_not_printable_is_other(value: str) -> None:
    values = LabelValues()
    assert values.admit(value) == OTHER
    assert values.known(value) == OTHER


def test_nothing_has_a_name() -> None:
    assert LabelValues().admit("") == NONE
    assert LabelValues().known("") == NONE
    assert labels.code(0) == NONE
    assert labels.code(529) == "529"
    assert labels.code(-3) == OTHER


def test_a_model_becomes_a_value_once_it_was_served() -> None:
    named = RecordLabels()
    made_up = record(sent="made-up", status=404, result=Result.PASSED_ON)
    assert named.model(made_up) == OTHER
    assert named.model(record(sent="opus")) == "opus"
    assert named.model(record(sent="opus", status=529, result=Result.LOST)) == "opus"
    assert named.model(record(sent="x", status=0, result=Result.CLIENT_LEFT)) == OTHER
    assert named.model(record(sent="y", result=Result.CLIENT_LEFT)) == "y"
    assert named.model(record(sent="", provider="", result=Result.REFUSED)) == NONE


def test_the_model_asked_for_is_no_label() -> None:
    assert RecordLabels().model(record(model="asked", sent="served")) == "served"


def test_a_key_goes_by_its_name_else_by_its_fingerprint() -> None:
    named = RecordLabels()
    assert named.key(record()) == "team-a"
    assert named.key(record(key_name="")) == "hmac:04f4a1b2"
    assert named.key(record(key_name="", key="")) == NONE


@pytest.mark.parametrize("traffic", TrafficClass)
def test_every_class_has_its_word(traffic: TrafficClass) -> None:
    word = RecordLabels().traffic(record(traffic=traffic))
    assert word.replace("-", "_") == traffic.name.lower()


@pytest.mark.parametrize("kind", RequestClass)
def test_without_a_class_the_kind_is_told(kind: RequestClass) -> None:
    assert RecordLabels().traffic(record(traffic=-1, kind=kind)) == kind.name.lower()


def test_numbers_of_a_newer_worker_are_other() -> None:
    assert RecordLabels().traffic(record(traffic=99, kind=99)) == OTHER
    assert labels.outcome(record(result=77)) == OTHER
    assert labels.billing(record(billing=77)) == "unknown"


def test_every_attempt_is_told() -> None:
    tries = [attempt(), attempt(provider="zai", status=200, verdict="answered", error="")]
    found = RecordLabels().attempts(record(attempts=2, tries=tries))
    assert found == [("anthropic", "overloaded"), ("zai", "answered")]


@pytest.mark.parametrize(
    ("members", "verdict"),
    [
        ({}, "answered"),
        ({"result": 0}, "answered"),
        ({"result": 99, "status": 500}, "lost"),
        ({"result": Result.PASSED_ON, "status": 400}, "passed_on"),
        ({"result": Result.PASSED_ON, "status": 400, "error": "bad_request"}, "passed_on"),
        ({"result": Result.LOST, "status": 529, "error": "overloaded"}, "overloaded"),
        ({"result": Result.LOST, "error": "a sentence, not a word"}, "lost"),
        ({"result": Result.CLIENT_LEFT}, "client_left"),
    ],
)
def test_the_only_attempt_is_told_by_the_record(members: dict[str, object], verdict: str) -> None:
    assert RecordLabels().attempts(record(**members)) == [("anthropic", verdict)]


def test_no_attempt_is_none() -> None:
    assert RecordLabels().attempts(record(attempts=0, result=Result.REFUSED)) == []
