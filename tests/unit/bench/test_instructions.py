"""What is made of callgrind's files, and of the committed figures; valgrind is not started here."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.instructions import __main__ as command, ceiling
from bench.instructions.callgrind import by_function, calls, counted
from bench.instructions.measure import Spell, per_request, rate

# f calls g twice and itself once; the lines after `calls=` are the cost of what was called.
DUMP = """\
# callgrind format
version: 1
positions: line
events: Ir

ob=(1) /usr/lib/libx.so
fl=(1) x.c
fn=(1) f
10 100
+3 20
cob=(2) /usr/lib/liby.so
cfi=(2) y.c
cfn=(2) g
calls=2 5
13 700
* 4
cfn=(3) f'2
calls=1 10
-2 55

fn=(3)
10 50
fi=(3) inlined.h
20 5
fe=(1)
11

ob=(2)
fl=(2)
fn=(2)
5 700

totals: 879
"""


def dump(folder: Path, text: str = DUMP) -> Path:
    file = folder / "1.out.1"
    file.write_text(text)
    return file


def test_the_count_of_a_process_is_its_last_total(tmp_path: Path) -> None:
    assert counted(dump(tmp_path, "summary: 5\n\nfn=(1)\n1 7\n\ntotals: 1200\n")) == 1200


def test_a_process_that_was_killed_has_no_count_and_is_not_taken_for_a_cheap_one(
    tmp_path: Path,
) -> None:
    with pytest.raises(SystemExit, match=r"1\.out\.1 holds no count"):
        counted(dump(tmp_path, "version: 1\n"))


def test_a_function_costs_what_it_does_itself_and_recursion_is_added_up(tmp_path: Path) -> None:
    found = by_function(dump(tmp_path))
    assert found == {"f [libx.so]": 179, "g [liby.so]": 700}
    assert sum(found.values()) == counted(dump(tmp_path))


def test_calls_are_counted_for_the_callee_in_its_object(tmp_path: Path) -> None:
    assert calls(dump(tmp_path)) == {"g [liby.so]": 2, "f [libx.so]": 1}


def test_what_was_dumped_is_divided_by_the_requests(tmp_path: Path) -> None:
    second = tmp_path / "2.out.1"
    second.write_text("ob=(1) z\nfn=(1) h\n1 21\ntotals: 21\n")
    spell = Spell([dump(tmp_path), second], 2.0)
    found = per_request(spell, 100, by_clock=0.0)
    assert found.per_request == pytest.approx(9.0)
    assert found.functions == pytest.approx(
        {"f [libx.so]": 1.79, "g [liby.so]": 7.0, "h [z]": 0.21}
    )
    assert per_request(spell, 100, by_clock=150.0).per_request == pytest.approx(6.0)


def test_what_is_done_by_the_clock_is_the_difference_of_two_idle_spells(tmp_path: Path) -> None:
    short, long = tmp_path / "1.out", tmp_path / "2.out"
    short.write_text("totals: 1500\n")  # 1,000 for the dump, and a second
    long.write_text("totals: 4000\n")
    assert rate(Spell([short], 1.0), Spell([long], 6.0)) == pytest.approx(500.0)
    assert rate(Spell([long], 1.0), Spell([short], 6.0)) == 0.0


# ---- the ceiling

HERE = {"Python": "CPython 3.11.7", "machine": "x86_64", "AVX2": "yes"}
RECORD: dict[str, Any] = {
    "commit": "abc",
    "date": "2026-01-02 03:04 UTC",
    "conditions": HERE,
    "figures": {"ccrelay": 100_000, "ccrelay_one": 70_000},
}


@pytest.mark.parametrize(
    ("figure", "is_below", "says"),
    [
        (100_000, True, "100.0 k measured, 100.0 k committed (abc), +0.0%: holds"),
        (105_000, True, "+5.0%: holds"),
        (105_100, False, "105.1 k measured, 100.0 k committed (abc), +5.1%: FAILED"),
        (90_000, True, "-10.0%: holds; commit the lower figure"),
    ],
)
def test_a_figure_may_be_a_twentieth_above_the_committed_one(
    figure: float, is_below: bool, says: str
) -> None:
    found, (line,) = ceiling.check(RECORD, HERE, {"ccrelay": figure})
    assert found is is_below
    assert says in line


def test_one_figure_above_its_ceiling_is_enough_to_fail() -> None:
    found, lines = ceiling.check(RECORD, HERE, {"ccrelay": 120_000, "ccrelay_one": 60_000})
    assert not found
    assert ["FAILED" in line for line in lines] == [True, False]


def test_a_peer_without_committed_figure_fails() -> None:
    found, lines = ceiling.check(RECORD, HERE, {"ccrelay_many": 1})
    assert not found
    assert lines == ["ccrelay_many: FAILED: no committed figure"]


@pytest.mark.parametrize("what", HERE)
def test_figures_of_other_conditions_are_not_compared_and_that_is_said(what: str) -> None:
    found, (line,) = ceiling.check(RECORD, HERE | {what: "other"}, {"ccrelay": 900_000})
    assert found
    assert "NOT CHECKED, not comparable" in line
    assert f"{what} was {HERE[what]}, here it is other" in line


def test_the_conditions_are_those_of_the_interpreter_that_is_measured() -> None:
    here = ceiling.conditions(sys.executable)
    assert list(here) == list(HERE)
    assert here["Python"].endswith(".".join(map(str, sys.version_info[:3])))


def test_without_a_record_one_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run with --save first"):
        ceiling.load(tmp_path / "instructions.json")


@pytest.mark.parametrize(
    ("figure", "words"),
    [(50_000, "reaches the aim"), (80_000, "holds the must"), (80_001, "MISSES")],
)
def test_only_the_peer_of_the_target_is_judged(figure: float, words: str) -> None:
    assert ceiling.verdict("ccrelay", figure) == words
    assert ceiling.verdict("ccrelay_one", figure) == ""
    assert ceiling.sentence("ccrelay", figure).endswith(f"(must 80.0 k, aim 50.0 k: {words})")
    assert ceiling.sentence("x", 1234) == "x: 1.2 k instructions per request"


def test_the_page_shows_the_committed_figures() -> None:
    assert ceiling.load(command.RESULT)["figures"].keys() == set(command.PEERS)
    page = command.README.read_text()
    shown = page.partition(ceiling.BEGIN)[2].partition(ceiling.END)[0]
    assert shown.strip() == ceiling.markdown(ceiling.load(command.RESULT)).strip()


# ---- the command


def test_the_exit_status_tells_whether_the_ceiling_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = RECORD | {"conditions": ceiling.conditions(sys.executable)}
    (tmp_path / "instructions.json").write_text(json.dumps(record))
    monkeypatch.setattr(command, "RESULT", tmp_path / "instructions.json")
    monkeypatch.setattr(command.shutil, "which", lambda name: name)
    monkeypatch.setattr(command.programs, "build", lambda: True)
    for figure, status in ((104_000.0, 0), (106_000.0, 1)):
        found = command.Measured(figure, {"f [x]": 60_000.0, "g [x]": 70_000.0}, {})
        monkeypatch.setattr(command, "measure", lambda *_, found=found: found)
        monkeypatch.setattr(
            sys, "argv", ["instructions", "--peers", "ccrelay", "--check", "--top", "1"]
        )
        assert command.main() == status
        said = capsys.readouterr().out
        assert "g [x]" in said
        assert "f [x]" not in said
        assert ("FAILED" in said) is bool(status)
