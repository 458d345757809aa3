"""The layout of one exchange."""

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from ccrelay.cli.cells import width_of
from ccrelay.cli.exchange_view import exchange_lines
from ccrelay.v1 import exchanges_pb2 as ex, providers_pb2 as pb
from tests.unit.cli import examples
from tests.unit.cli.served import plain, zone
from tests.unit.cli.test_cells import NAMES

pytestmark = pytest.mark.usefixtures("zone")
__all__ = ["zone"]

AT_80 = """\
07f3a1c  payments-api main                                   2026-12-03 14:27:41
outcome   failover, HTTP 200, opus-5-5, stream, stopped by end_turn
time      first event after 2.46 s, 16.6 s in all, the relay itself 0.18 ms
request   session 3f8c41aa-9b0e, 731 kB in, 18 kB out

ATTEMPT  TARGET            STARTED    TOOK  STATUS  VERDICT     ERROR
      1  anthropic/team-a  0.40 ms  0.41 s     529  overloaded  overloaded_erro…
      2  bedrock/eu-role    0.41 s  16.2 s     200  answered

why       anthropic/team-a failed (status 529), so bedrock/eu-role was asked.
          no rule, strategy failover
not taken anthropic/team-a: tried before
          anthropic/team-b: in cooldown
          zai/plan: could have taken it: the strategy preferred the other one

BILL                TOKENS  PER MILLION   AMOUNT
input                  412        $5.00  $0.0021
cache write, 5 min  164.3k        $6.25   $1.027
output                1.6k       $25.00   $0.040
────────────────────────────────────────────────
all                                       $1.069
Without the cache it had cost $1.104. The move from a warm cache lost $0.97.
Prices: 2026-11-22.
"""


def test_at_80_columns() -> None:
    assert "\n".join(exchange_lines(examples.detail(), plain())) + "\n" == AT_80


def test_another_key_of_a_provider_that_failed_is_no_attempt() -> None:
    answer = examples.detail()
    answer.choice.passed[1].why = "provider_failed"
    text = "anthropic/team-b: not tried: its provider had failed with another key"
    assert any(text in line for line in exchange_lines(answer, plain(100)))


def test_a_refused_one_has_neither_target_nor_bill() -> None:
    one = ex.Exchange(id="x", status=401, outcome=ex.OUTCOME_REFUSED, error="wrong token")
    lines = exchange_lines(ex.ExchangesGetResponse(exchange=one), plain())
    assert "outcome   refused, HTTP 401, -, one piece" in lines
    assert "error     wrong token" in lines
    assert "No target was tried." in lines
    assert "why       not known" in lines
    assert lines[-1] == "No tokens were reported: nothing to bill."


def test_what_has_no_price_shows_its_tokens() -> None:
    answer = examples.detail()
    answer.exchange.cost.known = False
    answer.exchange.cost.micros = 0
    lines = exchange_lines(answer, plain())
    assert "The price of this model is not known. Set one: providers[].prices." in lines
    assert lines[-1].split() == ["output", "200", "?"]


def test_surcharges_are_lines_and_a_cost_of_another_price_is_said_in_words() -> None:
    answer = examples.detail()
    answer.bill.add(item="fast_mode", micros=1000)
    answer.bill.add(item="web_search", tokens=3, micros=30_000)
    lines = exchange_lines(answer, plain(80))
    assert [line.split()[-3:] for line in lines if line.startswith(("fast", "web"))] == [
        ["-", "-", "$0.0010"],
        ["3", "-", "$0.030"],
    ]
    answer.bill.add(item="otherwise", micros=answer.exchange.cost.micros)
    lines = exchange_lines(answer, plain(80))
    (output,) = [line for line in lines if line.startswith("output")]
    assert output.split()[-2:] == ["-", "-"]  # and not $0.00
    (otherwise,) = [line for line in lines if line.startswith("priced otherwise")]
    (total,) = [line for line in lines if line.startswith("all ")]
    assert otherwise.split()[-1] == total.split()[-1]
    assert "Today's prices do not give this cost" in " ".join(lines)


def test_a_reason_without_a_sentence_is_said_with_the_target() -> None:
    answer = examples.detail()
    answer.choice.sentence, answer.choice.reason = "", "affinity"
    lines = exchange_lines(answer, plain())
    assert "why       bedrock/eu-role: its prompt cache is there" in lines


@pytest.mark.parametrize(
    ("billing", "said"),
    [
        (pb.BILLING_PLAN, "Covered by a plan; amounts are at list price."),
        (pb.BILLING_FREE, "Free: a local model."),
    ],
)
def test_how_it_is_paid_is_said(billing: pb.Billing, said: str) -> None:
    answer = examples.detail()
    answer.exchange.cost.billing = billing
    assert any(line.startswith(said) for line in exchange_lines(answer, plain(140)))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NAMES, min_size=8, max_size=8), st.sampled_from([20, 40, 80, 120, 140]))
def test_no_line_is_longer_than_the_width_for_any_names(names: list[str], width: int) -> None:
    answer = examples.detail()
    one = answer.exchange
    one.id, one.project, one.session, one.error = names[0], names[1], names[2], names[3]
    answer.choice.sentence, answer.choice.rule = names[4], names[5]
    answer.attempts[0].error, answer.attempts[0].verdict = names[6], names[7]
    answer.attempts[0].key = answer.choice.passed[0].target = answer.bill[0].item = names[0]
    for line in exchange_lines(answer, plain(width)):
        assert width_of(line) <= width
        assert line.isprintable()


def test_another_key_of_the_same_provider_was_passed_by_no_routing_strategy() -> None:
    answer = examples.detail()
    answer.choice.passed.add(target=f"{answer.exchange.provider}/other", why="available")
    lines = exchange_lines(answer, plain(140))
    (line,) = [line for line in lines if f"{answer.exchange.provider}/other" in line]
    assert "key_strategy or affinity preferred the other key" in line
