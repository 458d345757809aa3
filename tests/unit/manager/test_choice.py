"""Why a target was taken, in one sentence, with attempts and passed targets."""

from typing import Any

import pytest

from ccrelay.ledger.record import Result, Why
from ccrelay.manager.choice import attempts_of, choice_of, sentence_of
from tests.unit.store.making import attempt, record

FAILOVER: dict[str, Any] = {
    "why": int(Why.FAILOVER),
    "result": int(Result.FAILOVER),
    "attempts": 2,
    "provider": "zai",
    "key": "hmac:2",
    "key_name": "plan",
    "tries": [attempt()],
    "candidates": "anthropic/team-a anthropic/team-b zai/plan other/k",
    "passed": "anthropic/team-b=cooldown",
}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"why": Why.ONLY}, "anthropic/team-a is the only target for claude-opus-5-5."),
        ({}, "The conversation stays at anthropic/team-a, which holds its prompt cache."),
        (
            {"why": Why.STRATEGY},
            "Strategy simple-shuffle took anthropic/team-a among 2 targets.",
        ),
        (
            {"why": Why.QUEUE, "queued_us": 3_200_000},
            "It waited 3.2 s in the queue until anthropic/team-a had room.",
        ),
        (FAILOVER, "anthropic/team-a failed (status 529), so zai/plan was asked."),
        (
            {"why": Why.PANIC, "rule": "big"},
            "Rule 'big' matched, and all circuit breakers were open, so anthropic/team-a was asked "
            "all the same.",
        ),
        ({"why": 0}, "anthropic/team-a was asked; why was not recorded."),
        ({"why": 77}, "anthropic/team-a was asked; why was not recorded."),
        (
            {"provider": "", "result": Result.REFUSED},
            "The relay refused the request, and no target was asked.",
        ),
        ({"provider": "", "result": Result.LOST}, "No target could be asked."),
        (
            {"provider": "", "result": Result.CLIENT_LEFT},
            "The client left before a target was asked.",
        ),
    ],
)
def test_the_sentence(members: dict[str, Any], expected: str) -> None:
    made = record(
        **{name: int(v) if name in ("why", "result") else v for name, v in members.items()}
    )
    assert sentence_of(made) == expected


def test_every_reason_has_a_sentence() -> None:
    told = {sentence_of(record(why=int(why), tries=[attempt()])) for why in Why}
    assert len(told) == len(Why)


def test_the_targets_that_were_not_taken() -> None:
    choice = choice_of(record(**FAILOVER))
    assert [(one.target, one.why) for one in choice.passed] == [
        ("anthropic/team-a", "tried"),
        ("anthropic/team-b", "cooldown"),
        ("other/k", "available"),
    ]
    assert (choice.reason, choice.strategy) == ("failover", "simple-shuffle")


def test_a_target_that_is_no_candidate_any_more_is_shown_with_its_reason() -> None:
    choice = choice_of(record(candidates="", passed="a/b=limit garbage =x"))
    assert [(one.target, one.why) for one in choice.passed] == [("a/b", "limit")]


def test_another_key_of_a_provider_that_failed_was_not_tried() -> None:
    choice = choice_of(
        record(**FAILOVER | {"passed": "anthropic/team-a=tried anthropic/team-b=tried"})
    )
    assert [(one.target, one.why) for one in choice.passed][:2] == [
        ("anthropic/team-a", "tried"),
        ("anthropic/team-b", "provider_failed"),
    ]


def test_an_exchange_that_was_answered_at_once_has_one_attempt() -> None:
    (one,) = attempts_of(record(queued_us=500_000))
    assert (one.provider, one.key, one.verdict, one.status) == (
        "anthropic",
        "team-a",
        "answered",
        200,
    )
    assert (one.started_ms, one.duration_ms) == (500, 2000)


@pytest.mark.parametrize("has_last", [False, True])
def test_the_last_attempt_is_there_once(has_last: bool) -> None:
    last = attempt(
        provider="zai", key_name="plan", started_us=400_200, ended_us=2_500_000, status=200
    )
    made = record(**{**FAILOVER, "tries": [attempt(), *([last] if has_last else [])]})
    found = attempts_of(made)
    assert [(one.provider, one.status) for one in found] == [("anthropic", 529), ("zai", 200)]
    assert found[1].started_ms == pytest.approx(400.1, abs=0.2)
    assert found[1].duration_ms == pytest.approx(2099.9, abs=0.2)
    assert sentence_of(made).startswith("anthropic/team-a failed (status 529)")


def test_the_error_of_an_attempt_ends_no_sentence_inside_another() -> None:
    made = record(**{**FAILOVER, "tries": [attempt(status=0, error="Cannot reach it.")]})
    assert " failed (Cannot reach it), so " in sentence_of(made)


def test_a_request_without_target_has_no_attempt() -> None:
    assert attempts_of(record(provider="", attempts=0, result=int(Result.REFUSED))) == []


def test_times_that_contradict_each_other_make_no_negative_ones() -> None:
    found = attempts_of(
        record(attempts=2, tries=[attempt(started_us=9, ended_us=3)], duration_us=1)
    )
    assert all(one.duration_ms >= 0 for one in found)
    assert attempts_of(record(queued_us=9_000_000))[0].duration_ms == 0
