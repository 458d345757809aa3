"""tests/faults/README.md says what is made of the errors of clouds."""

from tests.faults.clouds import page_table, table


def test_the_page_has_the_table_of_cloud_errors() -> None:
    """Write it with `python -m tests.faults.clouds`."""
    assert page_table() == table()
