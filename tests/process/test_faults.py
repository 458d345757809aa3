"""Every kind of fault, streamed and whole, with one provider and with three.

`CCRELAY_RENDER=1` writes the measured table into tests/faults/README.md; without it the page is
compared.
"""

import gc
import os
from collections.abc import Iterator

import pytest

from tests.faults.kinds import CASES, KINDS, Form, Handling, Kind
from tests.faults.measure import measure
from tests.faults.table import page_table, render, table


@pytest.fixture(scope="module", autouse=True)
def _known_objects() -> Iterator[None]:
    """Keep the collector from walking existing objects after every case."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def named(case: tuple[Kind, Form]) -> str:
    return f"{case[0].name}-{case[1].value}"


def cases(handling: Handling) -> pytest.MarkDecorator:
    outcome = [case for case in CASES if case[0].handling is handling]
    return pytest.mark.parametrize(("kind", "form"), outcome, ids=[named(case) for case in outcome])


@cases(Handling.RETRIED)
def test_a_retryable_fault_is_hidden_by_the_next_of_three_providers(kind: Kind, form: Form) -> None:
    outcome = measure(kind, form, 3)
    assert (outcome.status, outcome.client) == (200, "the second's answer")
    assert outcome.requests == (1 if kind.fault else 0, 1, 0)


@cases(Handling.FORWARDED)
def test_a_request_error_is_forwarded_and_not_retried(kind: Kind, form: Form) -> None:
    outcome = measure(kind, form, 3)
    assert outcome.client == f"{kind.fault} as sent"
    assert outcome.requests == (1, 0, 0)


@cases(Handling.AFTER_CONTENT)
def test_a_fault_after_content_is_not_retried_and_gets_no_synthetic_ending(
    kind: Kind, form: Form
) -> None:
    outcome = measure(kind, form, 3)
    assert outcome.requests == (1, 0, 0)
    assert outcome.client in (
        "the stream as sent",
        "the part that came, then the cut",
        "the part that came, then `timeout_error`, the relay's own",
    )


@pytest.mark.parametrize(("kind", "form"), CASES, ids=[named(case) for case in CASES])
def test_a_single_provider_is_asked_once_and_its_error_is_forwarded(kind: Kind, form: Form) -> None:
    outcome = measure(kind, form, 1)
    assert outcome.requests == (1 if kind.fault else 0,)
    if outcome.key == "disabled" or "Authentication is" in kind.fault:
        assert outcome.client == "502, the relay's own"  # the client's own key is not meant
    elif kind.fault[:3].isdigit() and kind.fault[0] != "3":  # a redirect reaches no client
        unpacked = ", unpacked" * ("packed" in kind.fault)
        assert outcome.client == f"{kind.fault[:3]} as sent{unpacked}"
    elif kind.fault.startswith("error_"):
        assert outcome.client == "the stream as sent"
    elif kind.handling is Handling.RETRIED:
        is_late = kind.fault.startswith("stall")
        assert outcome.client == f"{504 if is_late else 502}, the relay's own"
    else:
        parts = ("the part that came, then ", "the stream as sent")
        assert outcome.client.startswith(parts)


@pytest.mark.parametrize(("kind", "form"), CASES, ids=[named(case) for case in CASES])
def test_the_verdict_on_a_fault_does_not_depend_on_other_providers(kind: Kind, form: Form) -> None:
    alone, one_of_three = measure(kind, form, 1), measure(kind, form, 3)
    assert (alone.key, alone.breaker) == (one_of_three.key, one_of_three.breaker)


def test_at_least_sixteen_kinds_and_no_two_are_equal() -> None:
    assert len(KINDS) >= 16
    assert len({kind.name for kind in KINDS}) == len({kind.options for kind in KINDS}) == len(KINDS)


def test_the_page_shows_the_measured_table() -> None:
    if os.environ.get("CCRELAY_RENDER") == "1":
        render()
    assert page_table() == table()
