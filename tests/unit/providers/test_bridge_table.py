from typing import get_args

import pytest

from ccrelay.providers.bridge_features import BY_BETA, BY_NAME
from ccrelay.providers.bridge_plan import Generation
from ccrelay.providers.bridge_rows import ALL, STRICT, Row, Surface
from ccrelay.providers.bridge_table import ROWS


def test_surfaces_are_those_of_the_groups() -> None:
    assert set(ALL) == set(get_args(Surface))
    assert set(STRICT) < set(ALL)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.feature}-{row.action}-{row.part}")
def test_rows_name_what_there_is(row: Row) -> None:
    feature = BY_NAME[row.feature]
    halves = (*feature.betas, *feature.parts)
    # A part may be narrower than the feature's.
    named = any(half.startswith(row.part) or row.part.startswith(half) for half in halves)
    assert row.part in ("", "beta", "body") or named
    assert row.reason
    assert row.source
    assert set(row.surfaces) <= set(ALL)
    assert bool(row.to) is (row.action in ("rewrite", "add", "move") and bool(row.to))
    if row.models:
        Generation("opus", 5, 5).matches(row.models)
    if row.action in ("rewrite", "add") and row.to:
        assert row.to in BY_BETA
    assert all(name in BY_BETA or name in BY_NAME for name in row.when)


def test_no_row_stands_twice() -> None:
    assert len(set(ROWS)) == len(ROWS)


def test_every_feature_has_a_row() -> None:
    without = set(BY_NAME) - {row.feature for row in ROWS}
    # A strict surface leaves these out, as all that has no row.
    assert without == {
        *("allowed_callers", "batches", "computer_use_2024", "context_window_stop"),
        *("nested_custom", "old_betas", "system_clear_at", "task_budget"),
    }
