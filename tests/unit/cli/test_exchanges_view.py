"""Rows of exchanges, as the design draws them."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from ccrelay.cli import exchanges_view as view
from ccrelay.cli.cells import width_of
from ccrelay.config.letters import letters
from ccrelay.v1 import exchanges_pb2 as ex, providers_pb2 as pb
from tests.unit.cli import examples
from tests.unit.cli.served import at, day, plain, zone
from tests.unit.cli.test_cells import NAMES

pytestmark = pytest.mark.usefixtures("zone")
__all__ = ["zone"]
LETTERS = letters(["anthropic", "bedrock", "zai"])

AT_120 = """\
TIME      WHAT                            MODEL               TARGET               OUTCOME        FIRST  TOTAL     COST
14:21:37  infra-live main                 sonnet-5-5          A team-b             ok            1.02 s 23.1 s   $0.037
14:22:10  handbook 25 x count_tokens      sonnet-5-5          A login              all ok             -  0.4 s     free
14:24:11  payments-api main               opus-5-5            A team-a             ok            1.44 s 38.2 s   $0.123
14:26:48  handbook main                   sonnet-5-5          A login              client left   0.94 s  7.0 s   $0.018
14:27:20  payments-api subagent Explore   haiku-5-5           A team-b             ok            0.51 s  6.2 s  $0.0010
14:27:41  payments-api main               opus-5-5            A team-a > B eu-role failover      2.46 s 16.6 s   $1.069
          529 overloaded at team-a after 0.41 s; left a warm cache, lost $0.97                 ccrelay exchange 07f3a1c
14:29:50  payments-api subagent Explore   haiku-5-5           A team-b             waited 3.2 s  3.71 s 10.1 s  $0.0010
14:31:12  payments-api background         haiku-5-5>glm-5.3   Z plan               ok            0.71 s  1.1 s  $0.0020p
"""  # noqa: E501
AT_80 = """\
TIME      WHAT        MODEL       TARGET    OUTCOME       FIRST  TOTAL     COST
14:21:37  infra-live  sonnet-5-5  A team-b  ok           1.02 s 23.1 s   $0.037
14:22:10  handbook    sonnet-5-5  A login   all ok            -  0.4 s     free
14:24:11  payments-…  opus-5-5    A team-a  ok           1.44 s 38.2 s   $0.123
14:26:48  handbook    sonnet-5-5  A login   client left  0.94 s  7.0 s   $0.018
14:27:20  Explore     haiku-5-5   A team-b  ok           0.51 s  6.2 s  $0.0010
14:27:41  payments-…  opus-5-5    > eu-role failover     2.46 s 16.6 s   $1.069
          529 overloaded at team-a after 0.41 s; left a warm cache, lost $0.97
