from pathlib import Path

import pytest

from bench.instructions.__main__ import counted


def test_the_count_of_a_process_is_its_last_total(tmp_path: Path) -> None:
    file = tmp_path / "1.out"
    file.write_text("summary: 5\n\nfn=(1)\n1 7\n\ntotals: 1200\n")
    assert counted(file) == 1200


def test_a_process_that_was_killed_has_no_count_and_is_not_taken_for_a_cheap_one(
    tmp_path: Path,
) -> None:
    file = tmp_path / "1.out"
    file.write_text("version: 1\n")
    with pytest.raises(SystemExit, match=r"1\.out"):
        counted(file)
