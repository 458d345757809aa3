import pytest

from ccrelay.cli.format_share import hits, percent


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (0.0001, "<1 %"),
        (0.005, "1 %"),
        (0.625, "63 %"),
        (0.62, "62 %"),
        (0.999, "99 %"),
        (1.0, "100 %"),
        (1.18, "118 %"),
        (99.0, "9,900 %"),
        (float("nan"), "?"),
        (float("inf"), "?"),
    ],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


def test_hits_are_the_share_of_the_input_that_was_read() -> None:
    assert hits(205_800_000, 10_640_000, 1_110_000) == "95 %"
    assert hits(0, 0, 0) == "-"
    assert hits(0, 0, 5) == "0 %"
