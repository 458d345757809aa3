"""Lines of CSV and JSON that every reader takes for what they are."""

import csv
import io
import json

import pytest
from hypothesis import given, strategies as st

from ccrelay.manager.export import csv_head, csv_lines, json_lines, members_of
from tests.unit.store.making import record


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((csv_head() + data).decode(), newline="")))


def test_columns_and_members_are_the_same() -> None:
    (row,) = rows(csv_lines([record()]))
    (line,) = json_lines([record()]).splitlines()
    told = json.loads(line)
    assert list(row) == list(told)
    assert row["started_at"] == told["started_at"] == "2026-11-30T14:00:00.000Z"
    assert (row["cost_micros"], told["cost_micros"]) == ("1000", 1000)
    assert (row["stream"], told["stream"]) == ("true", True)


def test_a_cost_that_is_not_known_is_empty() -> None:
    unknown = record(cost_micros=-1)
    assert rows(csv_lines([unknown]))[0]["cost_micros"] == ""
    assert json.loads(json_lines([unknown]))["cost_micros"] is None


@pytest.mark.parametrize(
    "text",
    [
        "=cmd|' /C calc'!A0",
        "+1",
        "-1",
        "@SUM(A1)",
        "\tx",
        "\rx",
        "\n=1",
        "\uff1d1",
    ],
)
def test_no_text_is_a_formula(text: str) -> None:
    (row,) = rows(csv_lines([record(session=text, model=text, error=text)]))
    for name in ("session", "model", "error"):
        assert row[name].startswith("'"), name
        assert row[name][1:] == text


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=30))
def test_any_text_comes_back(text: str) -> None:
    data = csv_lines([record(session=text), record(project="after it")])
    one, two = rows(data)
    kept = text.replace("\x00", "\ufffd")
    assert one["session"] in (kept, f"'{kept}")
    assert two["project"] == "after it"
    assert data.endswith(b"\r\n")
    lines = json_lines([record(session=text), record()]).split(b"\n")
    assert len(lines) == 3
    assert json.loads(lines[0])["session"] == text


def test_every_line_ends_as_rfc_4180_wants() -> None:
    assert csv_head().endswith(b"\r\n")
    assert csv_head().count(b"\r\n") == 1
    assert csv_head().count(b",") == len(members_of(record())) - 1
    assert csv_lines([]) == json_lines([]) == b""
