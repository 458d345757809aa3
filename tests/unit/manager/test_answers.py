"""Page tokens, ranges and sentences of refusals."""

import pytest
from hypothesis import given, strategies as st

from ccrelay.manager.answers import (
    INVALID,
    Refusal,
    filter_of,
    page_size,
    range_of,
    sentence,
    token_of,
    token_values,
)


@given(st.lists(st.integers(0, (1 << 63) - 1), min_size=1, max_size=3), st.binary(max_size=20))
def test_a_token_brings_its_numbers_back(values: list[int], request_mark: bytes) -> None:
    token = token_of(request_mark, *values)
    assert token_values(token, request_mark, len(values)) == values
    with pytest.raises(Refusal):
        token_values(token, request_mark + b"x", len(values))
    with pytest.raises(Refusal):
        token_values(token, request_mark, len(values) + 1)


@given(st.text(max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    try:
        token_values(text, b"", 1)
    except Refusal as refusal:
        assert refusal.code == INVALID  # noqa: PT017


def test_sentences() -> None:
    assert sentence("no space is left: free some") == "No space is left: free some."
    assert sentence("Done.") == "Done."
    assert sentence("/state/ledger.db is not a file") == "/state/ledger.db is not a file."


@pytest.mark.parametrize(("since", "until"), [(-1, 0), (0, -1), (5, 5), (6, 5)])
def test_ranges_that_make_no_sense(since: int, until: int) -> None:
    with pytest.raises(Refusal):
        range_of(since, until)


def test_what_is_allowed() -> None:
    assert range_of(0, 0) == (0, 0)
    assert range_of(7, 0) == (7, 0)
    assert page_size(0, 100, 1000) == 100
    assert page_size(1000, 100, 1000) == 1000
    with pytest.raises(Refusal, match="1000"):
        page_size(1001, 100, 1000)
    with pytest.raises(Refusal, match="Filter: unknown word 'x'"):
        filter_of("x:1")
