"""What serve says when it stops."""

import pytest

from ccrelay.runtime.totals_text import counted, duration, stopping, summary, tokens

ALL = {
    "exchanges": 418,
    "lost": 0,
    "failovers": 6,
    "moves": 2,
    "passed_on": 1,
    "input": 5_080_000,
    "output": 3_110_000,
    "cache_read": 374_880_000,
    "cache_write": 20_310_000,
    "billed_micros": 17_540_000,
    "plan_micros": 8_480_000,
    "saved_micros": 150_890_000,
    "moved_micros": 1_080_000,
    "unpriced": 0,
}


def test_all_of_it():
    assert summary(ALL, 19_230.0, has_ledger=True) == (
        "5 h 20 min, 418 exchanges, 0 lost, 6 failovers, 2 moves ($1.08 of cache), "
        "1 error passed on\n"
        "400.27M tokens in, 374.88M of them from caches (93 %), 20.31M written to caches, "
        "3.11M out\n"
        "$17.54 billed, $8.48 covered by plans, $150.89 saved by caches        ccrelay usage"
    )


@pytest.mark.parametrize("totals", [{}, {"exchanges": 0, "lost": 0, "billed_micros": 0}])
def test_without_exchanges_only_the_duration(totals):
    assert summary(totals, 42.9, has_ledger=True) == "42 s, no exchanges"


def test_what_there_was_none_of_is_left_out():
    text = summary({"exchanges": 1, "lost": 1}, 60.0, has_ledger=True)
    assert text == "1 min, 1 exchange, 1 lost"


def test_without_a_ledger_no_command_is_named():
    assert "ccrelay" not in summary(ALL, 1.0, has_ledger=False)


def test_what_has_no_price_is_said():
    text = summary({"exchanges": 3, "output": 5, "unpriced": 2}, 1.0, has_ledger=False)
    assert text.splitlines() == [
        "1 s, 3 exchanges, 0 lost",
        "0 tokens in, 5 out",
        "2 exchanges without a known price",
    ]


def test_caches_that_cost_more_than_they_saved():
    text = summary(
        {"exchanges": 1, "billed_micros": 500_000, "saved_micros": -120_000}, 1.0, has_ledger=False
    )
    assert text.splitlines()[-1] == (
        "$0.50 billed, $0.12 more for writing to caches than they saved"
    )


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1.0, "0 s"),
        (59.9, "59 s"),
        (60.0, "1 min"),
        (95.0, "1 min 35 s"),
        (3599.0, "59 min"),
        (3600.0, "1 h"),
        (86_399.0, "23 h 59 min"),
        (86_400.0, "1 d"),
        (273_600.0, "3 d 4 h"),
        (1e9, "11,574 d 1 h"),
    ],
)
def test_durations(seconds, shown):
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (999, "999"), (551_600, "551.6k"), (999_950, "1.00M"), (10**10, "10,000.00M")],
)
def test_tokens(count, shown):
    assert tokens(count) == shown


def test_counts():
    assert counted(1, "worker") == "1 worker"
    assert counted(0, "worker") == "0 workers"
    assert counted(1084, "exchange") == "1,084 exchanges"


def test_stopping():
    assert stopping(3, 60.0, is_terminal=True) == (
        "Stopping: 3 streams under way, at most 60 s. Ctrl-C again cuts them."
    )
    assert stopping(1, 2.5, is_terminal=False) == (
        "Stopping: 1 stream under way, at most 2.5 s. A second signal cuts them."
    )