14:29:50  Explore     haiku-5-5   A team-b  waited 3.2 s 3.71 s 10.1 s  $0.0010
14:31:12  payments-…  > glm-5.3   Z plan    ok           0.71 s  1.1 s  $0.0020p
"""


def attempts(one: Any) -> Any:
    return examples.detail().attempts


def drawn(width: int, exchanges: list[ex.Exchange] | None = None, **how: Any) -> list[str]:
    rows = view.Rows(plain(width, **how), LETTERS, attempts)
    shown = examples.exchanges()[::-1] if exchanges is None else exchanges
    lines = rows.heading()
    for burst in view.fold(shown):
        lines += rows.lines(burst, day("14:32:08"))
    return lines


@pytest.mark.parametrize(("width", "text"), [(120, AT_120), (80, AT_80)])
def test_rows_are_those_of_the_design(width: int, text: str) -> None:
    assert "\n".join(drawn(width)) + "\n" == text
    assert max(map(width_of, text.splitlines())) == width


def test_a_wide_terminal_has_the_ids() -> None:
    assert drawn(140)[0].endswith("COST   ID")
    assert drawn(140)[6].endswith("$1.069   07f3a1c")


def row(**members: Any) -> str:
    made = examples.exchange(1, "14:21:37", "p", "anthropic/k", **members)
    return drawn(120, [made])[1]


@pytest.mark.parametrize(
    ("members", "shown"),
    [
        ({"outcome": ex.OUTCOME_PASSED_ON, "status": 400}, "400 passed on"),
        ({"outcome": ex.OUTCOME_REFUSED, "status": 401}, "refused 401"),
        ({"outcome": ex.OUTCOME_LOST}, "lost"),
        ({"outcome": ex.OUTCOME_LOST, "status": 529}, "lost 529"),
        ({"queued_ms": 99}, "ok"),
        ({"queued_ms": 1_000}, "waited 1.0 s"),
        ({"queued_ms": 100}, "waited 0.1 s"),
        ({"outcome": 99}, "unknown"),
    ],
)
def test_outcomes(members: dict[str, Any], shown: str) -> None:
    assert row(**members)[83:96].rstrip() == shown


@pytest.mark.parametrize(
    ("members", "shown"),
    [
        ({"micros": None}, "?"),
        ({"micros": None, "tokens": ex.Tokens()}, "-"),
        ({"micros": 0, "tokens": ex.Tokens()}, "-"),
        ({"billing": pb.BILLING_FREE, "micros": None}, "free"),
        ({"kind": "count_tokens", "micros": 0}, "free"),
        ({"micros": 1}, "<$0.0001"),
        ({"micros": 123_000, "billing": pb.BILLING_PLAN}, "$0.123p"),
    ],
)
def test_costs(members: dict[str, Any], shown: str) -> None:
    assert row(**members).split()[-1] == shown


def test_targets_of_one_that_never_had_any_and_of_several_tries() -> None:
    nowhere = examples.exchange(1, "14:21:37", "p", "/", outcome=ex.OUTCOME_REFUSED, attempts=0)
    assert drawn(120, [nowhere])[1][62:83].strip() == "-"
    again = examples.exchange(1, "14:21:37", "p", "anthropic/k", attempts=3)
    rows = view.Rows(plain(120), LETTERS)
    [line] = rows.lines(view.Burst((again,)), day("14:32:08"))
    assert "A k (3 tries)" in line


def test_an_origin_is_the_project_or_the_session() -> None:
    made = examples.exchange(1, "14:21:37", "", "anthropic/k")
    assert view.what(view.Burst((made,))) == "3f8c41 main"
    made.session = ""
    assert view.what(view.Burst((made,))) == "main"
    made.kind = "models"
    assert view.what(view.Burst((made,))) == "models"


def test_bursts_are_of_one_origin_at_one_target() -> None:
    def counting(number: int, project: str, outcome: int = ex.OUTCOME_OK) -> ex.Exchange:
        return examples.exchange(
            number, "14:21:37", project, "anthropic/k", kind="count_tokens", outcome=outcome
        )

    good, bad = counting(1, "a"), counting(2, "a", ex.OUTCOME_LOST)
    bursts = list(view.fold([good, bad, counting(3, "b"), examples.FAILED_OVER, good]))
    assert [len(burst.members) for burst in bursts] == [2, 1, 1, 1]
    assert view.outcome_cell(bursts[0]).text == "1 failed"


def test_a_new_day_is_said_once() -> None:
    old = examples.exchange(1, "14:21:37", "p", "anthropic/k")
    old.started_at_ms = at("2026-12-01 23:59:59")
    lines = drawn(80, [old, old, examples.exchange(2, "00:00:01", "p", "anthropic/k")])
    assert lines[1] == "Tue 1 Dec"
    assert lines[4] == "Thu 3 Dec"
    assert len(lines) == 6


def test_failures_without_details_say_the_error() -> None:
    lost = examples.exchange(
        1, "14:21:37", "p", "anthropic/k", outcome=ex.OUTCOME_LOST, error="the stream broke"
    )
    assert view.note(lost, ()) == "the stream broke"
    broken = ex.Attempt(key="k", verdict="lost", error="reset by peer.", status=200, duration_ms=5)
    left = ex.Attempt(key="k", verdict="client_left", duration_ms=5)
    assert view.note(lost, [broken, left]) == "200 reset by peer at k after 5 ms"
    unknown = [
        ex.Attempt(key="k", status=200, duration_ms=5),
        ex.Attempt(key="k", status=502, duration_ms=5, error="no route"),
    ]
    assert view.note(lost, unknown) == "502 no route at k after 5 ms"
    many = [ex.Attempt(key="k", verdict="connect", duration_ms=5)] * 5
    assert view.note(lost, many).endswith("connect at k after 5 ms; 2 more failures")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NAMES, min_size=6, max_size=6), st.sampled_from([20, 40, 80, 120, 140]))
def test_no_line_is_longer_than_the_width_for_any_names(names: list[str], width: int) -> None:
    one = ex.Exchange()
    one.CopyFrom(examples.FAILED_OVER)
    one.project, one.agent, one.model = names[0], names[1], names[2]
    one.key, one.error, one.id = names[3], names[4], names[5]
    one.traffic_class = "subagent"
    for line in drawn(width, [one]):
        assert width_of(line) <= width
        assert line.isprintable()
