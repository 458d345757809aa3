import pytest

from ccrelay.cli.format_counts import count, none_or, size, tokens, tokens_or_none


def test_counts() -> None:
    assert count(1_084) == "1,084"
    assert count(1, "stream") == "1 stream"
    assert count(0, "stream") == "0 streams"
    assert count(2, "key", "keys of yours") == "2 keys of yours"
    assert none_or(0, "lost") == "none lost"
    assert none_or(3, "lost") == "3 lost"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1.0k"),
        (551_600, "551.6k"),
        (999_949, "999.9k"),
        (999_950, "1.00M"),
        (205_800_000, "205.80M"),
        (12_345_678_901, "12,345.68M"),
        (-1_500, "-1.5k"),
    ],
)
def test_tokens(number: int, text: str) -> None:
    assert tokens(number) == text


def test_no_tokens_are_a_dash_where_a_column_says_so() -> None:
    assert tokens_or_none(0) == "-"
    assert tokens_or_none(1) == "1"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (18_400, "18 kB"),
        (999_600, "1.0 MB"),
        (12_000_000, "12 MB"),
        (3_000_000_000_000_000, "3,000 TB"),
    ],
)
def test_sizes(number: int, text: str) -> None:
    assert size(number) == text
