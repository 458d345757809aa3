"""Bursts of rows that become one."""

import pytest

from ccrelay._fast.row_line import RowLine
from ccrelay.runtime.log_bursts import BURST_S, BURSTS_MAX, PAUSE_S, Bursts
from ccrelay.types import RowGroup

CLOCK = b"14:22:10 "


def group(session=b"s", *, failed=False, target="anthropic team-a", words="", name=b"handbook"):
    return RowGroup(session, name, True, 2 if failed else 0, failed, 0.2, target, words)


def other(session=b"s"):
    return RowGroup(session, b"", False, 0, False, 1.0, "", "")


class Rows:
    """Bursts, and a row that they are written with."""

    def __init__(self, columns=120):
        self.bursts = Bursts()
        self.row = RowLine(False)
        self.row.lay_out(columns)

    def add(self, member, now=0.0, rows=b"alone\n"):
        return self.bursts.add(member, rows, self.row, CLOCK, now)

    def over(self, now):
        return [rows.decode() for rows in self.bursts.over(self.row, now)]

    def all(self):
        return [rows.decode() for rows in self.bursts.all(self.row)]


def test_a_burst_tells_how_many_and_how_long():
    rows = Rows()
    for k in range(25):
        assert rows.add(group(), k / 100) == b""
    (row,) = rows.all()
    assert row == (
        "14:22:10 handbook 25 x count_tokens         anthropic team-a         all ok"
        "             - 0.44 s             -     free\n"
    )
    assert not rows.bursts
    assert rows.all() == []


@pytest.mark.parametrize("columns", [31, 40, 60, 79, 80, 97, 98, 110, 119, 120])
@pytest.mark.parametrize("name", [b"", b"handbook", b"n" * 200, b"\xff\x1b[2J"])
def test_a_row_is_never_wider(columns, name):
    rows = Rows(columns)
    for _ in range(12_345):
        rows.add(group(name=name, failed=True, target="p" * 99, words="w" * 300))
    for line in rows.all()[0].splitlines():
        assert len(line) <= columns
        assert line.isprintable()


def test_failures_are_counted_and_said():
    rows = Rows()
    for failed in (True, False, True):
        rows.add(group(failed=failed, words="529 overloaded" if failed else ""))
    (text,) = rows.all()
    first, second = text.splitlines()
    assert "2 failed" in first
    assert second == "         529 overloaded"


def test_several_targets_are_not_one():
    rows = Rows()
    for target in ("a one", "a two"):
        rows.add(group(target=target))
    assert "several targets" in rows.all()[0]


def test_a_burst_of_one_is_its_own_row():
    rows = Rows()
    rows.add(group())
    assert rows.all() == ["alone\n"]


def test_a_pause_ends_a_burst():
    rows = Rows()
    rows.add(group(), 0.0)
    rows.add(group(), 0.5)
    assert rows.over(0.5 + PAUSE_S - 0.01) == []
    assert len(rows.over(0.5 + PAUSE_S)) == 1


def test_one_without_a_pause_is_written_now_and_then():
    rows = Rows()
    at = 0.0
    while not (written := rows.over(at)):
        rows.add(group(), at)
        at += 0.1
        assert at <= BURST_S + 0.2
    assert at >= BURST_S - 0.01
    assert "x count_tokens" in written[0]


def test_a_clock_that_is_set_back_ends_a_burst():
    rows = Rows()
    rows.add(group(), 1000.0)
    assert rows.over(500.0) == ["alone\n"]


def test_another_row_of_the_session_comes_behind_its_burst():
    rows = Rows()
    rows.add(group())
    rows.add(group())
    assert rows.add(other(b"else"), rows=b"else\n") == b"else\n"
    first, second = rows.add(other(), rows=b"main\n").decode().splitlines()
    assert ("2 x count_tokens" in first, second) == (True, "main")
    assert not rows.bursts


def test_many_sessions_keep_little_and_lose_nothing():
    rows = Rows()
    written = [rows.add(group(b"%d" % k), rows=b"%d\n" % k) for k in range(BURSTS_MAX + 10)]
    kept = [row.encode() for row in rows.all()]
    assert len(kept) == BURSTS_MAX
    assert b"".join(written + kept) == b"".join(b"%d\n" % k for k in range(BURSTS_MAX + 10))
