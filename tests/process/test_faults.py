"""Every kind of fault, streamed and whole, before one provider and before three.

`CCRELAY_RENDER=1` writes what was measured into docs/faults.md; without it the page has to say the
same already.
"""

import gc
import os
from collections.abc import Iterator

import pytest

from tests.faults.kinds import CASES, KINDS, Fate, Form, Kind
from tests.faults.measure import measure
from tests.faults.table import render, shown, table


@pytest.fixture(scope="module", autouse=True)
def _known_objects() -> Iterator[None]:
    """What exists before is not looked through after every case."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def named(case: tuple[Kind, Form]) -> str:
    return f"{case[0].name}-{case[1].value}"


def cases(fate: Fate) -> pytest.MarkDecorator:
    found = [case for case in CASES if case[0].fate is fate]
    return pytest.mark.parametrize(("kind", "form"), found, ids=[named(case) for case in found])


@cases(Fate.ELSEWHERE)
def test_the_client_of_three_providers_does_not_see_a_fault_that_another_can_mend(
    kind: Kind, form: Form
) -> None:
    outcome = measure(kind, form, 3)
    assert (outcome.status, outcome.client) == (200, "the second's answer")
    assert outcome.asked == (1 if kind.fault else 0, 1, 0)


@cases(Fate.TOLD)
def test_a_fault_of_the_request_is_told_as_it_came_and_nobody_else_is_asked(
    kind: Kind, form: Form
) -> None:
    outcome = measure(kind, form, 3)
    assert outcome.client == f"{kind.fault} as sent"
    assert outcome.asked == (1, 0, 0)


@cases(Fate.PASSED_ON)
def test_behind_content_nothing_is_run_again_and_no_ending_is_made_up(
    kind: Kind, form: Form
) -> None:
    outcome = measure(kind, form, 3)
    assert outcome.asked == (1, 0, 0)
    assert outcome.client in (
        "the stream as sent",
        "the part that came, then the cut",
        "the part that came, then `timeout_error`, the relay's own",
    )


@pytest.mark.parametrize(("kind", "form"), CASES, ids=[named(case) for case in CASES])
def test_a_provider_without_another_is_asked_once_and_what_it_said_is_passed_on(
    kind: Kind, form: Form
) -> None:
    outcome = measure(kind, form, 1)
    assert outcome.asked == (1 if kind.fault else 0,)
    if kind.fault[:3].isdigit():
        assert outcome.client == f"{kind.fault[:3]} as sent"
    elif kind.fault.startswith("error_"):
        assert outcome.client == "the stream as sent"
    elif kind.fate is Fate.ELSEWHERE:
        is_late = kind.fault.startswith("stall")
        assert outcome.client == f"{504 if is_late else 502}, the relay's own"
    else:
        assert outcome.client.startswith("the part that came, then ")


@pytest.mark.parametrize(("kind", "form"), CASES, ids=[named(case) for case in CASES])
def test_who_else_there_is_changes_nothing_in_what_a_fault_means(kind: Kind, form: Form) -> None:
    alone, one_of_three = measure(kind, form, 1), measure(kind, form, 3)
    assert (alone.key, alone.breaker) == (one_of_three.key, one_of_three.breaker)


def test_there_are_sixteen_kinds_and_more_and_no_two_are_alike() -> None:
    assert len(KINDS) >= 16
    assert len({kind.name for kind in KINDS}) == len({kind.options for kind in KINDS}) == len(KINDS)


def test_the_page_shows_what_was_measured() -> None:
    if os.environ.get("CCRELAY_RENDER") == "1":
        render()
    assert shown() == table()
